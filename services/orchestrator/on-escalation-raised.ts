import type { Handler } from '@nexus/shared/bus';
import { readTask } from '@nexus/shared/ledger';
import { settleTask, type Tools } from './settle-task.ts';
import { plannerFor } from './strategy.ts';
import { decideEscalated } from './waiting.ts';

/** Has a subtask that cannot go on planned anew, or asks a person. */
export const onEscalationRaised: Handler<'escalation.raised', Tools> = async (message, tools) => {
  const { payload } = message;
  const view = await readTask(tools.store, tools.keys, payload.task_id);
  const planner = plannerFor(tools.catalog, payload);
  const decision = decideEscalated(view, payload, planner, tools.patience, tools.now());
  return settleTask(tools, payload.task_id, view, decision, message);
};
