import { type HandlerTools, keysOf } from '@nexus/shared/bus';
import { writeBoard, writeTask } from '@nexus/shared/ledger/write';
import type { Subtask } from '@nexus/shared/messages/domain';
import { expect, test } from 'vitest';
import { commitOf } from '../../test/tools/board.ts';
import { openMemoryStore } from '../../test/tools/memory-store.ts';
import { play } from '../../test/tools/play.ts';
import { boardHeadOf, subtaskOf, taskHeadOf } from '../../test/tools/task-head.ts';
import { findLostOrders } from './lost-orders.ts';

const keys = keysOf('{test}');
const startMs = Date.parse('2026-01-02T03:00:00.000Z');
const at = (ms: number) => new Date(startMs + ms).toISOString();

const openLedger = () => {
  const store = openMemoryStore();
  const made = new Map<string, string>();
  store.hashes.set(keys.groups, made);
  return {
    put: (id: string, subtasks: Subtask[], head: Parameters<typeof boardHeadOf>[1]) => {
      store.settle(writeTask(keys, id, 0, { head: taskHeadOf(id), request: { request: 'Do it' } }));
      store.settle(writeBoard(keys, id, 0, { head: boardHeadOf(id, { priority: 'NORMAL', ...head }), subtasks }));
    },
    make: (service: 'worker-agent' | 'quality-checker', ms: number) =>
      made.set(keys.inbox(service, 'NORMAL'), String(startMs + ms)),
    look: async (ms: number) => {
      const tools = { store, keys, now: () => startMs + ms } as unknown as HandlerTools;
      const { publish, write } = await findLostOrders(tools);
      store.settle(write);
      return publish.map(({ payload }) => payload);
    },
  };
};

test('what was ordered before its inbox was made again is lost, once, and nothing else is', async () => {
  const { put, make, look } = openLedger();
  const parts = [
    subtaskOf('waits', { attempt: 1, ordered_at: at(0) }),
    subtaskOf('works', { attempt: 2, ordered_at: at(1), state: 'working' }),
    subtaskOf('later', { attempt: 1, ordered_at: at(5000) }),
    subtaskOf('tested', { attempt: 1, ordered_at: at(0), state: 'checking' }),
    subtaskOf('next', { ordered_at: null }),
  ];
  put('task-a', parts, { dispatched: ['waits', 'works', 'later'], at_gate: 'tested', ready: ['next'] });
  expect(await look(60_000)).toEqual([]);
  make('worker-agent', 5000);
  // Whoever had something in hand puts it back first.
  expect(await look(19_999)).toEqual([]);
  expect(await look(20_000)).toEqual([
    { task_id: 'task-a', subtask_id: 'waits', attempt: 1, ordered_at: at(0) },
    { task_id: 'task-a', subtask_id: 'works', attempt: 2, ordered_at: at(1) },
  ]);
  expect(await look(80_000)).toEqual([]);
  make('quality-checker', 90_000);
  expect(await look(120_000)).toMatchObject([{ subtask_id: 'tested' }]);
});

test('where more was lost than one look takes, the next looks again', async () => {
  const { put, make, look } = openLedger();
  for (let n = 0; n < 250; n += 1) {
    put(`task-${n}`, [subtaskOf('one', { attempt: 1, ordered_at: at(0) })], { dispatched: ['one'] });
  }
  make('worker-agent', 1000);
  expect(await look(60_000)).toHaveLength(200);
  expect(await look(120_000)).toHaveLength(200);
});

const lose = (game: ReturnType<typeof play>, id: string) => {
  const ordered_at = game.part(id).ordered_at ?? '';
  return game.tell({ type: 'order.lost', payload: { ...game.of(id), ordered_at } });
};

test('a lost order goes out again as it was: to a worker, to the gate, to the finalizer', () => {
  const game = play([{ id: 'build' }]);
  for (const [kind, goOn] of [
    ['subtask.dispatched', () => game.finish('build')],
    ['candidate.submitted', () => game.pass('build')],
    ['merge.requested', () => game.merge('build')],
  ] as const) {
    const before = game.last(kind);
    expect(lose(game, 'build').map(({ type, payload }) => [type, payload])).toEqual([[kind, before]]);
    goOn();
  }
  expect(game.head()).toMatchObject({ outcome: 'completed', attempts: 1, integration: commitOf('tested build') });
  expect(game.ledger.load.size).toBe(0);
});

test('an order that was made anew, or is done meanwhile, is not repeated', () => {
  const game = play([{ id: 'build' }, { id: 'other' }]);
  const of = game.of('build');
  const tell = (ordered_at: string) => game.tell({ type: 'order.lost', payload: { ...of, ordered_at } });
  expect(tell('2026-01-01T00:00:00.000Z')).toEqual([]);
  const first = game.part('build').ordered_at ?? '';
  game.fail('build');
  expect(tell(first)).toEqual([]);
  game.bringIn('build');
  expect(lose(game, 'build')).toEqual([]);
});
