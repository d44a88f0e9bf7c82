/**
 * Embeddings of memories, paid like all else. Memories know nothing of tasks and budgets, so whoever remembers or
 * recalls something for a task says so around it (`onAccount`); what nobody says anything about counts for all.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import { randomUUID } from 'node:crypto';
import type { SpendGate } from './gate.ts';
import type { Spending } from './spend.ts';

type Account = { taskId: string; budget?: { usd?: number | undefined; tokens?: number | undefined } | undefined };

const accounts = new AsyncLocalStorage<Account>();

/** What is embedded in `work` counts for this task. */
export const onAccount = <T>(account: Account, work: () => T): T => accounts.run(account, work);

/** No task and no subtask can be called so. */
const ownName = '(memory)';

/** The gate for embeddings. `instanceId` asks: what it had reserved when it died is free for whoever needs it. */
export const embeddingGate = (spending: Pick<Spending, 'calls'>, instanceId: string): SpendGate => ({
  reserve: (call) => {
    const { taskId, budget } = accounts.getStore() ?? { taskId: ownName };
    const { gate } = spending.calls({
      place: { taskId, subtaskId: ownName, attempt: 1 },
      by: { agentId: 'memory', role: 'memory', runtime: 'embedding' },
      limits: {
        task: { usd: budget?.usd ?? null, tokens: budget?.tokens ?? null },
        attempt: { usd: null, tokens: null },
      },
      token: `${instanceId}.${randomUUID()}`,
      signal: AbortSignal.timeout(reserveMs),
    });
    return gate.reserve(call);
  },
});

/** A memory is not worth a wait for a budget or a provider. */
const reserveMs = 1000;
