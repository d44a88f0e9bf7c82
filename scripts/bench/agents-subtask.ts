/**
 * The fleet's own time for a subtask: a task of subtasks one after the other, through all services, from the request
 * until its result is pushed; less the time in which its agents ran. All else is the fleet's: planning, the hub,
 * clones, starting agents, commits, evidence, the gate with its check, merges, the report.
 *
 * An agent says itself when it began and ended. Its sandbox and its leash are the fleet's time, too.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { JournalEntry } from '@nexus/shared/bus';
import { type AgentsPart, type Journal, messageIn, openJournal } from './agents-part.ts';
import { type BenchFleet, completed, withFleet } from './bench-fleet.ts';
import { figure, median, shown } from './figures.ts';
import { text } from './sample.ts';

/** In ms: what the fleet took for each subtask; and the steps of every subtask, by name. */
type Played = { each: number; steps: Record<string, number[]> };

export const subtask: AgentsPart = async (bench) => {
  const length = bench.small ? 2 : 8;
  const settings = () => ({ NEXUS_SANDBOX: 'auto', NEXUS_DISK_RESERVE: '0' });
  const [alone, four]: [number[], number[]] = [[], []];
  const steps: Record<string, number[]> = {};
  await withFleet(
    bench.server,
    1,
    async (fleet) => {
      const repository = makeRepository(fleet.folder);
      const journal = await openJournal(bench.server, fleet.prefix);
      try {
        const play = (n: string) => playTask(fleet, journal, { repository, length, name: n });
        for (let round = 1; round <= bench.rounds; round += 1) {
          const one = await play(`${round}`);
          const together = await Promise.all([1, 2, 3, 4].map((n) => play(`${round}, ${n} of 4`)));
          alone.push(one.each / 1000);
          four.push(median(together.map(({ each }) => each)) / 1000);
          for (const [name, found] of Object.entries(one.steps)) steps[name] = [...(steps[name] ?? []), ...found];
          const [single, side] = [shown(alone.at(-1) ?? 0, 's'), shown(four.at(-1) ?? 0, 's')];
          bench.say(
            `subtask, round ${round} of ${bench.rounds}: ${single} alone, ${side} with four tasks side by side`,
          );
        }
      } finally {
        await journal.close();
      }
    },
    settings,
  );
  const inWords = Object.entries(steps).map(([name, found]) => `${name} ${shown(median(found), 'ms')}`);
  return {
    figures: [
      figure('the fleet’s own time for a subtask', 's', alone, { atMost: 1 }),
      figure('the same, four agents at a time on this machine', 's', four, { atMost: 1 }),
    ],
    where: [
      `tasks of ${length} subtasks, each with a gate and a merge, in a repository of ${filesMany} files; agents of 1 s`,
      `step by step, alone: ${inWords.join(', ')}`,
    ],
    data: { alone, four, steps },
  };
};

const filesMany = 300;

const makeRepository = (folder: string): string => {
  const repository = join(folder, 'repository');
  for (let at = 0; at < filesMany; at += 1) {
    const path = join(repository, 'src', `part-${at % 20}`);
    mkdirSync(path, { recursive: true });
    writeFileSync(join(path, `file-${at}.js`), `export const value = '${text(2000)}${at}';\n`);
  }
  const git = (...args: string[]) =>
    execFileSync('git', ['-C', repository, '-c', 'user.name=Bench', '-c', 'user.email=bench@nexus.local', ...args]);
  git('init', '--quiet', '--initial-branch=main');
  git('add', '--all');
  git('commit', '--quiet', '--message', 'A project');
  return repository;
};

type Asked = { repository: string; length: number; name: string };

const agent = [
  'cat > /dev/null',
  'echo "began $(date +%s%3N)"',
  'sleep 1',
  'echo done > "done-$NEXUS_SUBTASK.txt"',
  'echo "ended $(date +%s%3N)"',
].join('; ');

const playTask = async ({ client }: BenchFleet, journal: Journal, asked: Asked): Promise<Played> => {
  const from = Date.now();
  const { task_id: task } = await client.submit({
    request: `Make it better (${asked.name}).`,
    repository: asked.repository,
    roles: Array.from({ length: asked.length }, () => 'builder'),
    checks: [{ name: 'there', command: 'test -s src/part-0/file-0.js' }],
    agent_command: agent,
  });
  const to = await journal.until(`the end of ${task}`, (entry) => (isEnd(entry, task) ? entry.at : null));
  await completed(client, task);
  const chains = chainsIn(journal.entries, task);
  if (chains.length !== asked.length) throw new Error(`${chains.length} subtasks were played, and not ${asked.length}`);
  const ran = chains.reduce((sum, chain) => sum + chain.ended - chain.began, 0);
  return { each: (to - from - ran) / asked.length, steps: stepsOf(chains, from, to) };
};

/** The orchestrator has settled that its result is pushed. */
const isEnd = ({ kind, body }: JournalEntry, task: string): boolean => {
  const settled = body as { type?: string; task?: string };
  return kind === 'settled' && settled.type === 'release.finished' && settled.task === task;
};

/** When each step of a subtask came to pass. */
type Chain = Record<Step, number>;
const kinds = [
  'subtask.dispatched',
  'attempt.begun',
  'attempt.finished',
  'candidate.submitted',
  'verdict.reached',
  'merge.requested',
  'merge.finished',
] as const;
const words = ['began', 'ended'] as const;
type Step = (typeof kinds)[number] | (typeof words)[number];

/** Subtasks that come one after the other: the first of each step belong together, then the second ones. */
const chainsIn = (entries: readonly JournalEntry[], task: string): Chain[] => {
  const times = new Map<Step, number[]>([...kinds, ...words].map((step) => [step, []]));
  for (const entry of entries) {
    for (const kind of kinds) {
      const message = messageIn(entry, kind);
      if (message?.task === task) times.get(kind)?.push(message.at);
    }
    const { event, task_id, text: said = '' } = entry.body as Partial<Record<string, string>>;
    if (event !== 'agent.output' || task_id !== task) continue;
    for (const [, word, ms] of said.matchAll(/^(began|ended) (\d+)$/gm)) times.get(word as 'began')?.push(Number(ms));
  }
  const count = Math.max(...[...times.values()].map((found) => found.length));
  return Array.from(
    { length: count },
    (_, at) => Object.fromEntries([...times].map(([step, found]) => [step, found[at] ?? Number.NaN])) as Chain,
  );
};

/** What lies between two steps, for each subtask; at the ends of the task once. */
const stepsOf = (chains: readonly Chain[], from: number, to: number): Record<string, number[]> => {
  const between = (one: Step, other: Step): number[] => chains.map((chain) => chain[other] - chain[one]);
  const next = chains.slice(1).map((chain, at) => chain['subtask.dispatched'] - (chains[at]?.['merge.finished'] ?? 0));
  return {
    'plan and hub': [(chains[0]?.['subtask.dispatched'] ?? 0) - from],
    'to the worker': between('subtask.dispatched', 'attempt.begun'),
    'clone and start': between('attempt.begun', 'began'),
    'commit and evidence': between('ended', 'attempt.finished'),
    'to the gate': between('attempt.finished', 'candidate.submitted'),
    gate: between('candidate.submitted', 'verdict.reached'),
    merge: between('verdict.reached', 'merge.finished'),
    'to the next': next,
    'result and report': [to - (chains.at(-1)?.['merge.finished'] ?? 0)],
  };
};
