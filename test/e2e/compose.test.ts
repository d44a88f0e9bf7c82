/**
 * The fleet as the README starts it: docker-compose.yml, the image, the gateway's port, redis-cli. One fleet for
 * all tests of this file, which follow each other: a task is stopped in the middle by one and ends in the next.
 */
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Client, openClient, type TaskDetail } from '@nexus/shared/client';
import { afterAll, beforeAll, expect, onTestFailed, test } from 'vitest';
import { eventually } from '../tools/eventually.ts';
import { composeFleet, type Fleet } from './compose.ts';

/** Agents wait for a file that the test makes after the stop; this line is how their processes are known. */
const goOn = '/var/lib/nexus/e2e-go-on';
const waiting = `for turn in $(seq 600); do [ -e ${goOn} ] && exit 0; sleep 0.5; done; exit 1`;
const parts = ['north', 'east', 'south', 'west', 'above', 'below'];

const scenario = `
name: Six parts side by side
subtasks:
  plan:
    - - plan:
          subtasks:
${parts.map((id) => `            - { id: ${id}, title: Write ${id}, role: builder, goal: Write ${id}.txt }`).join('\n')}
      - report: { summary: Six independent parts. }
  builder:
    - - write: { started.txt: "started\\n" }
      - run: '${waiting.replaceAll("'", "''")}'
      - run: 'rm -f started.txt; echo "made by $$" > "$(basename "$PWD")-$$.txt"'
      - report: { summary: Wrote a part. }
`;

const repositories = mkdtempSync(join(tmpdir(), 'nexus-e2e-'));
const git = (...words: string[]): string =>
  execFileSync('git', ['-c', 'safe.directory=*', '-C', join(repositories, 'shop'), ...words], {
    encoding: 'utf8',
  }).trim();

let fleet: Fleet;
let client: Client;
let token = '';
let taskId = '';

beforeAll(async () => {
  makeRepository();
  fleet = await composeFleet({
    NEXUS_REHEARSAL: 'on',
    NEXUS_SLOTS: '2',
    NEXUS_REPOSITORIES_DIR: repositories,
    // Redis asks for a password with every character that a shell or a file could stumble over.
    REDIS_PASSWORD: 'pa ss"w\'rd',
  });
  await fleet.compose('build');
  await fleet.compose('up', '-d', '--wait', '--scale', 'worker-agent=3');
  token = await fleet.exec('gateway', 'nexus', 'token');
  client = openClient({ url: fleet.url, token });
});

afterAll(async () => {
  await fleet?.remove();
  rmSync(repositories, { recursive: true, force: true });
});

/** A small repository with a suite of its own, which the containers' user may write to. */
const makeRepository = (): void => {
  execFileSync('git', ['init', '-q', '-b', 'main', join(repositories, 'shop')]);
  const suite = "import { test } from 'node:test';\ntest('the shop is open', () => {});\n";
  writeFileSync(
    join(repositories, 'shop/package.json'),
    '{ "type": "module", "scripts": { "test": "node --test" } }\n',
  );
  writeFileSync(join(repositories, 'shop/shop.test.js'), suite);
  git('add', '.');
  git('-c', 'user.name=Ann', '-c', 'user.email=ann@example.org', 'commit', '-qm', 'Open the shop');
  chmodSync(repositories, 0o755);
  execFileSync('chmod', ['-R', 'a+rwX', repositories]);
};

const explainFailures = (): void =>
  onTestFailed(async () => console.log(await fleet.compose('logs', '--no-color', '--tail', '60')));

const working = (task: TaskDetail) => task.subtasks.filter(({ state }) => state === 'working');

/** The task as it ended, whichever way. */
const ended = (id: string): Promise<TaskDetail> =>
  eventually(
    `task ${id} ends`,
    async () => {
      const seen = await client.task(id);
      return ['completed', 'failed', 'cancelled'].includes(seen.status) && seen;
    },
    180_000,
  );

/** Processes of agents that wait, over all workers. */
const agentProcesses = async (): Promise<number> => {
  const counts = await Promise.all(
    (await fleet.containers('worker-agent')).map((id) => fleet.within(id, `pgrep -fc '[e]2e-go-on' || true`)),
  );
  return counts.reduce((sum, count) => sum + Number(count), 0);
};

test('the quick start: a task by HTTP, done by an agent’s command, in a repository of its own', async () => {
  explainFailures();
  const agent = 'cat >/dev/null; echo "console.log(1)" > hello.js';
  const response = await fetch(`${fleet.url}/api/tasks`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${token}` },
    body: JSON.stringify({ request: 'Create a simple hello world function', agent_command: agent }),
  });
  expect(response.status).toBe(202);
  const accepted = (await response.json()) as { task_id: string };
  expect(accepted).toMatchObject({ status: 'accepted', estimated_completion: null, assigned_agents: [] });
  expect(accepted).toHaveProperty('tracking_url', `/api/tasks/${accepted.task_id}`);
  const task = await ended(accepted.task_id);
  expect(task).toMatchObject({ status: 'completed', reason: null });
  const folder = `/var/lib/nexus/repositories/${accepted.task_id}`;
  expect(await fleet.exec('finalizer', 'git', '-C', folder, 'show', `${task.result?.branch}:hello.js`)).toBe(
    'console.log(1)',
  );
});

test('nobody without the token gets in', async () => {
  expect((await fetch(`${fleet.url}/api/tasks`)).status).toBe(401);
  expect((await fetch(`${fleet.url}/health`)).status).toBe(200);
});

test('three workers share the parts of one task', async () => {
  explainFailures();
  const request = { request: 'Write six parts', workflow: 'simple', repository: '/repositories/shop', scenario };
  taskId = (await client.submit(request)).task_id;
  await eventually('six agents work', async () => working(await client.task(taskId)).length === 6, 60_000);
  const busy = await eventually(
    'three workers are seen at work',
    async () => {
      const { workers } = await client.agents();
      return workers.filter(({ busy }) => busy > 0).length === 3 && workers;
    },
    20_000,
  );
  expect(busy).toHaveLength(3);
  await eventually('their processes are there', async () => (await agentProcesses()) >= 6, 20_000);
});

test('redis-cli PUBLISH control STOP_ALL ends every agent process within seconds', async () => {
  explainFailures();
  const receivers = await fleet.exec('redis', 'redis-cli', 'PUBLISH', 'control', 'STOP_ALL');
  const published = performance.now();
  expect(Number(receivers)).toBeGreaterThanOrEqual(8);
  await eventually('no agent process is left in any worker', async () => (await agentProcesses()) === 0, 5000);
  expect(performance.now() - published).toBeLessThan(5000);
  expect((await client.control()).state).toBe('stopped');
  expect((await client.task(taskId)).status).toBe('stopped');
});

test('RESUME_ALL lets the same task go on to its end, gated and pushed', async () => {
  explainFailures();
  await fleet.exec('worker-agent', 'touch', goOn);
  await fleet.exec('redis', 'redis-cli', 'PUBLISH', 'control', 'RESUME_ALL');
  const task = await ended(taskId);
  expect(task).toMatchObject({ status: 'completed', reason: null });
  expect(task.result?.checks).toMatchObject({ failed: 0, broken: 0 });
  expect(git('rev-parse', `nexus/${taskId}`)).toBe(task.result?.commit);
  expect(git('ls-tree', '--name-only', `nexus/${taskId}`).split('\n')).toHaveLength(2 + parts.length);
  expect(git('rev-parse', '--abbrev-ref', 'HEAD')).toBe('main');
});

test('a message that is no message is a dead letter, seen by redis-cli and by nexus dlq', async () => {
  explainFailures();
  await fleet.exec('redis', 'redis-cli', 'XADD', '{nexus}:inbox:orchestrator:NORMAL', '*', 'm', 'not json');
  await eventually(
    'it is buried',
    async () => (await fleet.exec('redis', 'redis-cli', 'HLEN', '{nexus}:dead')) === '1',
    20_000,
  );
  expect(await fleet.exec('redis', 'redis-cli', 'HVALS', '{nexus}:dead')).toContain('MESSAGE_MALFORMED');
  const [letter] = (await client.deadLetters()).dead_letters;
  expect(letter).toMatchObject({ code: 'MESSAGE_MALFORMED' });
  expect(await fleet.exec('gateway', 'nexus', 'dlq', 'ls')).toContain('MESSAGE_MALFORMED');
  expect(await fleet.exec('gateway', 'nexus', 'dlq', 'show', String(letter?.id))).toContain('not json');
  await fleet.exec('gateway', 'nexus', 'dlq', 'drop', String(letter?.id));
  expect((await client.deadLetters()).dead_letters).toEqual([]);
});

test('a message that a person writes with redis-cli reaches its service', async () => {
  explainFailures();
  const message = { message_type: 'task.submitted', priority: 'medium', payload: { request: 'Written by hand' } };
  const words = ['XADD', '{nexus}:inbox:orchestrator:HIGH', '*', 'm', JSON.stringify(message)];
  await fleet.exec('redis', 'redis-cli', ...words);
  await eventually(
    'the task is listed',
    async () => (await client.tasks()).tasks.some(({ title }) => title.includes('Written by hand')),
    20_000,
  );
});
