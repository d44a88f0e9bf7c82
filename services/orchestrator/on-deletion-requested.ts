import type { Handler } from '@nexus/shared/bus';
import { readTask } from '@nexus/shared/ledger';
import { decideDeleted } from './decide.ts';
import { settleTask, type Tools } from './settle-task.ts';

/** Removes an ended task; the others are told to remove what is theirs. */
export const onDeletionRequested: Handler<'deletion.requested', Tools> = async ({ payload }, tools) => {
  const view = await readTask(tools.store, tools.keys, payload.task_id);
  return settleTask(tools, payload.task_id, view, decideDeleted(view));
};
