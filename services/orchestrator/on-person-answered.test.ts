import { type HandlerTools, keysOf, type LiveEvent, type Message } from '@nexus/shared/bus';
import { writeTask } from '@nexus/shared/ledger/write';
import { silentLog } from '@nexus/shared/telemetry';
import { expect, test } from 'vitest';
import { openMemoryStore } from '../../test/tools/memory-store.ts';
import { taskHeadOf } from '../../test/tools/task-head.ts';
import { onPersonAnswered } from './on-person-answered.ts';

const keys = keysOf('{test}');

const answer = async (task_id: string, subtask_id: string | null) => {
  const store = openMemoryStore();
  store.settle(writeTask(keys, 'busy-task', 0, { head: taskHeadOf('busy-task'), request: { request: 'Do it' } }));
  const told: LiveEvent[] = [];
  const tools = { store, keys, now: Date.now, tell: (event: LiveEvent) => told.push(event), log: silentLog() };
  const message = { payload: { task_id, subtask_id, answer: 'retry', note: '' } };
  const outcome = await onPersonAnswered(
    message as Message<'person.answered'>,
    tools as unknown as HandlerTools & Parameters<typeof onPersonAnswered>[1],
  );
  return { outcome, told };
};

test.each([
  [null, 'An answer came, but nothing waits for one; the task is in_progress.'],
  ['build', 'An answer came, but "build" does not wait for one; the task is in_progress.'],
])('an answer that nothing waits for (%s) changes nothing, and is told', async (subtask, text) => {
  const { outcome, told } = await answer('busy-task', subtask);
  expect(outcome).toEqual({ is: 'done', publish: [], write: [] });
  expect(told).toMatchObject([{ event: 'task.changed', task_id: 'busy-task', text }]);
});

test('an answer for a task that nobody knows is refused: TASK_UNKNOWN', async () => {
  await expect(answer('no-task', null)).rejects.toMatchObject({ code: 'TASK_UNKNOWN' });
});
