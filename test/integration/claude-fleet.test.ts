/**
 * A whole fleet at work, only its models are scripted: a planner of the runtime `openai` cuts a request into three
 * parts, three agents of Claude Code build them, and the worker is killed in the middle of a turn.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Client, openClient } from '@nexus/shared/client';
import { expect, onTestFinished, test } from 'vitest';
import { launchFleet, waitForWorkers } from '../../services/cli/fleet.ts';
import { claudeProgram } from '../tools/claude.ts';
import { eventually } from '../tools/eventually.ts';
import { type Ask, openMessagesApi, type Reply, use } from '../tools/messages-api/messages-api.ts';
import { type ChatRequest, openOpenaiApi, type Reply as Said } from '../tools/openai-api/openai-api.ts';
import { testFabric } from '../tools/redis.ts';

const token = 'the-token-of-this-test';
const files: Record<string, [string, string]> = {
  builder: ['src/add.js', 'export const add = (a, b) => a + b;\n'],
  tester: [
    'test/add.test.js',
    "import test from 'node:test';\nimport assert from 'node:assert';\nimport { add } from '../src/add.js';\n" +
      "test('adds', () => assert.equal(add(1, 2), 3));\n",
  ],
  documenter: ['README.md', '# add\n\nAdds two numbers.\n'],
};
const part = (id: string, role: string, depends_on: string[]) => ({
  ...{ id, role, title: `Write ${files[role]?.[0]}`, goal: `Write ${files[role]?.[0]}.`, depends_on },
  acceptance: ['It is there.'],
});
const plan = {
  subtasks: [part('code', 'builder', []), part('tests', 'tester', ['code']), part('readme', 'documenter', [])],
};

/** The planner leaves its plan, and ends. */
const planner = (_request: ChatRequest, count: number): Said => ({
  calls: [
    count === 1
      ? { tool: 'write', input: { path: '.nexus/plan.json', text: JSON.stringify(plan) } }
      : { tool: 'finish', input: { summary: 'Three parts, of which two can be built side by side.' } },
  ],
});

/** Each writes its file. The tester hangs once, in the middle of a turn, and goes on when it is shown that it has. */
const builders = (ask: Ask): Reply => {
  const role = /You are the (\w+) of subtask/.exec(ask.prompt)?.[1] ?? '';
  const [path, content] = files[role] ?? ['notes.md', 'Nothing.\n'];
  const said = JSON.stringify(ask.body.messages);
  if (!said.includes(`Now I write ${path}`)) {
    if (role !== 'tester' || goesOn(ask)) {
      return use('Write', { file_path: path, content }, `Now I write ${path}.`);
    }
    return ask.turn === 0
      ? use('Write', { file_path: 'test/numbers.json', content: '[1, 2]\n' }, 'The word is plum.')
      : use('Bash', { command: 'sleep 600' });
  }
  return use('StructuredOutput', { summary: `${path} is written.` });
};
const goesOn = ({ said }: Ask): boolean => said.some((text) => text.includes('The operation that was running is not'));

/** A repository with a test command and nothing to test. */
const emptyProject = (folder: string): string => {
  mkdirSync(folder);
  const scripts = { test: 'node --test' };
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ name: 'add', type: 'module', scripts }));
  const git = (...words: string[]) =>
    execFileSync('git', ['-c', 'user.name=P', '-c', 'user.email=p@p', ...words], { cwd: folder });
  git('init', '-q', '-b', 'main');
  git('add', '.');
  git('commit', '-q', '-m', 'Begin');
  return folder;
};

/** The built-in planner, but of another runtime than the fleet's. */
const folderOfAgents = (home: string): string => {
  const folder = join(home, 'agents');
  mkdirSync(folder);
  const builtIn = readFileSync(new URL('../../shared/agents/planner.md', import.meta.url), 'utf8');
  writeFileSync(join(folder, 'planner.md'), builtIn.replace('\nmodel: ', '\nruntime: openai\nmodel: '));
  return folder;
};

const open = async () => {
  const api = await openMessagesApi();
  onTestFinished(() => api.close());
  const openai = await openOpenaiApi(planner);
  onTestFinished(() => openai.close());
  const home = mkdtempSync(join(tmpdir(), 'nexus-claude-fleet-'));
  onTestFinished(() => rmSync(home, { recursive: true, force: true, maxRetries: 5 }));
  const { config } = testFabric();
  const environment = {
    ...{ REDIS_URL: config.redisUrl, NEXUS_TOKEN: token, NEXUS_CONTROL_CHANNEL: `control-${config.prefix}` },
    ...{ NEXUS_RUNTIME: 'claude-code', NEXUS_CLAUDE_PROGRAM: claudeProgram(), NEXUS_CLAUDE_LOGIN: 'api_key' },
    ...{ NEXUS_AGENTS_FOLDER: folderOfAgents(home), NEXUS_DISK_RESERVE: '0', NEXUS_WATCH_EVERY: '100ms' },
    ...{ ANTHROPIC_API_KEY: 'sk-ant-of-nobody-0123456789', ANTHROPIC_BASE_URL: api.script('fleet', builders) },
    ...{ NEXUS_MODEL_URL: openai.url, OPENAI_API_KEY: openai.key, NEXUS_OPENAI_MODEL: 'test-model' },
    // The agent plans, not the fleet for it.
    NEXUS_MODEL_BY: 'none',
    ...{ NEXUS_CHECKPOINT_INTERVAL: '1s', NEXUS_CHECKPOINT_QUIET: '100ms' },
  };
  const launch = async (folder: string, only?: string[]) => {
    mkdirSync(join(home, folder));
    const fleet = await launchFleet({
      ...{ home, prefix: config.prefix, workers: 1, port: 0, attached: true },
      ...(only === undefined ? {} : { only }),
      environment: { ...environment, NEXUS_CLAUDE_FOLDER: join(home, folder) },
    });
    onTestFinished(async () => void (await fleet.stop(3000)));
    return fleet;
  };
  return { home, openai, launch, asks: () => api.asks('fleet') };
};

/** What each attempt left of itself, by its agent. */
const attemptsOf = async (client: Client, task: string): Promise<Map<string, Record<string, unknown>>> => {
  const { logs } = await client.logs(task, { all: true });
  const left = logs.filter(({ evidence }) => evidence.path === 'attempt.json');
  return new Map(left.map(({ agent_id, text }) => [agent_id, JSON.parse(text ?? '')]));
};

test('three agents build what a planner of another runtime cut, and a killed worker costs only time', async () => {
  const { home, openai, launch, asks } = await open();
  const repository = emptyProject(join(home, 'project'));
  const fleet = await launch('machine-one');
  const client = openClient({ url: fleet.state.url, token });
  await waitForWorkers(client);
  const request = { request: 'A function that adds two numbers.', roles: ['planner', 'builder'], repository };
  const { task_id: task } = await client.submit(request);
  const hanging = await eventually(
    'the tester is in the middle of a turn, and its conversation is carried',
    async () => {
      const found = (await client.sessions({ task })).sessions.find(({ agent_id }) => agent_id === 'tester');
      const { transcript = null } = found ? await client.session(found.session_id) : {};
      return transcript?.includes('sleep 600') ? found : undefined;
    },
    60_000,
  );
  const worker = fleet.state.processes.find(({ name }) => name === 'worker-agent');
  process.kill(worker?.pid ?? 0, 'SIGKILL');
  await launch('machine-two', ['worker-agent']);
  const ended = await eventually(
    'the task has ended',
    async () => {
      const shown = await client.task(task);
      return ['completed', 'failed', 'waiting_for_person'].includes(shown.status) ? shown : undefined;
    },
    60_000,
  );
  expect(ended).toMatchObject({ status: 'completed', reason: null });
  expect(ended.subtasks.map(({ id, attempt }) => [id, attempt])).toEqual([
    ['planner', 1],
    ['code', 1],
    ['tests', 1],
    ['readme', 1],
  ]);

  // The whole of it is in the branch, and its own tests pass.
  const clone = join(home, 'clone');
  execFileSync('git', ['clone', '-q', '--branch', ended.result?.branch ?? '', repository, clone]);
  for (const [path, content] of Object.values(files)) expect(readFileSync(join(clone, path), 'utf8')).toBe(content);
  expect(execFileSync('npm', ['test', '--silent'], { cwd: clone, encoding: 'utf8' })).toMatch(/pass 1\b/);

  // The model was shown, by the worker that took over, what it had said and done before.
  const resumed = asks().find((ask) => goesOn(ask));
  expect(JSON.stringify(resumed?.body.messages)).toMatch(/The word is plum\..*numbers\.json.*sleep 600/);
  const { sessions } = await client.sessions({ task });
  const after = sessions.find(({ session_id }) => session_id === hanging.session_id);
  expect(after).toMatchObject({ status: 'idle', cost: { usd: expect.any(Number), notional: false } });
  expect(after?.instance_id).not.toBe(hanging.instance_id);

  const attempts = await attemptsOf(client, task);
  for (const agent of Object.keys(files)) {
    expect(attempts.get(agent)).toMatchObject({
      ...{ runtime: 'claude-code', login: 'api_key', model: expect.stringMatching(/^claude-/), exit_code: 0 },
      session_id: sessions.find(({ agent_id }) => agent_id === agent)?.session_id,
      usage: { input_tokens: expect.any(Number) },
      cost: { usd: expect.any(Number), tokens: expect.any(Number) },
    });
  }
  expect(attempts.get('planner')).toMatchObject({ runtime: 'openai', model: 'test-model', cost: { tokens: 240 } });
  expect(openai.requests).toHaveLength(2);
}, 150_000);
