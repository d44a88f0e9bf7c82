import { done, type Handler } from '@nexus/shared/bus';
import { withNewest } from '@nexus/shared/catalog';
import { AppError } from '@nexus/shared/errors';
import { readPreview } from '@nexus/shared/ledger';
import { writePreview } from '@nexus/shared/ledger/write';
import { planTask } from './plan-task.ts';
import type { Tools } from './settle-task.ts';

/** Plans a request for somebody who wants to see it, exactly as the task would be planned; nothing is run. */
export const onPlanRequested: Handler<'plan.requested', Tools> = async ({ payload }, tools) => {
  const { preview_id, request, warnings } = payload;
  // Delivered twice it is made once: a model has its price.
  if ((await readPreview(tools.store, tools.keys, preview_id)) !== null) return done();
  try {
    const plan = await withNewest(tools.catalog, () => planTask(preview_id, request, warnings, tools));
    return done({ write: writePreview(tools.keys, preview_id, { plan, failure: null }) });
  } catch (thrown) {
    if (tools.signal.aborted || !(thrown instanceof AppError)) throw thrown;
    const { code, message, details } = thrown;
    return done({ write: writePreview(tools.keys, preview_id, { plan: null, failure: { code, message, details } }) });
  }
};
