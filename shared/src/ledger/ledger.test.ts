import { type Keys, keysOf, type LedgerWrite } from '@nexus/shared/bus';
import type { Subtask, TaskHead } from '@nexus/shared/messages/domain';
import { expect, test } from 'vitest';
import { type MemoryStore, openMemoryStore } from '../../../test/tools/memory-store.ts';
import { headAt as at, boardHeadOf, subtaskOf, taskHeadOf } from '../../../test/tools/task-head.ts';
import * as ledger from './ledger.ts';
import * as write from './write.ts';

const keys: Keys = keysOf('{ledger}');

const taskHead = (status: TaskHead['status'] = 'in_progress'): TaskHead => taskHeadOf('make-it-1', { status });
const boardHead = boardHeadOf('make-it-1', { counts: { ready: 2 }, total: 2, ready: ['one', 'two'] });
const part = (id: string, order: number): Subtask => subtaskOf(id, { order });

const storeOf = (...settlements: LedgerWrite[][]): MemoryStore => {
  const store = openMemoryStore();
  for (const writes of settlements) expect(store.settle(writes)).toBe(true);
  return store;
};

test('a task reads as it was written, with its status as a plain field', async () => {
  const store = storeOf(write.writeTask(keys, 'make-it-1', 0, { head: taskHead(), request: { request: 'Make it' } }));
  expect(await ledger.readTask(store, keys, 'make-it-1')).toEqual({
    revision: 1,
    head: taskHead(),
    request: { request: 'Make it' },
    plan: null,
    result: null,
  });
  expect(await ledger.readTaskStatus(store, keys, 'make-it-1')).toBe('in_progress');
  expect(await ledger.listTasks(store, keys, { open: true })).toEqual([{ task_id: 'make-it-1', created_at: at }]);
});

test('an ended task stays in the index of all and leaves that of the open ones', async () => {
  const store = storeOf(
    write.writeTask(keys, 'make-it-1', 0, { head: taskHead(), request: { request: 'Make it' } }),
    write.writeTask(keys, 'make-it-1', 1, { head: taskHead('completed') }),
  );
  expect(await ledger.listTasks(store, keys, { open: true })).toEqual([]);
  expect(await ledger.listTasks(store, keys)).toHaveLength(1);
});

test('a task that waits for a person is listed by how long it has waited, until it goes on or ends', async () => {
  const wait = { subtask_id: 'build', number: 1, until: at, reason: 'It failed.' };
  const waitingSince = (id: string, since: string): TaskHead =>
    taskHeadOf(id, { status: 'waiting_for_person', waiting: { ...wait, since, others: [] } });
  const request = { request: 'Make it' };
  const store = storeOf(
    write.writeTask(keys, 'late-1', 0, { head: waitingSince('late-1', '2026-01-02T00:00:00.000Z'), request }),
    write.writeTask(keys, 'early-1', 0, { head: waitingSince('early-1', '2026-01-01T00:00:00.000Z'), request }),
    write.writeTask(keys, 'gone-1', 0, { head: waitingSince('gone-1', at), request }),
    write.removeTask(keys, 'gone-1'),
  );
  expect((await ledger.readTask(store, keys, 'late-1'))?.head.waiting).toMatchObject({ subtask_id: 'build' });
  expect(await ledger.listWaiting(store, keys)).toEqual([
    { task_id: 'early-1', since: '2026-01-01T00:00:00.000Z' },
    { task_id: 'late-1', since: '2026-01-02T00:00:00.000Z' },
  ]);
  expect(await ledger.listWaiting(store, keys, { offset: 1, limit: 1 })).toMatchObject([{ task_id: 'late-1' }]);
  expect(store.settle(write.writeTask(keys, 'early-1', 1, { head: taskHeadOf('early-1') }))).toBe(true);
  expect(store.settle(write.writeTask(keys, 'late-1', 1, { head: taskHeadOf('late-1', { status: 'failed' }) }))).toBe(
    true,
  );
  expect(await ledger.listWaiting(store, keys)).toEqual([]);
});

test('an ended task is listed by when it ended, until its hub has expired or it is removed', async () => {
  const ends = (id: string, ended_at: string) =>
    write.writeTask(keys, id, 0, {
      head: taskHeadOf(id, { status: 'completed', ended_at }),
      request: { request: 'x' },
    });
  const [first, second, third] = ['2026-01-01', '2026-01-02', '2026-01-03'].map((day) => `${day}T00:00:00.000Z`);
  const store = storeOf(
    ends('two-2', second as string),
    ends('one-1', first as string),
    ends('three-3', third as string),
    write.writeTask(keys, 'open-4', 0, { head: taskHeadOf('open-4'), request: { request: 'x' } }),
  );
  const due = (limit = 9) => ledger.listEnded(store, keys, { endedBefore: Date.parse(second as string), limit });
  expect(await due()).toEqual([
    { task_id: 'one-1', ended_at: first },
    { task_id: 'two-2', ended_at: second },
  ]);
  expect(await due(1)).toHaveLength(1);
  expect(store.settle([...write.expireTask(keys, 'one-1'), ...write.removeTask(keys, 'two-2')])).toBe(true);
  expect(await due()).toEqual([]);
  expect(await ledger.readTask(store, keys, 'one-1')).not.toBeNull();
});

test('what does not exist reads as null', async () => {
  const store = storeOf();
  expect(await ledger.readTask(store, keys, 'nothing')).toBeNull();
  expect(await ledger.readTaskStatus(store, keys, 'nothing')).toBeNull();
  expect(await ledger.readBoard(store, keys, 'nothing')).toBeNull();
  expect(await ledger.readBoardHead(store, keys, 'nothing')).toBeNull();
  expect(await ledger.readBoardParts(store, keys, 'nothing', ['one'])).toBeNull();
  expect(await ledger.readReport(store, keys, 'nothing')).toBeNull();
});

test('a board reads whole in the order of its subtasks, or in parts', async () => {
  const subtasks = [part('two', 1), part('one', 0)];
  const store = storeOf(write.writeBoard(keys, 'make-it-1', 0, { head: boardHead, subtasks }));
  const whole = await ledger.readBoard(store, keys, 'make-it-1');
  expect([...(whole?.subtasks.keys() ?? [])]).toEqual(['one', 'two']);
  const some = await ledger.readBoardParts(store, keys, 'make-it-1', ['two', 'unknown']);
  expect(some).toEqual({ revision: 1, head: boardHead, subtasks: new Map([['two', part('two', 1)]]) });
  expect(await ledger.readBoardHead(store, keys, 'make-it-1')).toEqual({ revision: 1, head: boardHead });
});

test('a write touches only what it names, and removes what goes', () => {
  expect(write.writeBoard(keys, 'make-it-1', 7, { subtasks: [part('one', 0)], removed: ['two'] })).toEqual([
    { op: 'patch', key: '{ledger}:board:make-it-1', revision: 7, set: { 's:one': expect.any(String) }, del: ['s:two'] },
  ]);
});

test('a document that does not fit its schema names the key, the field and what is wrong', async () => {
  const store = storeOf(write.writeBoard(keys, 'make-it-1', 0, { head: boardHead, subtasks: [part('one', 0)] }));
  store.hashes.get('{ledger}:board:make-it-1')?.set('s:one', '{"id":"one"}');
  const problem = /\{ledger\}:board:make-it-1 cannot be read: s:one\.\w+/;
  await expect(ledger.readBoard(store, keys, 'make-it-1')).rejects.toThrow(problem);
  store.hashes.get('{ledger}:board:make-it-1')?.set('head', 'not JSON');
  await expect(ledger.readBoardHead(store, keys, 'make-it-1')).rejects.toMatchObject({ code: 'LEDGER_UNREADABLE' });
  store.hashes.get('{ledger}:board:make-it-1')?.set('revision', 'x');
  await expect(ledger.readBoardHead(store, keys, 'make-it-1')).rejects.toThrow('revision is "x"');
});

test('with a task goes what was booked against it and its parts; the sums of a day stay', () => {
  const removed = [
    ...write.removeTask(keys, 'make-it-1'),
    ...write.removeBoard(keys, 'make-it-1', [{ id: 'one', attempt: 2 }]),
  ];
  const gone = removed.flatMap((one) => (one.op === 'remove' && one.key.includes(':spend:') ? [one.key] : []));
  expect(gone.toSorted()).toEqual([
    '{ledger}:spend:budget:attempt:make-it-1:one:1',
    '{ledger}:spend:budget:attempt:make-it-1:one:2',
    '{ledger}:spend:budget:subtask:make-it-1:one',
    '{ledger}:spend:budget:task:make-it-1',
    '{ledger}:spend:cost:task:make-it-1',
  ]);
});

test('a report can be replaced by naming the revision it has', async () => {
  const store = storeOf(
    write.writeReport(keys, 'make-it-1', '# One', { n: 1 }),
    write.writeReport(keys, 'make-it-1', '# Two', { n: 2 }, 1),
  );
  expect(await ledger.readReport(store, keys, 'make-it-1')).toEqual({ revision: 2, markdown: '# Two', json: { n: 2 } });
});

test('counters read as numbers, and a task that holds nothing is not there', async () => {
  const store = storeOf(
    write.countLoad(keys, 'make-it-1', 2),
    write.countLoad(keys, 'other-2', 1),
    write.countLoad(keys, 'other-2', -1),
    write.countLoad(keys, 'third-3', 0),
    write.countStat(keys, '2026-01-02', 'agent:builder:completed', 1),
  );
  expect(await ledger.readLoad(store, keys)).toEqual(new Map([['make-it-1', 2]]));
  expect(await ledger.readStats(store, keys, '2026-01-02')).toEqual(new Map([['agent:builder:completed', 1]]));
});

test('the table of writers names every builder of the door, once', () => {
  const named = Object.values(write.writers).flatMap(({ builders }) => builders as readonly string[]);
  const exported = Object.entries(write).flatMap(([name, value]) => (typeof value === 'function' ? [name] : []));
  expect(named.toSorted()).toEqual(exported.toSorted());
});
