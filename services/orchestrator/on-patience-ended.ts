import type { Handler } from '@nexus/shared/bus';
import { readTask } from '@nexus/shared/ledger';
import { settleTask, type Tools } from './settle-task.ts';
import { decidePatienceEnded } from './waiting.ts';

/** Fails a task that has waited for a person for too long. */
export const onPatienceEnded: Handler<'patience.ended', Tools> = async ({ payload }, tools) => {
  const view = await readTask(tools.store, tools.keys, payload.task_id);
  return settleTask(tools, payload.task_id, view, decidePatienceEnded(view, payload, tools.now()));
};
