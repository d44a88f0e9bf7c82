/**
 * A deleted task leaves neither hub nor report. What was released stays: it is the person's. There is no `begin`
 * here, as the task has ended, and nothing is spawned that could outlive us.
 */
import { done, type Handler } from '@nexus/shared/bus';
import { hubLocation, removeHub } from '@nexus/shared/git';
import { removeReport } from '@nexus/shared/ledger/write';
import type { FinalizerTools } from './tools.ts';

export const onHubDiscarded: Handler<'hub.discarded', FinalizerTools> = async ({ payload }, tools) => {
  await removeHub(hubLocation(tools.config, payload.task_id), payload.task_id);
  return done({ write: removeReport(tools.keys, payload.task_id) });
};
