/**
 * Money and tokens of what NEXUS Prime asks a model: reserved before each call, booked after it, under the task and the
 * day, like what agents use. Where a budget is spent the call is refused with its code, and nothing was asked.
 */
import type { HandlerTools } from '@nexus/shared/bus';
import type { TaskRequest } from '@nexus/shared/messages/domain';
import type { SpendGate, Spending } from '@nexus/shared/spend';

/** For what it is asked, and for which task: no subtask can be called so. */
export type Errand = { taskId: string; what: '(plan)' | '(answers)'; budget: TaskRequest['budget'] };

/** Asks by a gate that counts for the errand; without spending, by none. */
export const paidFor = async <T>(
  { taskId, what, budget }: Errand,
  { claim, signal }: Pick<HandlerTools, 'claim' | 'signal'>,
  spending: Pick<Spending, 'calls'> | undefined,
  ask: (gate: SpendGate | undefined) => Promise<T>,
): Promise<T> => {
  const spend = spending?.calls({
    place: { taskId, subtaskId: what, attempt: 1 },
    by: { agentId: 'nexus_prime', role: 'orchestrator', runtime: 'model' },
    limits: {
      task: { usd: budget?.usd ?? null, tokens: budget?.tokens ?? null },
      attempt: { usd: null, tokens: null },
    },
    token: claim.token,
    signal,
  });
  try {
    return await ask(spend?.gate);
  } finally {
    await spend?.end();
  }
};
