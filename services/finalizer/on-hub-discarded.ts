/**
 * A deleted task leaves neither hub, clones nor report. What was released stays: it is the person's. There is no
 * `begin` here, as the task has ended, and nothing is spawned that could outlive us.
 */
import { done, type Handler } from '@nexus/shared/bus';
import { hubLocation, removeHub } from '@nexus/shared/git';
import { removeReport } from '@nexus/shared/ledger/write';
import { removeLeftovers } from './leftovers.ts';
import type { FinalizerTools } from './tools.ts';

export const onHubDiscarded: Handler<'hub.discarded', FinalizerTools> = async ({ payload }, tools) => {
  // Clones first: whoever finds one without its hub knows that nothing of it is worth saving.
  await removeLeftovers(tools.config.home, payload.task_id);
  await removeHub(hubLocation(tools.config, payload.task_id), payload.task_id);
  return done({ write: removeReport(tools.keys, payload.task_id) });
};
