import type { Handler } from '@nexus/shared/bus';
import { readTask } from '@nexus/shared/ledger';
import { decideDeadline } from './decide.ts';
import { settleTask, type Tools } from './settle-task.ts';

/** Fails a task that has not ended by its deadline. */
export const onDeadlineReached: Handler<'deadline.reached', Tools> = async ({ payload }, tools) => {
  const view = await readTask(tools.store, tools.keys, payload.task_id);
  return settleTask(tools, payload.task_id, view, decideDeadline(view, payload, tools.now()));
};
