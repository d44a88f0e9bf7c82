/**
 * The orchestrator on a real fabric. The services on the other side of its messages are played by buses whose
 * handlers answer as the test says.
 */
import { type Bus, done, type FollowUp, followUp, type Message } from '@nexus/shared/bus';
import { openCatalog } from '@nexus/shared/catalog';
import { listTasks, readTask } from '@nexus/shared/ledger';
import type { TaskResult } from '@nexus/shared/messages/domain';
import { expect, test } from 'vitest';
import { service } from '../../services/orchestrator/main.ts';
import type { Tools } from '../../services/orchestrator/settle-task.ts';
import { eventually } from '../tools/eventually.ts';
import { consumeAll } from '../tools/messages.ts';
import { type TestFabric, testFabric } from '../tools/redis.ts';

const catalog = await openCatalog();
const commit = 'c'.repeat(40);
const base = 'b'.repeat(40);
const result: TaskResult = {
  branch: 'nexus/x',
  commit,
  repository: '/repos/x',
  checks: { passed: 1, failed: 0, skipped: 0, broken: 0 },
  proven: true,
  undo: null,
  look: null,
  start: null,
};

type Answer = (message: Message) => FollowUp[];
type Played = { fabric: TestFabric; bus: Bus; seen: Message[]; submit: Bus['publish'] };

const tools: Tools = { catalog, patience: { plansMax: 1, personTimeoutMs: 3_600_000 }, retentionMs: 3_600_000 };

/** An orchestrator at work, with what it said to the others in `seen`, answered by `answer`. */
const play = async (answer: Answer = () => []): Promise<Played> => {
  const fabric = testFabric();
  const bus = await fabric.open('orchestrator');
  bus.consume({ mode: 'stream', slots: 8, handlers: service.handlers, tools });
  const seen: Message[] = [];
  for (const other of ['finalizer', 'project-manager'] as const) {
    consumeAll(await fabric.open(other), other, {
      work: (message) => {
        seen.push(message as Message);
        return done({ publish: answer(message as Message) });
      },
    });
  }
  return { fabric, bus, seen, submit: bus.publish };
};

/** Answers as a fleet does in which all goes well. */
const allGoesWell: Answer = ({ type, payload }) => {
  const { task_id } = payload as { task_id: string };
  const nothing = { code: null, says: '' };
  if (type === 'repository.requested') {
    return [followUp('repository.prepared', { task_id, base_commit: base, warnings: [], ...nothing })];
  }
  if (type === 'plan.accepted') {
    return [followUp('board.completed', { task_id, outcome: 'completed', reason: null, commit })];
  }
  return type === 'release.requested' ? [followUp('release.finished', { task_id, result, ...nothing })] : [];
};

const statusOf = async ({ bus }: Played, id: string) => (await readTask(bus.store, bus.keys, id))?.head.status;
const reached = (played: Played, id: string, status: string) =>
  eventually(`${id} is ${status}`, async () => (await statusOf(played, id)) === status);
const typesOf = (seen: Message[]) => seen.map(({ type }) => type);
const of = (task: string) => ({ thread: task, actor: 'test' });

/** A message as a person writes it with redis-cli. */
const writeByHand = ({ fabric, bus }: Played, message: object) =>
  fabric.redis.xadd(bus.keys.inbox('orchestrator', 'NORMAL'), '*', 'm', JSON.stringify(message));

test('a request goes its whole way, and its document tells each step', async () => {
  const played = await play(allGoesWell);
  const { bus, submit, seen } = played;
  const key = bus.keys.request('my-task');
  const text = JSON.stringify({ request: 'Fix the export', repository: '/repos/x' });
  const payload = { task_id: 'my-task', request_key: key };
  await submit({ type: 'task.submitted', payload, ...of('my-task'), priority: 'HIGH', attach: [{ key, text }] });
  await reached(played, 'my-task', 'completed');
  const task = await readTask(bus.store, bus.keys, 'my-task');
  expect(task).toMatchObject({
    head: { title: 'Fix the export', workflow: 'bug-fix', base_commit: base, priority: 'HIGH', actor: 'test' },
    plan: { workflow: 'bug-fix', probability: null, price_usd: null },
    result,
  });
  expect(typesOf(seen)).toEqual(['repository.requested', 'plan.accepted', 'release.requested']);
  expect(seen.map(({ conversation_thread, priority }) => [conversation_thread, priority])).toEqual(
    seen.map(() => ['my-task', 'HIGH']),
  );
  expect(await bus.store.readText(key)).toBeNull();
  expect(await listTasks(bus.store, bus.keys, { open: true })).toEqual([]);
  expect(await listTasks(bus.store, bus.keys)).toHaveLength(1);
});

test('the same task submitted twice is one task', async () => {
  const played = await play();
  const draft = { type: 'task.submitted', payload: { request: 'Do it once' }, ...of('once-only') } as const;
  await Promise.all([played.submit(draft), played.submit(draft)]);
  await reached(played, 'once-only', 'planning');
  await played.submit(draft);
  await eventually('all are settled', async () => (await played.bus.counts()).inboxes.orchestrator?.waiting === 0);
  await eventually('nothing is held', async () => (await played.bus.counts()).inboxes.orchestrator?.held === 0);
  await eventually('the finalizer was asked', () => played.seen.length > 0);
  expect(typesOf(played.seen)).toEqual(['repository.requested']);
});

test('plain text written by hand becomes a task, whose messages bear its id', async () => {
  const played = await play(allGoesWell);
  await writeByHand(played, { type: 'task.submitted', payload: { request: 'Add an export by hand' } });
  const [task] = await eventually('a task', async () => {
    const tasks = await listTasks(played.bus.store, played.bus.keys);
    return tasks.length > 0 && tasks;
  });
  expect(task?.task_id).toMatch(/^add-an-export-by-hand-[0-9a-z]{6}$/);
  await reached(played, task?.task_id ?? '', 'completed');
  expect(new Set(played.seen.map((message) => message.conversation_thread))).toEqual(new Set([task?.task_id]));
});

test.each([
  ['without a request', {}, 'MESSAGE_INVALID'],
  ['with an empty one', { request: '  ' }, 'MESSAGE_INVALID'],
  ['with an unknown field', { request: { request: 'Do it', colour: 'red' } }, 'MESSAGE_INVALID'],
  ['with the key of another', { task_id: 'mine', request_key: '{nexus}:once:token' }, 'MESSAGE_INVALID'],
])('a message %s is a dead letter, and the next is handled', async (_, payload, code) => {
  const played = await play();
  await writeByHand(played, { type: 'task.submitted', payload });
  await writeByHand(played, { type: 'task.submitted', payload: { task_id: 'the-next', request: 'Go on' } });
  await reached(played, 'the-next', 'planning');
  const letters = await eventually('a letter', async () => {
    const list = await played.bus.dead.list();
    return list.total > 0 && list.letters;
  });
  expect(letters).toEqual([expect.objectContaining({ code })]);
});

test('a request that names an unknown workflow is a failed task that says so', async () => {
  const played = await play();
  const payload = { request: { request: 'Do it', workflow: 'magic' } };
  await played.submit({ type: 'task.submitted', payload, ...of('no-magic') });
  await reached(played, 'no-magic', 'failed');
  const task = await readTask(played.bus.store, played.bus.keys, 'no-magic');
  expect(task?.head.reason).toMatch(/^WORKFLOW_UNKNOWN: There is no workflow "magic"/);
});

test('a deadline that is reached fails the task and closes its board', async () => {
  const played = await play();
  const deadline = new Date(Date.now() + 300).toISOString();
  await played.submit({
    type: 'task.submitted',
    payload: { request: { request: 'Hurry', deadline } },
    ...of('late-one'),
  });
  await reached(played, 'late-one', 'failed');
  const task = await readTask(played.bus.store, played.bus.keys, 'late-one');
  expect(task?.head.reason).toMatch(/^DEADLINE_MISSED/);
  await eventually('the board is told', () => typesOf(played.seen).includes('board.cancelled'));
});

test('a cancellation that overtakes its task waits for it', async () => {
  const played = await play();
  const cancel = { task_id: 'not-yet', reason: 'changed my mind' };
  await played.submit({ type: 'cancellation.requested', payload: cancel, ...of('not-yet'), priority: 'CRITICAL' });
  await eventually('it is parked', async () => (await played.bus.counts()).parked === 1);
  await played.submit({ type: 'task.submitted', payload: { request: 'Do it' }, ...of('not-yet') });
  await reached(played, 'not-yet', 'cancelled');
  await eventually('the board is told', () => typesOf(played.seen).includes('board.cancelled'));
});

test('a deleted task leaves nothing of its own, and the others are told; one at work stays', async () => {
  const played = await play();
  const { bus, fabric, submit } = played;
  await submit({ type: 'task.submitted', payload: { request: 'Do it' }, ...of('to-delete') });
  await reached(played, 'to-delete', 'planning');
  const deletion = { type: 'deletion.requested', payload: { task_id: 'to-delete' }, ...of('to-delete') } as const;
  await submit(deletion);
  await eventually('the refusal', async () =>
    (await bus.dead.list()).letters.some(({ code }) => code === 'TASK_RUNNING'),
  );
  await submit({ type: 'cancellation.requested', payload: { task_id: 'to-delete', reason: '' }, ...of('to-delete') });
  await reached(played, 'to-delete', 'cancelled');
  await submit(deletion);
  await eventually('the others are told', () => typesOf(played.seen).includes('hub.discarded'));
  await eventually('both', () => typesOf(played.seen).includes('board.discarded'));
  expect(await fabric.redis.exists(bus.keys.task('to-delete'), bus.keys.request('to-delete'))).toBe(0);
  expect(await listTasks(bus.store, bus.keys)).toEqual([]);
});
