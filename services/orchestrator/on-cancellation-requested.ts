import { type Handler, postpone } from '@nexus/shared/bus';
import { fail } from '@nexus/shared/errors';
import { readTask } from '@nexus/shared/ledger';
import { decideCancelled } from './decide.ts';
import { settleTask, type Tools } from './settle-task.ts';

/** How long a cancellation waits for its task: it may have overtaken a submission of lower priority. */
const patienceMs = 60_000;

/** Ends the task. One that has ended is left as it is. */
export const onCancellationRequested: Handler<'cancellation.requested', Tools> = async (message, tools) => {
  const { payload } = message;
  const now = tools.now();
  const view = await readTask(tools.store, tools.keys, payload.task_id);
  if (view === null) {
    const writtenAt = Date.parse(message.timestamp);
    if (now - writtenAt < patienceMs) return postpone(now + 1000, 'its task is not in the ledger yet');
    throw fail('TASK_UNKNOWN', { task: payload.task_id });
  }
  return settleTask(tools, payload.task_id, view, decideCancelled(view, payload, now));
};
