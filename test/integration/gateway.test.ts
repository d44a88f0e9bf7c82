/**
 * The gateway on a real fabric, spoken to by the real client: submitting, following, looking, ending. The
 * other side of each message is played by a bus of that service whose handler writes what the test needs.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { done } from '@nexus/shared/bus';
import type { Client, FleetEvent } from '@nexus/shared/client';
import { writeReport } from '@nexus/shared/ledger/write';
import { expect, onTestFinished, test } from 'vitest';
import { eventually } from '../tools/eventually.ts';
import { beside, refusal, serve, token, writeDown } from '../tools/live-gateway.ts';
import { consumeAll } from '../tools/messages.ts';

test('a task is known from its 202 on: first as accepted, then as the orchestrator has it', async () => {
  const { client, fabric } = await serve();
  const accepted = await client.submit({ request: 'Créate a simple hello world function, please' });
  expect(accepted).toMatchObject({ status: 'accepted', estimated_completion: null, assigned_agents: [] });
  expect(accepted.task_id).toMatch(/^create-a-simple-hello/);
  const unread = await client.task(accepted.task_id);
  expect(unread).toMatchObject({ status: 'accepted', request: null, progress_percentage: 0 });
  expect(Math.abs(Date.parse(unread.created_at) - Date.now())).toBeLessThan(60_000);
  await writeDown(fabric, 'planning');
  const read = await eventually('the orchestrator has it', async () => {
    const task = await client.task(accepted.task_id);
    return task.status === 'planning' && task;
  });
  expect(read).toMatchObject({ request: 'Créate a simple hello world function, please', current_phase: 'planning' });
  expect(read.actor).toBe('token:admin');
  expect((await client.tasks()).tasks.map(({ task_id }) => task_id)).toEqual([accepted.task_id]);
});

test('the same key and body are one task, however many ask at once and through whichever gateway', async () => {
  const { client, fabric, bus } = await serve();
  const other = await beside(fabric);
  const ask = (from: Client, request: string) => from.submit({ request }, { idempotencyKey: 'once' });
  const asked = Array.from({ length: 30 }, (_, at) => ask(at % 2 === 0 ? client : other, 'Do it'));
  const answers = await Promise.all(asked);
  expect(new Set(answers.map((answer) => JSON.stringify(answer))).size).toBe(1);
  expect(await ask(other, 'Do it')).toEqual(answers[0]);
  const inbox = bus.keys.inbox('orchestrator', 'NORMAL');
  expect(await fabric.redis.xlen(inbox)).toBe(1);
  expect(await refusal(ask(client, 'Do something else'))).toMatchObject({ status: 422, code: 'IDEMPOTENCY_CONFLICT' });
  expect(await fabric.redis.xlen(inbox)).toBe(1);
});

test('of two bodies under one key at the same time one becomes a task, and the other is refused', async () => {
  const { client, fabric, bus } = await serve();
  const other = await beside(fabric);
  const asked = [client, other].map((from, at) => from.submit({ request: `Do ${at}` }, { idempotencyKey: 'race' }));
  const results = await Promise.allSettled(asked);
  const refused = results.flatMap((one) => (one.status === 'rejected' ? [one.reason] : []));
  expect(refused).toMatchObject([{ status: 422, code: 'IDEMPOTENCY_CONFLICT' }]);
  expect(await fabric.redis.xlen(bus.keys.inbox('orchestrator', 'NORMAL'))).toBe(1);
});

test('a key is remembered for 24 hours; after them the same body is a new task', async () => {
  const { client, fabric, bus } = await serve();
  const ask = () => client.submit({ request: 'Do it' }, { idempotencyKey: 'daily' });
  const first = await ask();
  const [key = '', ...others] = await fabric.redis.keys(`${bus.keys.prefix}:seen:key:*`);
  expect(others).toEqual([]);
  const left = await fabric.redis.ttl(key);
  expect([left > 86_000, left <= 86_400]).toEqual([true, true]);
  await fabric.redis.pexpire(key, 1);
  await eventually('the day is over', async () => (await fabric.redis.exists(key)) === 0);
  expect((await ask()).task_id).not.toBe(first.task_id);
});

test('a request too large for an envelope reaches the orchestrator whole', async () => {
  const { client, fabric } = await serve();
  const context = { text: 'ü'.repeat(60_000) };
  const { task_id } = await client.submit({ request: 'Read this', context, priority: 'HIGH' });
  await writeDown(fabric, 'accepted');
  await eventually('it was written down', async () => (await client.task(task_id)).request === 'Read this');
  expect((await client.task(task_id)).priority).toBe('HIGH');
});

test('what cannot be done is refused with the mend, and leaves nothing behind', async () => {
  const { client, fabric, bus } = await serve({ NEXUS_TASKS_MAX: '1' }, { worker: false });
  expect(await refusal(client.submit({ request: 'a' }))).toMatchObject({ code: 'NO_WORKER', retryAfter: 10 });
  const worker = await fabric.open('worker-agent');
  worker.present({ runtimes: [{ name: 'command', usable: false, looked: 'PATH', mend: 'set NEXUS_AGENT_COMMAND' }] });
  const unable = await eventually('the worker is seen', async () => {
    const problem = await refusal(client.submit({ request: 'a' }));
    return problem.detail.includes('PATH') && problem;
  });
  expect(unable).toMatchObject({ status: 422, code: 'NO_RUNTIME' });
  expect(unable.detail).toContain('set NEXUS_AGENT_COMMAND');
  expect(await fabric.redis.keys(`${bus.keys.prefix}:seen:*`)).toEqual([]);
  expect(await fabric.redis.exists(bus.keys.inbox('orchestrator', 'NORMAL'))).toBe(0);
  await client.submit({ request: 'a', agent_command: 'true' });
  expect(await refusal(client.submit({ request: 'b', agent_command: 'true' }))).toMatchObject({ code: 'BUS_FULL' });
});

test('a repository is looked at before anything is promised', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'nexus-gateway-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const git = (...parts: string[]) =>
    execFileSync('git', ['-C', join(folder, 'shop'), '-c', 'user.name=T', '-c', 'user.email=t@t', ...parts]);
  execFileSync('git', ['init', '-q', '-b', 'main', join(folder, 'shop')]);
  writeFileSync(join(folder, 'plain'), 'a file');
  const { client } = await serve({ NEXUS_REPOSITORIES_ROOT: folder });
  const ask = (repository: string, base?: string) => client.submit({ request: 'a', repository, ...(base && { base }) });

  expect((await ask(join(folder, 'shop'))).warnings.join()).toContain('no commit yet');
  git('commit', '-q', '--allow-empty', '-m', 'first');
  writeFileSync(join(folder, 'shop', 'new'), 'not committed');
  expect((await ask(join(folder, 'shop'))).warnings.join()).toContain('uncommitted');
  expect(await refusal(ask(join(folder, 'shop'), 'nowhere'))).toMatchObject({
    code: 'BASE_UNKNOWN',
    problems: [{ field: 'base' }],
  });
  git('branch', 'nexus');
  expect(await refusal(ask(join(folder, 'shop')))).toMatchObject({ code: 'BRANCH_OCCUPIED', status: 422 });
  expect(await refusal(ask(join(folder, 'plain')))).toMatchObject({ code: 'REPOSITORY_MISSING' });
  const unseen = await refusal(ask('/etc'));
  expect([unseen.code, unseen.detail]).toEqual([
    'REPOSITORY_UNSEEN',
    expect.stringContaining('NEXUS_REPOSITORIES_ROOT'),
  ]);
  // As a URL it is the same folder, and no way around that.
  expect(await refusal(ask('file:///etc'))).toMatchObject({ code: 'REPOSITORY_UNSEEN' });
  expect(await refusal(ask('file://elsewhere/etc'))).toMatchObject({ code: 'REQUEST_INVALID' });
});

test('a task is listed by its status, page by page', async () => {
  const { client, fabric } = await serve();
  const kinds = await writeDown(fabric, 'completed');
  for (const n of [1, 2, 3]) await client.submit({ request: `Job ${n}` });
  await eventually('all are written down', () => kinds.length === 3);
  const ids = await eventually('all are listed', async () => {
    const { tasks } = await client.tasks({ status: 'completed' });
    return tasks.length === 3 && tasks.map(({ task_id }) => task_id);
  });
  const first = await client.tasks({ limit: 2 });
  expect(first.next_offset).toBe(2);
  const second = await client.tasks({ limit: 2, offset: first.next_offset ?? 0 });
  expect(second.next_offset).toBeNull();
  expect([...first.tasks, ...second.tasks].map(({ task_id }) => task_id)).toEqual(ids);
  expect((await client.tasks({ status: 'failed' })).tasks).toEqual([]);
  expect((await client.tasks({ status: 'in_progress' })).tasks).toEqual([]);
});

test('a running task can be cancelled and not deleted, an ended one deleted and not cancelled', async () => {
  const { client, fabric } = await serve();
  const kinds = await writeDown(fabric, 'in_progress');
  const { task_id } = await client.submit({ request: 'Go on' });
  await eventually('it is in progress', async () => (await client.task(task_id)).status === 'in_progress');
  expect(await refusal(client.remove(task_id))).toMatchObject({ status: 409, code: 'TASK_RUNNING' });
  expect(await client.cancel(task_id, 'not needed')).toEqual({ task_id, status: 'cancelling' });
  await eventually('the orchestrator was asked', () => kinds.includes('cancellation.requested'));

  await fabric.redis.hset(`${fabric.config.prefix}:task:${task_id}`, 'status', 'cancelled');
  expect(await refusal(client.cancel(task_id))).toMatchObject({ status: 409, code: 'TASK_ENDED' });
  expect(await client.remove(task_id)).toEqual({ task_id, status: 'deleting' });
  await eventually('the orchestrator was asked to', () => kinds.includes('deletion.requested'));
  expect(await refusal(client.cancel('no-such-task'))).toMatchObject({ status: 404, code: 'TASK_UNKNOWN' });
});

test('a report is given as Markdown or as JSON, and missed with the status', async () => {
  const { client, fabric, bus } = await serve();
  await writeDown(fabric, 'releasing');
  const { task_id } = await client.submit({ request: 'Report' });
  await eventually('it is releasing', async () => (await client.task(task_id)).status === 'releasing');
  expect(await refusal(client.report(task_id))).toMatchObject({
    code: 'REPORT_MISSING',
    detail: expect.stringContaining('releasing'),
  });
  const finalizer = await fabric.open('finalizer');
  consumeAll(finalizer, 'finalizer', {
    mode: 'take',
    work: () => done({ write: writeReport(bus.keys, task_id, '# Räport', { was: 'asked' }) }),
  });
  await bus.publish({ type: 'hub.discarded', payload: { task_id }, thread: task_id, actor: 'test' });
  await eventually('there is a report', async () => (await client.task(task_id)).report_url);
  expect(await client.reportText(task_id)).toBe('# Räport');
  expect(await client.report(task_id)).toEqual({ was: 'asked' });
});

test('events tell what happens to a task alone, and go on after the last one seen', async () => {
  const { client, fabric } = await serve();
  const other = await client.submit({ request: 'Another' });
  const { task_id } = await client.submit({ request: 'Follow me' });
  const start = '0-0';
  const collect = async (count: number, after: string): Promise<FleetEvent[]> => {
    const stop = new AbortController();
    const got: FleetEvent[] = [];
    for await (const event of client.events({ after, task: task_id, signal: stop.signal })) {
      got.push(event);
      if (got.length === count) stop.abort();
    }
    return got;
  };
  const all = collect(3, start);
  const orchestrator = await fabric.open('orchestrator');
  consumeAll(orchestrator, 'orchestrator');
  orchestrator.tell({ event: 'agent.output', task_id: other.task_id, text: 'not for us' });
  orchestrator.tell({ event: 'agent.output', task_id, text: 'for us' });
  const events = await all;
  expect(events.map(({ task_id: id }) => id)).toEqual([task_id, task_id, task_id]);
  expect(events.map(({ kind }) => kind).sort()).toEqual(['event', 'message', 'settled']);
  const rest = await collect(2, events[0]?.id ?? '');
  expect(rest).toEqual(events.slice(1));
});

test('a gateway that shuts down ends its streams instead of waiting for them', async () => {
  const { client, closing } = await serve();
  const reading = (async () => {
    for await (const _ of client.events()) {
      // Nothing happens here: the end is what counts.
    }
    return 'ended';
  })();
  await eventually('somebody follows', async () => /nexus_followers_count\S* 1/.test(await client.metrics()));
  closing.abort();
  expect(await reading).toBe('ended');
});

test('no more may follow than the setting says', async () => {
  const { client } = await serve({ NEXUS_FOLLOWERS_MAX: '1' });
  const stop = new AbortController();
  const first = client.events({ signal: stop.signal })[Symbol.asyncIterator]();
  const pending = first.next();
  await eventually('the first follows', async () => /nexus_followers_count\S* 1/.test(await client.metrics()));
  const second = client.events()[Symbol.asyncIterator]();
  expect(await refusal(second.next())).toMatchObject({ status: 503, code: 'FOLLOWERS_FULL' });
  stop.abort();
  await pending;
});

test('a client that reads nothing is cut off, and the others are not held up by it', async () => {
  const { client, fabric, url, bus } = await serve({ NEXUS_FOLLOWER_STALL: '200ms' });
  const socket = connect(Number(new URL(url).port), '127.0.0.1');
  const ended = new Promise((resolve) => socket.once('close', resolve));
  socket.on('error', () => undefined).pause();
  socket.write(`GET /api/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${token}\r\n\r\n`);
  await eventually('it follows', async () => /nexus_followers_count\S* 1/.test(await client.metrics()));
  const line = JSON.stringify({ event: 'agent.output', task_id: 'flood-the-client', text: 'x'.repeat(60_000) });
  await eventually('it was cut off', async () => {
    await fabric.redis.xadd(bus.keys.journal, '*', 'e', line);
    return /nexus_followers_count\S* 0/.test(await client.metrics());
  });
  socket.resume();
  await ended;
  expect(await client.health()).toMatchObject({ status: 'ok' });
});

test('what nobody takes, and letters that nobody decided, are metrics and part of the system’s state', async () => {
  const { fabric, bus, client } = await serve();
  const manager = await fabric.open('project-manager');
  consumeAll(manager, 'project-manager');
  await fabric.redis.xadd(bus.keys.inbox('project-manager', 'NORMAL'), '*', 'm', 'not JSON');
  await fabric.redis.xadd(bus.keys.inbox('finalizer', 'LOW'), '*', 'm', '{}');
  const { backlog } = await eventually('the letter is there', async () => {
    const system = await client.system();
    return system.backlog.dead === 1 && system;
  });
  expect(backlog).toMatchObject({ parked: 0, inboxes: { finalizer: { waiting: 1, held: 0 } } });
  expect(Date.now() - Date.parse(backlog.oldest_dead_at ?? '')).toBeLessThan(60_000);
  const page = await client.metrics();
  expect(page).toMatch(/nexus_dead_letters\{\S*\} 1\n/);
  expect(page).toMatch(/nexus_inbox_waiting\{inbox="finalizer"\S*\} 1\n/);
  expect(page).toMatch(/nexus_instances\{service="project-manager"\S*\} 1\n/);
  expect(page).toMatch(/nexus_instances\{service="finalizer"\S*\} 0\n/);
  expect(page).toMatch(/nexus_fleet_held\{\S*\} 0\n/);
  await bus.control.command('PAUSE_ALL', null, 'test');
  expect(await client.metrics()).toMatch(/nexus_fleet_held\{\S*\} 1\n/);
});
