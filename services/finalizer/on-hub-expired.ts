/**
 * A task that ended long ago leaves its hub, with the evidence in it, and its clones. Its report stays, and so does
 * what was released. There is no `begin` here, as the task has ended.
 */
import { done, type Handler } from '@nexus/shared/bus';
import { hubLocation, removeHub } from '@nexus/shared/git';
import { removeLeftovers } from './leftovers.ts';
import type { FinalizerTools } from './tools.ts';

export const onHubExpired: Handler<'hub.expired', FinalizerTools> = async ({ payload }, tools) => {
  // Clones first: whoever finds one without its hub knows that nothing of it is worth saving.
  await removeLeftovers(tools.config.home, payload.task_id);
  await removeHub(hubLocation(tools.config, payload.task_id), payload.task_id);
  return done();
};
