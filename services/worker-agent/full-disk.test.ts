/** A disk that is full when an attempt begins, on a rig whose reserve no disk can keep. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Message, Outcome } from '@nexus/shared/bus';
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest';
import { closeTemplates, openRig, type Rig, taskId } from '../../test/tools/worker.ts';
import type { Attempt, Order } from './attempt.ts';
import type { Checkpoints } from './checkpoint.ts';
import { type Full, waitForRoom, whyFull } from './full-disk.ts';
import { onSubtaskDispatched } from './on-subtask-dispatched.ts';
import type { Workspace } from './workspace.ts';

let rig: Rig;
beforeEach(async () => {
  rig = await openRig({ 'README.md': 'A project.\n' });
});
afterEach(() => rig.close());
afterAll(closeTemplates);

const handle = (order: Order, { tools }: ReturnType<Rig['tools']>): Promise<Outcome> =>
  Promise.resolve(onSubtaskDispatched({ payload: order } as Message<'subtask.dispatched'>, tools));
const finishedOf = (outcome: Outcome) =>
  outcome.is === 'done' ? outcome.publish.find(({ type }) => type === 'attempt.finished')?.payload : outcome;
const leavesNothing = () => expect(existsSync(join(rig.home, 'workspaces', taskId))).toBe(false);

describe('an attempt that meets a full disk before its agent began', () => {
  const full = { NEXUS_AGENT_COMMAND: 'echo a > a.txt', NEXUS_DISK_RESERVE: '999999GB', NEXUS_DISK_WAIT: '1m' };

  test('comes again, uncounted, and goes on as soon as there is room', async () => {
    const order = rig.order();
    const before = Date.now();
    const outcome = await handle(order, rig.tools(full));
    expect(outcome).toMatchObject({ is: 'postpone', why: expect.stringContaining('999999000 are needed') });
    expect(outcome.is === 'postpone' && outcome.untilMs).toBeGreaterThanOrEqual(before);
    leavesNothing();
    const finished = finishedOf(await handle(order, rig.tools({ ...full, NEXUS_DISK_RESERVE: '0' })));
    expect(finished).toMatchObject({ outcome: 'finished', attempt: 1, files: ['a.txt'] });
  });

  test('and whose set-up meets it, leaves no clone behind that would pass for work', async () => {
    rig.setTask({ setup: ['echo junk > junk.txt; echo "write: No space left on device" >&2; exit 1'] });
    const outcome = await handle(rig.order(), rig.tools({ NEXUS_AGENT_COMMAND: 'true' }));
    expect(outcome).toMatchObject({ is: 'postpone' });
    leavesNothing();
  });

  test('fails when it has waited long enough since it first began', async () => {
    const order = rig.order();
    const key = '{test}:board:a-task';
    const board = rig.ledger.get(key) ?? {};
    const part = { ...JSON.parse(board['s:storage'] ?? '{}'), began_at: new Date(Date.now() - 61_000).toISOString() };
    rig.ledger.set(key, { ...board, 's:storage': JSON.stringify(part) });
    const finished = finishedOf(await handle(order, rig.tools(full)));
    expect(finished).toMatchObject({ outcome: 'failed', code: 'DISK_FULL' });
  });
});

test('a quota that is full fails its attempt at once, though the disk itself has room', async () => {
  const { tools } = rig.tools({ NEXUS_AGENT_COMMAND: 'true' });
  const config = { home: rig.home, diskReserve: 0 };
  const met = Object.assign(new Error('write failed'), { code: 'EDQUOT' });
  const full = await whyFull(new Error('could not save', { cause: met }), config);
  expect(full).toMatchObject({ code: 'DISK_FULL', quota: true });
  expect(await whyFull(Object.assign(new Error('write failed'), { code: 'ENOSPC' }), config)).toMatchObject({
    quota: false,
  });
  const attempt = { tools } as unknown as Attempt;
  expect(await waitForRoom(attempt, {} as Workspace, {} as Checkpoints, full as Full)).toBeNull();
});
