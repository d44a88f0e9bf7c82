/** The gateway as its own process: start, token, control, the first words of a bad start, and the end. */

import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, rmSync, utimesSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ClientProblem, openClient } from '@nexus/shared/client';
import { freePort } from '@nexus/shared/process';
import { expect, onTestFinished, test } from 'vitest';
import { eventually } from '../tools/eventually.ts';
import { consumeAll } from '../tools/messages.ts';
import { startRedis, type TestFabric, testFabric } from '../tools/redis.ts';
import { spawnService } from '../tools/service-process.ts';
import { brokenSave } from './faults/standing.ts';

type Started = { child: ChildProcess; said(): string; ended: Promise<number | null> };

const start = (fabric: TestFabric, env: Record<string, string> = {}): Started => {
  const { child, said } = spawnService('gateway', fabric, env);
  const ended = once(child, 'exit').then(([code]) => code as number | null);
  onTestFinished(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  return { child, said, ended };
};

const serving = async (started: Started): Promise<string> =>
  eventually('the gateway serves', () => {
    const found = /"address":"(http:[^"]+)"/.exec(started.said());
    if (found === null && started.child.exitCode !== null) throw new Error(started.said());
    return found?.[1];
  });

test('two gateways of one fabric make one token, and both take it', async () => {
  const fabric = testFabric();
  const both = [start(fabric, { NEXUS_PORT: '0' }), start(fabric, { NEXUS_PORT: '0' })];
  const urls = await Promise.all(both.map(serving));
  const token = await fabric.redis.get(`${fabric.config.prefix}:once:token`);
  expect(token).toMatch(/^[\w-]{32}$/);
  for (const url of urls) {
    const client = openClient({ url, token: token ?? '' });
    const { total_agents, system_health, says } = await client.agents();
    expect(total_agents).toBeGreaterThan(5);
    expect([system_health, says]).toEqual(['bad', expect.stringContaining('worker-agent')]);
    await expect(openClient({ url, token: 'another' }).agents()).rejects.toBeInstanceOf(ClientProblem);
  }
  expect(both.map(({ said }) => said()).join()).not.toContain(token);
});

test('beside a Redis that cannot save, what it holds is shown, and what writes is refused in its words', async () => {
  const server = await startRedis();
  const fabric = testFabric(server.url, { NEXUS_REDIS_CHECK: '100ms' });
  const url = await serving(start(fabric, { NEXUS_PORT: '0', REDIS_URL: server.url }));
  const token = (await fabric.redis.get(`${fabric.config.prefix}:once:token`)) ?? '';
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
  const mend = await brokenSave(server, fabric.redis);
  const task = JSON.stringify({ request: 'a', agent_command: 'true' });
  const submit = () => fetch(`${url}/api/tasks`, { method: 'POST', headers, body: task });
  const health = async () => (await (await fetch(`${url}/health`)).json()) as { status: string; code?: string };
  await eventually('it knows', async () => {
    const { status, code } = await health();
    return status === 'failing' && code === 'REDIS_DISK';
  });
  const refused = await submit();
  expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '5']);
  expect(await refused.json()).toMatchObject({ code: 'REDIS_DISK', detail: expect.stringContaining('MISCONF') });
  for (const path of ['/api/tasks', '/api/system', '/api/agents']) {
    expect([path, (await fetch(`${url}${path}`, { headers })).status]).toEqual([path, 200]);
  }
  await mend();
  await eventually('it takes writes again', async () => (await health()).status === 'ok');
});

test('a gateway that starts removes the files with credentials that a killed one left', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'nexus-gateway-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const left = join(folder, 'nexus-secret-elsewhere-1-abcdef');
  mkdirSync(left);
  utimesSync(left, 0, 0);
  await serving(start(testFabric(), { NEXUS_PORT: '0', TMPDIR: folder }));
  await eventually('it is gone', () => !existsSync(left));
});

test('a stop is told to every instance, confirmed by it, and taken back', async () => {
  const fabric = testFabric();
  const gateway = start(fabric, { NEXUS_PORT: '0', NEXUS_TOKEN: 'the-token' });
  const client = openClient({ url: await serving(gateway), token: 'the-token' });
  const stopped = await client.command('STOP_ALL');
  expect(stopped).toMatchObject({ state: 'stopped', by: 'token:admin' });
  expect(stopped.epoch).toBeGreaterThan(0);
  await eventually('the gateway has confirmed it', async () =>
    (await client.control()).instances.some(
      ({ service, confirmed_epoch }) => service === 'gateway' && confirmed_epoch === stopped.epoch,
    ),
  );
  await client.command('RESUME_ALL');
  expect(await client.control()).toMatchObject({ state: 'running' });
  const unknown = client.command('PAUSE_ALL', { task: 'some-task-abcdef' });
  await expect(unknown).rejects.toMatchObject({ code: 'TASK_UNKNOWN' });
  await fabric.redis.hset(`${fabric.config.prefix}:task:some-task-abcdef`, 'status', 'in_progress');
  const { scopes } = await client.command('PAUSE_ALL', { task: 'some-task-abcdef' });
  expect(scopes).toEqual({ 'task:some-task-abcdef': 'paused' });
  expect((await client.system()).control).toMatchObject({ state: 'running', scopes });
});

test('a dead letter is listed with its cause, shown with its message, replayed and dropped', async () => {
  const fabric = testFabric();
  const gateway = start(fabric, { NEXUS_PORT: '0', NEXUS_TOKEN: 'the-token' });
  const client = openClient({ url: await serving(gateway), token: 'the-token' });
  const orchestrator = await fabric.open('orchestrator');
  const inbox = orchestrator.keys.inbox('orchestrator', 'NORMAL');
  consumeAll(orchestrator, 'orchestrator');
  await fabric.redis.xadd(inbox, '*', 'm', '{"type": "task.sub');
  await fabric.redis.xadd(inbox, '*', 'm', JSON.stringify({ type: 'task.invented', task_id: 'a-task', payload: {} }));
  const list = await eventually('both are dead', async () => {
    const found = await client.deadLetters();
    return found.total === 2 && found;
  });
  expect(list.dead_letters.map(({ code }) => code).sort()).toEqual(['MESSAGE_MALFORMED', 'MESSAGE_UNKNOWN']);
  const { id } = list.dead_letters.find(({ code }) => code === 'MESSAGE_UNKNOWN') ?? { id: '' };
  const letter = await client.deadLetter(id);
  expect(letter).toMatchObject({ type: 'task.invented', service: 'orchestrator' });
  expect(letter.says).toContain('task.submitted');
  await expect(client.replay(id)).rejects.toMatchObject({ status: 422, code: 'LETTER_UNREADABLE' });
  expect(await client.drop(id)).toMatchObject({ id, status: 'dropped', entry: null });
  await expect(client.drop(id)).rejects.toMatchObject({ status: 409, code: 'LETTER_DECIDED' });
  expect((await client.deadLetters()).total).toBe(1);
});

test('a bad start says everything at once and exits with a code that tells which kind', async () => {
  const fabric = testFabric();
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  const taken = start(fabric, { NEXUS_PORT: String((server.address() as AddressInfo).port) });
  expect(await taken.ended).toBe(78);
  expect(taken.said()).toMatch(/PORT_TAKEN.*NEXUS_PORT/s);

  const open = start(fabric, { NEXUS_PORT: '0', NEXUS_HOST: '0.0.0.0', NEXUS_AUTH: 'off' });
  expect(await open.ended).toBe(78);
  expect(open.said()).toContain('NEXUS_AUTH_OFF_ANYWHERE');

  const wrong = start(fabric, { NEXUS_PORT: 'many', NEXUS_AUTH: 'maybe', NEXUS_PROBE_TIMEOUT: 'soon' });
  expect(await wrong.ended).toBe(78);
  expect(wrong.said()).toMatch(/3 problem/);
  for (const name of ['NEXUS_PORT', 'NEXUS_AUTH', 'NEXUS_PROBE_TIMEOUT']) expect(wrong.said()).toContain(name);

  const alone = start(fabric, { NEXUS_PORT: '0', REDIS_URL: `redis://127.0.0.1:${await freePort()}` });
  expect(await alone.ended).toBe(69);
});

test('a gateway that is told to end says goodbye to its followers and leaves nothing behind', async () => {
  const fabric = testFabric();
  const gateway = start(fabric, { NEXUS_PORT: '0', NEXUS_TOKEN: 'the-token' });
  const client = openClient({ url: await serving(gateway), token: 'the-token' });
  const reading = (async () => {
    for await (const _ of client.events()) {
      // The end is what counts.
    }
    return 'ended';
  })();
  await eventually('somebody follows', async () => /nexus_followers_count\S* 1/.test(await client.metrics()));
  gateway.child.kill('SIGTERM');
  expect(await reading).toBe('ended');
  expect(await gateway.ended).toBe(0);
  expect(await fabric.redis.hgetall(`${fabric.config.prefix}:presence`)).toEqual({});
});
