/**
 * `npm run test:sessions`: shows for every agent that its sessions are managed, a line each.
 *
 *   npm run test:sessions                        every agent of the catalog
 *   npm run test:sessions -- --agents builder,tester
 *   npm run test:sessions -- --at-once 8         so many agents side by side
 *   npm run test:sessions -- --patience 600      so many seconds for each step, on a machine with other work
 *
 * A real fleet runs the real CLI of Claude Code; only the model is scripted, so nothing is paid. Each agent begins, and
 * is left hanging in the middle of a turn; then its worker is killed with SIGKILL. The next worker has another folder
 * for conversations, as another machine would, so it has to go on from what was carried. In the end each session is
 * ended, and what was kept of it has to go. Exit code 0 only if all of it came to pass for every agent.
 */
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { eraseFabric } from '@nexus/shared/bus';
import { openCatalog } from '@nexus/shared/catalog';
import { type Client, openClient, type SessionShown } from '@nexus/shared/client';
import { type Fleet, launchFleet, waitForWorkers } from '../services/cli/fleet.ts';
import { type Ask, hang, openMessagesApi, type Reply, use } from '../test/tools/messages-api/messages-api.ts';
import { readOptions } from './options.ts';
import { provideClaude } from './provide-claude.mjs';

const { values: options } = readOptions(import.meta.filename, {
  options: {
    agents: { type: 'string', default: '' },
    'at-once': { type: 'string', default: '10' },
    patience: { type: 'string', default: '180' },
  },
});

const patienceMs = Number(options.patience) * 1000;
const word = 'The word is plum.';

type Stage = {
  agent: string;
  task: string;
  session?: SessionShown;
  resumed?: SessionShown;
  said: string[];
  ok: boolean;
};

/** Something to do with the tools that an agent has: many may only read. */
const doOne = ({ tools }: Ask, name: string, text: string): Reply => {
  if (tools.includes('Write')) return use('Write', { file_path: `${name}.txt`, content: name }, text);
  return use('Read', { file_path: 'README.md' }, text);
};

/**
 * Begins and hangs, in a command or, where an agent may run none, in the middle of an answer; whoever is shown what was
 * said before goes on, and ends.
 */
const script = (ask: Ask): Reply => {
  const text = JSON.stringify(ask.body.messages);
  if (ask.said.length > 1 && text.includes(word)) {
    return text.includes('I go on.')
      ? use('StructuredOutput', { summary: `I was told before: ${word}` })
      : doOne(ask, 'done', 'I go on.');
  }
  if (ask.turn === 0) return doOne(ask, 'begun', word);
  return ask.tools.includes('Bash') ? use('Bash', { command: 'sleep 600' }) : hang('amid');
};

const main = async (): Promise<number> => {
  const catalog = await openCatalog();
  const wanted = options.agents === '' ? [...catalog.agents.keys()] : options.agents.split(',');
  const unknown = wanted.filter((id) => !catalog.agents.has(id));
  if (unknown.length > 0) throw new Error(`there is no agent ${unknown.join(', ')}`);
  const api = await openMessagesApi();
  const name = `sessions-${randomBytes(3).toString('hex')}`;
  const home = mkdtempSync(join(tmpdir(), 'nexus-sessions-'));
  const token = randomBytes(24).toString('base64url');
  const launch = (folder: string, only?: string[]) =>
    launchFleet({
      ...{ home, prefix: `{${name}}`, workers: 1, port: 0, attached: true },
      ...(only === undefined ? {} : { only }),
      environment: environmentOf(name, token, api.script('agents', script), join(home, folder)),
    });
  const fleet = await launch('machine-0');
  const client = openClient({ url: fleet.state.url, token });
  const fleets = [fleet];
  try {
    await waitForWorkers(client);
    const size = Number(options['at-once']);
    let all = true;
    for (let at = 0; at < wanted.length; at += size) {
      const next = () => launch(`machine-${fleets.length}`, ['worker-agent']).then((one) => fleets.push(one));
      const stages = await tryAgents(client, wanted.slice(at, at + size), { home, fleets, next });
      for (const { agent, said, ok } of stages) {
        console.log(`${ok ? '✓' : '✗'} ${agent.padEnd(22)} ${said.join(' · ')}`);
        all &&= ok;
      }
    }
    return all ? 0 : 1;
  } finally {
    for (const one of fleets.reverse()) await one.stop(3000);
    await api.close();
    rmSync(home, { recursive: true, force: true });
    if (process.env.REDIS_URL) {
      await eraseFabric({ url: process.env.REDIS_URL, password: process.env.REDIS_PASSWORD }, `{${name}}`);
    }
  }
};

const environmentOf = (name: string, token: string, url: string, folder: string): Record<string, string> => {
  mkdirSync(folder, { recursive: true });
  return {
    ...{ NEXUS_RUNTIME: 'claude-code', NEXUS_CLAUDE_PROGRAM: provideClaude(), NEXUS_CLAUDE_LOGIN: 'api_key' },
    ...{ ANTHROPIC_API_KEY: 'sk-ant-nobody', ANTHROPIC_BASE_URL: url, NEXUS_CLAUDE_FOLDER: folder },
    ...{ NEXUS_SLOTS: options['at-once'], NEXUS_TOKEN: token, NEXUS_CONTROL_CHANNEL: `control-${name}` },
    ...{ NEXUS_CHECKPOINT_INTERVAL: '1s', NEXUS_CHECKPOINT_THROTTLE: '500ms', NEXUS_CHECKPOINT_QUIET: '100ms' },
    ...{ NEXUS_WATCH_EVERY: '250ms', NEXUS_SESSION_KEEP: '1s', NEXUS_CLEAN_EVERY: '1s', NEXUS_DISK_RESERVE: '0' },
    ...{ NEXUS_OTHER_AGENTS_MAX: '0', NEXUS_PLANS_MAX: '0', NEXUS_PERSON_TIMEOUT: '1s', NEXUS_DRAIN_GRACE: '0' },
  };
};

type Around = { home: string; fleets: Fleet[]; next: () => Promise<unknown> };

const tryAgents = async (client: Client, agents: string[], { home, fleets, next }: Around): Promise<Stage[]> => {
  const stages: Stage[] = [];
  for (const agent of agents) {
    const { task_id } = await client.submit({ request: 'Write something.', roles: [agent] });
    stages.push({ agent, task: task_id, said: [], ok: true });
  }
  const each = (what: string, work: (stage: Stage) => Promise<string | null>) =>
    Promise.all(stages.filter(({ ok }) => ok).map((stage) => told(client, stage, what, work)));
  await each('created', async (stage) => {
    const [session] = (await client.sessions({ task: stage.task, limit: 200 })).sessions;
    if (session?.status !== 'active') return null;
    stage.session = session;
    return `created ${session.session_id.slice(0, 8)}`;
  });
  await each('persisted', async ({ session }) => {
    const { transcript, transcript_at } = await client.session(session?.session_id ?? '');
    return transcript?.includes(word) ? `persisted in the ledger and at ${transcript_at?.replace(/-.*/, '-…')}` : null;
  });
  const worker = fleets.at(-1)?.state.processes.find((one) => one.name.startsWith('worker-agent'));
  if (worker !== undefined) process.kill(worker.pid, 'SIGKILL');
  await next();
  await each('resumed', async (stage) => {
    const found = (await client.sessions({ task: stage.task, limit: 200 })).sessions;
    const gone = stage.session?.instance_id;
    const [session] = found.filter((one) => one.instance_id !== gone && one.status !== 'active');
    if (session === undefined) return null;
    stage.resumed = session;
    const { transcript } = await client.session(session.session_id);
    if (!transcript?.includes('I go on.')) return null;
    const how = session.session_id === stage.session?.session_id ? 'under its own id' : 'as a copy';
    return `recovered after kill -9 and resumed ${how}`;
  });
  await each('cleaned', async ({ session, resumed }) => {
    const ids = [session?.session_id ?? '', resumed?.session_id ?? ''];
    const { status } = await client.session(ids[1] ?? '');
    if (status === 'idle') await client.endSession(ids[1] ?? '');
    const folder = join(home, `machine-${fleets.length - 1}`, 'projects');
    const kept = existsSync(folder) ? readdirSync(folder, { recursive: true }).map(String) : [];
    return kept.some((path) => ids.some((id) => path.includes(id))) ? null : `${status} and cleaned`;
  });
  return stages;
};

/** Asks until it came to pass; what never did is said as that. */
const told = async (
  client: Client,
  stage: Stage,
  what: string,
  work: (stage: Stage) => Promise<string | null>,
): Promise<void> => {
  let problem = '';
  for (const until = Date.now() + patienceMs; Date.now() < until; await sleep(300)) {
    try {
      const says = await work(stage);
      if (says !== null) {
        stage.said.push(says);
        return;
      }
    } catch (thrown) {
      problem = `: ${(thrown as Error).message}`;
    }
  }
  stage.said.push(`never ${what}${problem || (await standing(client, stage.task))}`);
  stage.ok = false;
};

/** How its task and its sessions stand, for whoever has to find out why. */
const standing = async (client: Client, task: string): Promise<string> => {
  const { status, reason } = await client.task(task);
  const { sessions } = await client.sessions({ task, limit: 200 });
  const each = sessions.map((one) => `${one.session_id.slice(0, 8)} is ${one.status} ${one.why}`.trim());
  return `: its task is ${status}${reason ? ` (${reason})` : ''}; ${each.join(', ') || 'it has no session'}`;
};

process.exitCode = await main();
