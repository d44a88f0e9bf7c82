/**
 * Many scripted agents at once: is every line that they print in the journal, and how soon.
 *
 * All of them run before the first line is counted, and go on until the last one is in. Each prints a line a second,
 * with the time at which it printed it; the delay is from there until the entry of the journal that holds the whole
 * line was written, as Redis dates it.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { JournalEntry } from '@nexus/shared/bus';
import { type AgentsBench, type AgentsPart, type Journal, messageIn, openJournal } from './agents-part.ts';
import { type BenchFleet, withFleet } from './bench-fleet.ts';
import { figure, median, quantile, shown } from './figures.ts';
import { cpuMsOf } from './process-cost.ts';

const workers = 2;
/** Side by side: the plan of one holds hardly more than a hundred subtasks. */
const tasks = 2;
const linesEach = 30;
/** So long may all of them take to start, and so long may a line be on its way. */
const startMs = 600_000;
const lateMs = 30_000;
/** What starting them has left to do is over by then. */
const settleMs = 10_000;

type Round = {
  /** Lines, beginnings and ends of attempts that are not in the journal. */
  missing: { lines: number; begun: number; finished: number };
  p50: number;
  p95: number;
  p99: number;
  /** CPU time of the workers while lines were printed, in cores. */
  cores: number;
};

export const crowd: AgentsPart = async (bench) => {
  const agents = bench.small ? 8 : 200;
  const rounds: Round[] = [];
  for (let round = 1; round <= bench.rounds; round += 1) {
    const slots = { NEXUS_SLOTS: String(agents / workers), NEXUS_TASK_AGENTS_MAX: String(agents) };
    const settings = () => ({ ...slots, NEXUS_DISK_RESERVE: '0' });
    rounds.push(await withFleet(bench.server, workers, (fleet) => playRound(bench, fleet, agents), settings));
    const { missing, p95 } = rounds.at(-1) as Round;
    const lost = Object.values(missing).reduce((sum, count) => sum + count, 0);
    bench.say(`crowd, round ${round} of ${bench.rounds}: ${lost} missing, p95 ${shown(p95, 'ms')}`);
  }
  const at = (read: (round: Round) => number): number => median(rounds.map(read));
  const lines = (agents * linesEach).toLocaleString('en-US');
  return {
    figures: [
      figure(
        `${agents} agents at once, ${lines} lines and ${2 * agents} beginnings and ends: not in the journal`,
        'ratio',
        rounds.map(({ missing }) => missing.lines + missing.begun + missing.finished),
        { atMost: 0 },
      ),
      figure(
        `${agents} agents at once, from a line to its entry, p95`,
        'ms',
        rounds.map(({ p95 }) => p95),
        { atMost: 250 },
      ),
    ],
    where: [
      `a line a second each; p50 ${shown(
        at(({ p50 }) => p50),
        'ms',
      )}, p99 ${shown(
        at(({ p99 }) => p99),
        'ms',
      )}; ` +
        `${workers} workers used ${shown(
          at(({ cores }) => cores),
          'ratio',
        )} cores meanwhile`,
    ],
    data: { agents, rounds },
  };
};

const playRound = async (bench: AgentsBench, fleet: BenchFleet, agents: number): Promise<Round> => {
  const go = join(fleet.folder, 'go');
  const journal = await openJournal(bench.server, fleet.prefix);
  try {
    const scenario = scenarioOf(agents / tasks, go);
    const request = { request: 'Say many things at once.', workflow: 'simple', mode: 'parallel' as const, scenario };
    for (let task = 0; task < tasks; task += 1) await fleet.client.submit(request);
    const said = openLines();
    await waitFor(startMs, () => said.read(journal.entries).ready.size === agents, 'every agent runs');
    await sleep(settleMs);
    const pids = fleet.fleet.state.processes.filter(({ name }) => name.startsWith('worker')).map(({ pid }) => pid);
    const cpu = (): number => pids.reduce((sum, pid) => sum + cpuMsOf(pid), 0);
    const [began, from] = [performance.now(), cpu()];
    writeFileSync(go, '');
    await sleep(linesEach * 1000);
    const cores = (cpu() - from) / (performance.now() - began);
    const wanted = agents * linesEach;
    await waitFor(lateMs, () => said.read(journal.entries).delays.length >= wanted, null);
    // Two hundred ends at once are no part of what agents say meanwhile.
    writeFileSync(`${go}.away`, '');
    const { begun, finished } = await attemptsIn(journal, agents);
    const { delays } = said.read(journal.entries);
    const at = (share: number): number => quantile(delays, share);
    const short = (count: number): number => Math.max(0, agents - count);
    const missing = { lines: wanted - delays.length, begun: short(begun), finished: short(finished) };
    if (begun > agents) bench.say(`crowd: ${begun - agents} attempts were begun again`);
    return { missing, p50: at(0.5), p95: at(0.95), p99: at(0.99), cores };
  } finally {
    await journal.close();
  }
};

/** A planner that leaves so many subtasks that only report, and agents that wait for a file and then print. */
const scenarioOf = (agents: number, go: string): string => {
  const subtasks = Array.from({ length: agents }, (_, at) => {
    return { id: `say-${at + 1}`, title: `Say things (${at + 1})`, role: 'builder', kind: 'report', goal: 'Say them.' };
  });
  // Only what the shell has built in, so that printing costs no process: it sleeps by waiting for its own pipe.
  const print = [
    ...['LC_ALL=C', 'exec {own}<> <(:)', 'echo ready', `until [ -e ${go} ]; do read -t 0.2 -u $own; done`],
    'read -t 0.$((RANDOM % 900 + 100)) -u $own',
    `for n in {1..${linesEach}}; do echo "line $n $EPOCHREALTIME"; read -t 1 -u $own; done`,
    `until [ -e ${go}.away ]; do read -t 0.5 -u $own; done`,
  ].join('; ');
  const builder = [[{ run: `bash -c '${print}'` }, { report: { summary: 'All was said.' } }]];
  const planner = [[{ plan: { subtasks } }, { report: { summary: 'Many at once.' } }]];
  return JSON.stringify({ name: 'A crowd', subtasks: { planner, builder } });
};

/** Reads on where it stopped. What an agent prints may be cut anywhere; a line counts when its end is there. */
const openLines = () => {
  const rest = new Map<string, string>();
  const ready = new Set<string>();
  const said = new Set<string>();
  const delays: number[] = [];
  let next = 0;
  const readEntry = ({ at, body }: JournalEntry): void => {
    const { event, task_id, subtask_id, text = '' } = body as Partial<Record<string, string>>;
    if (event !== 'agent.output') return;
    const agent = `${task_id} ${subtask_id}`;
    const lines = `${rest.get(agent) ?? ''}${text}`.split('\n');
    rest.set(agent, lines.pop() ?? '');
    for (const line of lines) {
      const [, number, seconds] = /^line (\d+) (\d+\.\d+)$/.exec(line) ?? [];
      if (line === 'ready') ready.add(agent);
      // An agent that was begun again says all of it again.
      if (seconds === undefined || said.has(`${agent} ${number}`)) continue;
      said.add(`${agent} ${number}`);
      delays.push(at - Number(seconds) * 1000);
    }
  };
  return {
    read: (entries: readonly JournalEntry[]) => {
      for (; next < entries.length; next += 1) readEntry(entries[next] as JournalEntry);
      return { ready, delays };
    },
  };
};

/** How many of the agents are said to have begun, and to have finished, once all of them have or time is up. */
const attemptsIn = async (journal: Journal, agents: number): Promise<{ begun: number; finished: number }> => {
  // Those of the planners are more.
  const count = (type: string): number =>
    new Set(journal.entries.flatMap((entry) => messageIn(entry, type)?.id ?? [])).size - tasks;
  await waitFor(startMs, () => count('attempt.finished') >= agents, null);
  return { begun: count('attempt.begun'), finished: count('attempt.finished') };
};

/** Waits for something; where it may not come to pass at all, `what` is null. */
const waitFor = async (withinMs: number, look: () => boolean, what: string | null): Promise<void> => {
  for (const until = performance.now() + withinMs; performance.now() < until; await sleep(100)) {
    if (look()) return;
  }
  if (what !== null) throw new Error(`it did not come to pass within ${withinMs / 1000} s: ${what}`);
};
