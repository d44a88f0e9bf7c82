import type { Handler } from '@nexus/shared/bus';
import { fail } from '@nexus/shared/errors';
import { readTask } from '@nexus/shared/ledger';
import { settleTask, type Tools } from './settle-task.ts';
import { decideQuestionAnswered } from './waiting.ts';

/** Keeps a person's answer for whoever works at the task from now on; what waited for it goes on. */
export const onQuestionAnswered: Handler<'question.answered', Tools> = async ({ payload }, tools) => {
  const { task_id: task } = payload;
  const view = await readTask(tools.store, tools.keys, task);
  if (view === null) throw fail('TASK_UNKNOWN', { task });
  return settleTask(tools, task, view, decideQuestionAnswered(view, payload, tools.now()));
};
