/**
 * A whole fleet at work with agents of Claude Code, only their model is scripted: three of them build a small
 * repository, and the worker is killed in the middle of a turn.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openClient } from '@nexus/shared/client';
import { expect, onTestFinished, test } from 'vitest';
import { launchFleet, waitForWorkers } from '../../services/cli/fleet.ts';
import { claudeProgram } from '../tools/claude.ts';
import { eventually } from '../tools/eventually.ts';
import { type Ask, openMessagesApi, type Reply, use } from '../tools/messages-api/messages-api.ts';
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

/** Each writes its file. The tester hangs once, in the middle of a turn, and goes on when it is shown that it has. */
const script = (ask: Ask): Reply => {
  const role = /You are the (\w+) of subtask/.exec(ask.prompt)?.[1] ?? '';
  const [path, content] = files[role] ?? ['notes.md', 'Nothing.\n'];
  const said = JSON.stringify(ask.body.messages);
  if (!said.includes(`Now I write ${path}`)) {
    if (role !== 'tester' || said.includes('The operation that was running is not')) {
      return use('Write', { file_path: path, content }, `Now I write ${path}.`);
    }
    return ask.turn === 0
      ? use('Write', { file_path: 'package.json', content: '{"type":"module"}\n' }, 'The word is plum.')
      : use('Bash', { command: 'sleep 600' });
  }
  return use('StructuredOutput', { summary: `${path} is written.` });
};

test('three agents build a small repository, and a worker that is killed costs nothing but time', async () => {
  const api = await openMessagesApi();
  onTestFinished(() => api.close());
  const home = mkdtempSync(join(tmpdir(), 'nexus-claude-fleet-'));
  onTestFinished(() => rmSync(home, { recursive: true, force: true, maxRetries: 5 }));
  const { config } = testFabric();
  const launch = (folder: string, only?: string[]) => {
    mkdirSync(join(home, folder));
    return launchFleet({
      ...{ home, prefix: config.prefix, workers: 1, port: 0, attached: true },
      ...(only === undefined ? {} : { only }),
      environment: {
        ...{ REDIS_URL: config.redisUrl, NEXUS_TOKEN: token, NEXUS_CONTROL_CHANNEL: `control-${config.prefix}` },
        ...{ NEXUS_RUNTIME: 'claude-code', NEXUS_CLAUDE_PROGRAM: claudeProgram(), NEXUS_CLAUDE_LOGIN: 'api_key' },
        ...{ NEXUS_CLAUDE_FOLDER: join(home, folder), NEXUS_DISK_RESERVE: '0', NEXUS_WATCH_EVERY: '100ms' },
        ...{ ANTHROPIC_API_KEY: 'sk-ant-of-nobody-0123456789', ANTHROPIC_BASE_URL: api.script('fleet', script) },
        ...{ NEXUS_CHECKPOINT_INTERVAL: '1s', NEXUS_CHECKPOINT_QUIET: '100ms' },
      },
    });
  };
  const fleet = await launch('machine-one');
  onTestFinished(async () => void (await fleet.stop(3000)));
  const client = openClient({ url: fleet.state.url, token });
  await waitForWorkers(client);
  const roles = ['builder', 'tester', 'documenter'];
  const { task_id: task } = await client.submit({ request: 'A function that adds two numbers.', roles });
  const hanging = await eventually(
    'the tester is in the middle of a turn, and its conversation is carried',
    async () => {
      const { sessions } = await client.sessions({ task });
      return sessions.find(({ agent_id, tool_calls }) => agent_id === 'tester' && tool_calls >= 2);
    },
    90_000,
  );
  expect((await client.session(hanging.session_id)).transcript).toContain('sleep 600');
  const worker = fleet.state.processes.find(({ name }) => name === 'worker-agent');
  process.kill(worker?.pid ?? 0, 'SIGKILL');
  const next = await launch('machine-two', ['worker-agent']);
  onTestFinished(async () => void (await next.stop(3000)));
  const ended = await eventually(
    'the task has ended',
    async () => {
      const shown = await client.task(task);
      return ['completed', 'failed', 'waiting_for_person'].includes(shown.status) ? shown : undefined;
    },
    120_000,
  );
  expect(ended).toMatchObject({ status: 'completed', reason: null });
  const { result } = ended;
  const show = (path: string) =>
    execFileSync('git', ['show', `${result?.commit}:${path}`], { cwd: result?.repository ?? '', encoding: 'utf8' });
  for (const [path, content] of Object.values(files)) expect(show(path)).toBe(content);
  expect(ended.subtasks.map(({ attempt }) => attempt)).toEqual([1, 1, 1]);
  const { sessions } = await client.sessions({ task });
  expect(new Set(sessions.map(({ agent_id }) => agent_id))).toEqual(new Set(roles));
  const resumed = sessions.find(({ session_id }) => session_id === hanging.session_id);
  expect(resumed).toMatchObject({ status: 'idle', cost: { usd: expect.any(Number), notional: false } });
  expect(resumed?.instance_id).not.toBe(hanging.instance_id);
}, 240_000);
