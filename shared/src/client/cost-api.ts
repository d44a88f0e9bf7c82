/** Costs and budgets as the HTTP API shows and takes them. */
import { subtaskId, taskId } from '@nexus/shared/messages/domain';
import { costKinds } from '@nexus/shared/spend';
import { z } from 'zod';

const spent = {
  usd: z.number().meta({ description: 'What was charged.' }),
  notional_usd: z
    .number()
    .meta({ description: 'What it would have cost by price list where a subscription paid; nobody is charged it.' }),
  unpriced_calls: z.int().meta({ description: 'Calls of models whose price nobody knows: `usd` lacks them.' }),
  calls: z.int(),
  tokens: z.int().meta({ description: 'All of them, those read from a cache included.' }),
};
export const costSum = z.object(spent).meta({ id: 'CostSum' });

const amount = (what: string) => z.number().meta({ description: what });
export const budgetShown = z
  .object({
    usd_max: z.number().nullable().meta({ description: 'Null: no limit.' }),
    usd_used: amount('Charged so far; more than the limit where the last answer of a CLI went beyond it.'),
    usd_reserved: amount('Reserved by what is under way.'),
    tokens_max: z.int().nullable(),
    tokens_used: z.int(),
    tokens_reserved: z.int(),
  })
  .meta({ id: 'Budget' });

export const costQuery = z.strictObject({
  by: z.enum(costKinds).default('task'),
  days: z.coerce.number().int().min(1).max(366).default(7).meta({ description: 'The last so many (UTC), with today.' }),
});

export const costTable = z
  .object({
    by: z.enum(costKinds),
    days: z.int(),
    rows: z.array(z.object({ name: z.string(), ...spent, attempts: z.int() })),
    total: costSum,
    today: budgetShown.meta({ description: 'The budget of the whole fleet for today.' }),
  })
  .meta({ id: 'CostTable' });

/** What one attempt used of one model. */
export const costLine = z
  .object({
    subtask_id: z.string(),
    attempt: z.int(),
    agent_id: z.string(),
    role: z.string(),
    runtime: z.string(),
    model: z.string().nullable(),
    ...spent,
    input_tokens: z.int(),
    output_tokens: z.int(),
    cache_read_tokens: z.int(),
    cache_write_tokens: z.int(),
    began_at: z.string(),
    ended_at: z.string(),
  })
  .meta({ id: 'CostLine' });

export const taskCost = z
  .object({ task_id: taskId, total: costSum, budget: budgetShown, lines: z.array(costLine) })
  .meta({ id: 'TaskCost' });

const limits = {
  usd: z.number().positive('must be more than 0').max(1e9).optional(),
  tokens: z.int().positive('must be more than 0').optional(),
};
export const budgetRaise = z
  .strictObject(limits)
  .refine(({ usd, tokens }) => usd !== undefined || tokens !== undefined, { error: 'give usd, tokens or both' });

export const budgetRaised = z
  .object({
    task_id: taskId.nullable().meta({ description: 'Null: the whole fleet, for today.' }),
    budget: budgetShown,
    subtasks: z.array(subtaskId).meta({ description: 'Those that waited for a budget, and are tried again.' }),
    says: z.string().optional().meta({ description: 'What it means, where as much is used already.' }),
  })
  .meta({ id: 'BudgetRaised' });

export type CostSum = z.infer<typeof costSum>;
export type BudgetShown = z.infer<typeof budgetShown>;
export type CostTable = z.infer<typeof costTable>;
export type CostQuery = z.input<typeof costQuery>;
export type TaskCost = z.infer<typeof taskCost>;
export type BudgetRaise = z.infer<typeof budgetRaise>;
export type BudgetRaised = z.infer<typeof budgetRaised>;
