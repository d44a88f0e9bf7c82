import type { Handler } from '@nexus/shared/bus';
import { readBoardHead, readTask } from '@nexus/shared/ledger';
import { decideBoardCompleted } from './decide.ts';
import { settleTask, type Tools } from './settle-task.ts';

/** Has the result released, with the proof that the board holds. */
export const onBoardCompleted: Handler<'board.completed', Tools> = async ({ payload }, tools) => {
  const { store, keys } = tools;
  const view = await readTask(store, keys, payload.task_id);
  const board = view === null ? null : await readBoardHead(store, keys, payload.task_id);
  const decision = decideBoardCompleted(view, payload, board?.head ?? null, tools.now());
  return settleTask(tools, payload.task_id, view, decision);
};
