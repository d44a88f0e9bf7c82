/**
 * What the fleet adds to a bare `claude -p`: both in turn, the same CLI, prompt, arguments and answers of the model.
 *
 * The bare one is started with what the first agent of the fleet was seen to be started with, in a clone like its own,
 * and talks to the same model without the fleet's proxy. Its time is from its start until its output is closed.
 */
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { cloneAt, hubPath } from '@nexus/shared/git';
import { listMarked } from '@nexus/shared/process';
import { type Ask, type Script, use } from '../../test/tools/messages-api/messages-api.ts';
import { type AgentsBench, type AgentsPart, type ClaudeGround, messageOf, withClaude } from './agents-part.ts';
import { completed } from './bench-fleet.ts';
import { figure, median, shown } from './figures.ts';

/** How a program was started. */
type Start = { args: string[]; env: Record<string, string>; prompt: string };
/** In ms: the bare run; of the fleet's attempt what came before its agent, the agent, what came after, all of it. */
type Pair = { bare: number; before: number; agent: number; after: number; whole: number };

export const added: AgentsPart = async (bench) => {
  const pairs = bench.small ? 2 : 10;
  let start: Start | null = null;
  const script: Script = (ask) => {
    start ??= startOf(ask);
    return ask.turn === 0
      ? use('Write', { file_path: 'hello.txt', content: 'Hello.\n' })
      : use('StructuredOutput', { summary: 'It says hello.' });
  };
  return withClaude(bench, { script }, async (ground) => {
    // The first run of each reads 370 MB from the disk.
    const first = await playFleet(ground);
    if (start === null) throw new Error('the model was never asked');
    await playBare(ground, start, first.task);
    const rounds: Pair[][] = [];
    for (let round = 1; round <= bench.rounds; round += 1) {
      rounds.push(await playPairs(ground, start, pairs));
      bench.say(`added, round ${round} of ${bench.rounds}: ${inWords(rounds.at(-1) ?? [])}`);
    }
    return told(bench, rounds);
  });
};

const playPairs = async (ground: ClaudeGround, start: Start, pairs: number): Promise<Pair[]> => {
  const found: Pair[] = [];
  for (let pair = 0; pair < pairs; pair += 1) {
    const { task, ...fleet } = await playFleet(ground);
    found.push({ bare: await playBare(ground, start, task), ...fleet });
  }
  return found;
};

/** The differences of pairs: a machine that slows down does so for both of them. */
const beyond = (pairs: readonly Pair[], time: 'agent' | 'whole'): number =>
  median(pairs.map((pair) => pair[time] - pair.bare));
const middle = (pairs: readonly Pair[], time: keyof Pair): string =>
  shown(median(pairs.map((pair) => pair[time])), 'ms');

const inWords = (pairs: readonly Pair[]): string =>
  `a bare run ${middle(pairs, 'bare')}; the agent’s run ${shown(beyond(pairs, 'agent'), 'ms')} more, ` +
  `its whole attempt ${shown(beyond(pairs, 'whole'), 'ms')} more`;

const told = ({ small }: AgentsBench, rounds: Pair[][]) => {
  const all = rounds.flat();
  const name = 'beyond a bare `claude -p`:';
  return {
    figures: [
      figure(
        `${name} the agent’s run`,
        'ms',
        rounds.map((pairs) => beyond(pairs, 'agent')),
        { atMost: 150 },
      ),
      figure(
        `${name} the whole attempt, clone and evidence too`,
        'ms',
        rounds.map((pairs) => beyond(pairs, 'whole')),
        { atMost: 1000 },
      ),
    ],
    where: [
      `${all.length} pairs${small ? ', of a small size' : ''}; a bare run takes ${middle(all, 'bare')}, at the median`,
      'the agent’s run: login and CLI looked up, leash, sandbox, proxy for the key, events, its last process gone',
      `the whole attempt, from its beginning to its result in the journal: ${middle(all, 'whole')}, of which ` +
        `${middle(all, 'before')} before the agent (clone, set-up, prompt, session) and ${middle(all, 'after')} ` +
        'after it (commit, push, session, evidence, settlement)',
    ],
    data: { rounds },
  };
};

/** One task with one agent, until all of it has ended. */
const playFleet = async ({ fleet, journal }: ClaudeGround): Promise<Omit<Pair, 'bare'> & { task: string }> => {
  const { client } = fleet;
  const { task_id: task } = await client.submit({ request: 'Say hello in a file.', roles: ['builder'] });
  const begun = await messageOf(journal, 'attempt.begun', task);
  const finished = await messageOf(journal, 'attempt.finished', task);
  await completed(client, task, 100);
  const { logs } = await client.logs(task, { all: true });
  const about = logs.find(({ evidence }) => evidence.path === 'attempt.json')?.text ?? '{}';
  const { agent_began_at, agent_ended_at } = JSON.parse(about) as Record<string, string>;
  const [from, to] = [Date.parse(agent_began_at ?? ''), Date.parse(agent_ended_at ?? '')];
  return {
    task,
    before: from - begun.at,
    agent: to - from,
    after: finished.at - to,
    whole: finished.at - begun.at,
  };
};

/** How the CLI that asks was started: what Linux tells of it, while it waits for its answer. */
const startOf = (ask: Ask): Start => {
  const session = `--session-id=${ask.headers['x-claude-code-session-id']}`;
  for (const { pid } of listMarked()) {
    const [file = '', ...args] = partsOf(`/proc/${pid}/cmdline`);
    if (!file.endsWith('/claude') || !args.includes(session)) continue;
    const env = partsOf(`/proc/${pid}/environ`).map((line) => line.split(/=(.*)/s).slice(0, 2));
    return { args, env: Object.fromEntries(env), prompt: ask.prompt };
  }
  throw new Error('the CLI that asks is not to be found');
};

const partsOf = (file: string): string[] => readFileSync(file, 'utf8').split('\0').slice(0, -1);

let runs = 0;

/** The same without the fleet; in ms. */
const playBare = async ({ fleet, program, url }: ClaudeGround, start: Start, task: string): Promise<number> => {
  runs += 1;
  const [folder, scratch] = [join(fleet.folder, `bare-${runs}`), join(fleet.folder, 'bare-scratch')];
  const { base_commit } = await fleet.client.task(task);
  await cloneAt({ hub: hubPath(fleet.home, task), folder, commit: base_commit ?? '' });
  mkdirSync(scratch, { recursive: true });
  const own = { ANTHROPIC_BASE_URL: url, ANTHROPIC_API_KEY: 'sk-ant-nobody' };
  const places = { CLAUDE_CONFIG_DIR: join(fleet.folder, 'bare-conversations'), CLAUDE_CODE_TMPDIR: scratch };
  const env = Object.entries({ ...start.env, ...own, ...places }).filter(([name]) => !name.startsWith('NEXUS_'));
  const args = start.args.map((arg) => (arg.startsWith('--session-id=') ? `--session-id=${randomUUID()}` : arg));
  const began = performance.now();
  const child = spawn(program, args, { cwd: folder, env: Object.fromEntries(env), stdio: ['pipe', 'pipe', 'inherit'] });
  const said: Buffer[] = [];
  child.stdin.end(start.prompt);
  child.stdout.on('data', (chunk) => said.push(chunk));
  const [code] = await once(child, 'close');
  if (code !== 0) throw new Error(`the bare CLI ended with ${code}: ${Buffer.concat(said)}`.slice(0, 4000));
  return performance.now() - began;
};
