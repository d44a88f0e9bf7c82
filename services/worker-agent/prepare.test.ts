import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Message } from '@nexus/shared/bus';
import type { PayloadOf } from '@nexus/shared/messages';
import { afterAll, afterEach, beforeEach, expect, test } from 'vitest';
import { closeTemplates, openRig, type Rig, taskId } from '../../test/tools/worker.ts';
import { onSubtaskDispatched } from './on-subtask-dispatched.ts';
import { openWorkspace } from './workspace.ts';

let rig: Rig;
beforeEach(async () => {
  rig = await openRig();
});
afterEach(() => rig.close());
afterAll(closeTemplates);

/** What a worker leaves that was killed after its last checkpoint: the clone, newer than what the ledger names. */
const leave = async (token: string, saved: string, found: string): Promise<void> => {
  const of = { task_id: taskId, subtask_id: 'storage', attempt: 1, token, mark: `test-${process.pid}-${token}` };
  const { folder } = await openWorkspace({
    home: rig.home,
    note: { ...of, base: rig.integration, hub: rig.hub },
    now: Date.now(),
    diskReserve: 0,
    signal: new AbortController().signal,
  });
  writeFileSync(join(folder, 'work.txt'), found);
  const commit = await rig.commitOn(rig.integration, { 'work.txt': saved });
  const checkpoint = { attempt: 1, token, at: new Date().toISOString(), commit, step: '', spent_ms: 0, left: [] };
  const record = { revision: '1', checkpoint: JSON.stringify({ ...checkpoint, session: null }) };
  rig.ledger.set(`{test}:attempt:${taskId}:storage`, record);
};

test('the work of a killed worker goes on from its clone; its own older checkpoint is nothing beside it', async () => {
  await leave('dead', 'one\n', 'one\ntwo\n');
  const { tools } = rig.tools({ NEXUS_AGENT_COMMAND: 'cat work.txt > seen.txt' });
  const outcome = await onSubtaskDispatched({ payload: rig.order() } as Message<'subtask.dispatched'>, tools);
  if (outcome.is !== 'done') throw new Error(`the outcome is ${JSON.stringify(outcome)}`);
  const told = outcome.publish.find(({ type }) => type === 'attempt.finished')
    ?.payload as PayloadOf<'attempt.finished'>;
  expect(told.outcome).toBe('finished');
  expect(rig.git('show', `${told.commit}:seen.txt`)).toBe('one\ntwo');
});
