import type { Handler } from '@nexus/shared/bus';
import { readTask } from '@nexus/shared/ledger';
import { decidePrepared } from './decide.ts';
import { settleTask, type Tools } from './settle-task.ts';
import { planRequest } from './strategy.ts';

/** Plans the task, now that it is known what it starts from. */
export const onRepositoryPrepared: Handler<'repository.prepared', Tools> = async ({ payload }, tools) => {
  const now = tools.now();
  const view = await readTask(tools.store, tools.keys, payload.task_id);
  const decision = decidePrepared(
    view,
    payload,
    (request, warnings) => planRequest(tools.catalog, request, warnings, now),
    now,
  );
  return settleTask(tools, payload.task_id, view, decision);
};
