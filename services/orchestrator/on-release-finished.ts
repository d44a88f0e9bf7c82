import type { Handler } from '@nexus/shared/bus';
import { readTask } from '@nexus/shared/ledger';
import { decideReleased } from './decide.ts';
import { settleTask, type Tools } from './settle-task.ts';

/** Completes the task, or says why its result is not where it was asked for. */
export const onReleaseFinished: Handler<'release.finished', Tools> = async ({ payload }, tools) => {
  const view = await readTask(tools.store, tools.keys, payload.task_id);
  return settleTask(tools, payload.task_id, view, decideReleased(view, payload, tools.now()));
};
