import type { Handler } from '@nexus/shared/bus';
import { fail } from '@nexus/shared/errors';
import { readTask } from '@nexus/shared/ledger';
import { settleTask, type Tools } from './settle-task.ts';
import { decidePersonAnswered } from './waiting.ts';

/** Goes on with what waited for a person. An answer that nothing waits for is told, and changes nothing. */
export const onPersonAnswered: Handler<'person.answered', Tools> = async ({ payload, actor }, tools) => {
  const { task_id: task, subtask_id: subtask } = payload;
  const view = await readTask(tools.store, tools.keys, task);
  if (view === null) throw fail('TASK_UNKNOWN', { task });
  const decision = decidePersonAnswered(view, payload, tools.now(), actor);
  if (decision.change === null) {
    const { status } = view.head;
    const about = subtask === null ? 'nothing waits for one' : `"${subtask}" does not wait for one`;
    const text = `An answer came, but ${about}; the task is ${status}.`;
    tools.log.info({ task, status }, text);
    tools.tell({ event: 'task.changed', task_id: task, text, data: { status, reason: view.head.reason } });
  }
  return settleTask(tools, task, view, decision);
};
