import { type HandlerTools, keysOf, type Message, type Outcome } from '@nexus/shared/bus';
import { listEnded } from '@nexus/shared/ledger';
import { writeTask } from '@nexus/shared/ledger/write';
import { expect, test } from 'vitest';
import { openMemoryStore } from '../../test/tools/memory-store.ts';
import { taskHeadOf } from '../../test/tools/task-head.ts';
import { onRetentionDue } from './on-retention-due.ts';

const keys = keysOf('{test}');
const now = Date.parse('2026-03-01T00:00:00.000Z');
const dayMs = 24 * 3_600_000;

const openFleet = (ended: readonly string[]) => {
  const store = openMemoryStore();
  for (const [at, ended_at] of ended.entries()) {
    const head = taskHeadOf(`task-${at}`, { status: 'completed', ended_at });
    store.settle(writeTask(keys, `task-${at}`, 0, { head, request: { request: 'Do it' } }));
  }
  const tools = { store, keys, now: () => now, retentionMs: 30 * dayMs };
  const ring = async (): Promise<Extract<Outcome, { is: 'done' }>> => {
    const outcome = await onRetentionDue(
      { payload: {} } as Message<'retention.due'>,
      tools as unknown as HandlerTools & Parameters<typeof onRetentionDue>[1],
    );
    if (outcome.is !== 'done' || !store.settle(outcome.write)) throw new Error('it is done');
    return outcome;
  };
  return { store, ring };
};

test('only hubs whose tasks ended before the retention go, and none of them twice', async () => {
  const { ring } = openFleet(['2026-01-29T23:59:59.000Z', '2026-01-31T00:00:01.000Z']);
  expect((await ring()).publish).toMatchObject([{ type: 'hub.expired', payload: { task_id: 'task-0' } }]);
  expect((await ring()).publish).toEqual([]);
});

test('where more are due than one turn takes, the next follows at once, until all have gone', async () => {
  const { ring, store } = openFleet(Array.from({ length: 120 }, () => '2026-01-01T00:00:00.000Z'));
  const turns = [await ring(), await ring(), await ring()].map(({ publish }) => publish.map(({ type }) => type));
  const hubs = turns.map((types) => types.filter((type) => type === 'hub.expired').length);
  expect(hubs).toEqual([50, 50, 20]);
  expect(turns.map((types) => types.includes('retention.due'))).toEqual([true, true, false]);
  expect(await listEnded(store, keys, { endedBefore: now, limit: 999 })).toEqual([]);
});
