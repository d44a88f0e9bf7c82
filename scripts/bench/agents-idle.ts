/**
 * What a session of Claude Code costs while it does nothing but wait: for the model, in the middle of an answer; and
 * between two runs, when there is no process of it at all.
 *
 * Counted is all that a worker has started for it: the CLI, its leash, its sandbox. PSS shares among processes what
 * they have in common (https://docs.kernel.org/filesystems/proc.html), so the sum is what they take together.
 */
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Script, use } from '../../test/tools/messages-api/messages-api.ts';
import { type AgentsBench, type AgentsPart, type ClaudeGround, inTime, messageOf, withClaude } from './agents-part.ts';
import { completed } from './bench-fleet.ts';
import { figure, median, shown } from './figures.ts';
import { cpuMsOf, descendantsOf, memoryOf } from './process-cost.ts';

/** MB and per cent of a core, for one session; `by` is PSS by the name of the program. */
type Round = { each: number; cpu: number; worker: number; by: Record<string, number>; left: number; diskKb: number };

export const idle: AgentsPart = async (bench) => {
  const sessions = bench.small ? 2 : 24;
  const found: Round[] = [];
  for (let round = 1; round <= bench.rounds; round += 1) {
    found.push(await playRound(bench, sessions));
    const { each, left } = found.at(-1) as Round;
    bench.say(`idle, round ${round} of ${bench.rounds}: ${shown(each, 'MB')} each; ${left} processes after their runs`);
  }
  const at = (read: (round: Round) => number): number => median(found.map(read));
  const names = [...new Set(found.flatMap(({ by }) => Object.keys(by)))];
  const parts = names.map(
    (name) =>
      `${name} ${shown(
        at(({ by }) => by[name] ?? 0),
        'MB',
      )}`,
  );
  return {
    figures: [
      figure(
        `${sessions} sessions that wait for the model: memory of each (PSS)`,
        'MB',
        found.map(({ each }) => each),
        { atMost: 130 },
      ),
      figure(
        'a session between two runs: processes',
        'ratio',
        found.map(({ left }) => left),
        { atMost: 0 },
      ),
    ],
    where: [
      `of each: ${parts.join(', ')}; CPU ${shown(
        at(({ cpu }) => cpu),
        '%',
      )} of a core`,
      `beside it the worker grew by ${shown(
        at(({ worker }) => worker),
        'MB',
      )} for each`,
      `between two runs: a document in Redis and ${at(({ diskKb }) => diskKb).toFixed(0)} kB of transcript`,
    ],
    data: { sessions, rounds: found },
  };
};

/** Agents that have written a file, and then wait in the middle of an answer until they are let go on. */
const playRound = async (bench: AgentsBench, sessions: number): Promise<Round> => {
  const gate = Promise.withResolvers<void>();
  const all = Promise.withResolvers<void>();
  const waiting = new Set<unknown>();
  const script: Script = async (ask) => {
    if (ask.turn === 0) return use('Write', { file_path: 'hello.txt', content: 'Hello.\n' });
    waiting.add(ask.headers['x-claude-code-session-id']);
    if (waiting.size === sessions) all.resolve();
    await gate.promise;
    return use('StructuredOutput', { summary: 'It says hello.' });
  };
  // So many at a time from the beginning, and not only once the provider has shown that it takes them.
  const settings = { NEXUS_SLOTS: String(sessions), NEXUS_PROVIDER_START: String(sessions) };
  return withClaude(bench, { script, settings }, async (ground) => {
    const { client } = ground.fleet;
    const worker = workerOf(ground);
    const before = memoryOf(worker).pss;
    const ask = (n: number) => client.submit({ request: `Say hello in a file (${n}).`, roles: ['builder'] });
    const tasks = await Promise.all(Array.from({ length: sessions }, (_, n) => ask(n)));
    await inTime('all wait for the model', all.promise, 600_000);
    const cost = await costOf(worker, sessions, bench.small ? 2000 : 10_000);
    const grown = (memoryOf(worker).pss - before) / sessions;
    gate.resolve();
    for (const { task_id } of tasks) await messageOf(ground.journal, 'attempt.finished', task_id);
    const left = descendantsOf(worker).filter(({ name }) => name.startsWith('claude')).length;
    for (const { task_id } of tasks) await completed(client, task_id);
    const found = (await client.sessions({ limit: 200 })).sessions;
    const kept = found.filter(({ status }) => status === 'idle' || status === 'ended').length;
    if (kept !== sessions) throw new Error(`${kept} of ${sessions} sessions could be gone on with`);
    return {
      ...cost,
      worker: grown,
      left,
      diskKb: bytesIn(join(ground.fleet.folder, 'conversations')) / 1000 / sessions,
    };
  });
};

const workerOf = ({ fleet }: ClaudeGround): number => {
  const found = fleet.fleet.state.processes.find(({ name }) => name === 'worker-agent');
  if (found === undefined) throw new Error('the fleet has no worker');
  return found.pid;
};

/** What a worker has started, for each session, after it has waited for a while. */
const costOf = async (worker: number, sessions: number, restMs: number) => {
  await sleep(restMs / 2);
  const found = descendantsOf(worker);
  const alive = found.filter(({ name }) => name.startsWith('claude')).length;
  if (alive !== sessions) throw new Error(`${alive} sessions wait, and not ${sessions}`);
  const cpu = (): number => found.reduce((sum, { pid }) => sum + cpuMsOf(pid), 0);
  const [began, from] = [performance.now(), cpu()];
  await sleep(restMs);
  const used = (cpu() - from) / (performance.now() - began);
  const by: Record<string, number> = {};
  for (const { pid, name } of found) by[name] = (by[name] ?? 0) + memoryOf(pid).pss / sessions;
  const each = Object.values(by).reduce((sum, mb) => sum + mb, 0);
  return { each, cpu: (used * 100) / sessions, by };
};

const bytesIn = (folder: string): number =>
  readdirSync(folder, { recursive: true })
    .map((path) => statSync(join(folder, String(path))))
    .reduce((sum, found) => sum + (found.isFile() ? found.size : 0), 0);
