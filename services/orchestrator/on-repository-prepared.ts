import type { Handler } from '@nexus/shared/bus';
import { withNewest } from '@nexus/shared/catalog';
import { AppError } from '@nexus/shared/errors';
import { readTask } from '@nexus/shared/ledger';
import type { Plan } from '@nexus/shared/messages/domain';
import { decidePrepared } from './decide.ts';
import { planTask } from './plan-task.ts';
import { settleTask, type Tools } from './settle-task.ts';

/** Plans the task, now that it is known what it starts from. */
export const onRepositoryPrepared: Handler<'repository.prepared', Tools> = async ({ payload }, tools) => {
  const view = await readTask(tools.store, tools.keys, payload.task_id);
  let planned: Plan | AppError | null = null;
  // A model takes its time and its price: nobody asks it for a plan that is there, or that nobody needs.
  if (view !== null && view.plan === null && view.head.status === 'planning' && payload.base_commit !== null) {
    const { request } = view;
    const plan = () => planTask(payload.task_id, request, payload.warnings, tools);
    planned = await withNewest(tools.catalog, plan).catch((thrown: unknown) => {
      if (thrown instanceof AppError && !tools.signal.aborted) return thrown;
      throw thrown;
    });
  }
  const planFor = (): Plan => {
    if (planned instanceof AppError) throw planned;
    if (planned === null) throw new Error('a plan is needed that nobody made');
    return planned;
  };
  return settleTask(tools, payload.task_id, view, decidePrepared(view, payload, planFor, tools.now()));
};
