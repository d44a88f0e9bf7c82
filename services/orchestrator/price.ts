/**
 * What a plan will probably cost, from what attempts of its roles have cost before. Pure.
 *
 * Each step takes as many attempts as its outlook says, at the mean price of its role; a role that has no price yet is
 * taken for an average one, and named. Where nothing was ever paid nothing is known, and the price stays what the model
 * said.
 */
import type { Plan, TaskRequest } from '@nexus/shared/messages/domain';
import type { CostRow } from '@nexus/shared/spend';

/** So many days of costs are looked at. */
export const costDays = 30;

/** The plan with its price; and with a risk where that is more than its budget. `rows` are costs by role. */
export const withPrice = (plan: Plan, rows: readonly CostRow[], { budget }: Pick<TaskRequest, 'budget'>): Plan => {
  const before = priceOf(plan, rows);
  const priced: Plan =
    before === null
      ? { ...plan, ...(plan.price_usd === null ? {} : { price_by: 'model' }) }
      : { ...plan, ...before, price_by: 'history' };
  const max = budget?.usd;
  if (max === undefined || priced.price_usd === null || priced.price_usd <= max) return priced;
  const about = `It will probably cost about ${priced.price_usd} USD`;
  const risk = `${about}, more than its budget of ${max}: then it waits for more.`;
  return { ...priced, risks: [...priced.risks.slice(0, 31), risk] };
};

const priceOf = ({ subtasks, outlook }: Plan, rows: readonly CostRow[]): Partial<Plan> | null => {
  const means = new Map(rows.flatMap((row) => (mean([row]) === null ? [] : [[row.name, mean([row]) as number]])));
  const average = mean(rows.filter(({ name }) => !ownRoles.includes(name)));
  if (average === null) return null;
  const attempts = new Map(outlook?.steps.map((step) => [step.id, step.attempts]));
  const sum = subtasks.reduce((usd, { id, role }) => usd + (attempts.get(id) ?? 1) * (means.get(role) ?? average), 0);
  const without = [...new Set(subtasks.map(({ role }) => role))].filter((role) => !means.has(role));
  return {
    price_usd: Math.round(sum * 10_000) / 10_000,
    ...(without.length === 0 ? {} : { price_without: without }),
  };
};

/** Under which NEXUS books what it asks itself: no attempts of agents. */
const ownRoles: readonly string[] = ['orchestrator', 'memory'];

/** What an attempt costs on average, by price list where a subscription paid; null where no call had a price. */
const mean = (rows: readonly CostRow[]): number | null => {
  const priced = rows.filter(({ calls, unpriced_calls, attempts }) => unpriced_calls < calls && attempts > 0);
  const attempts = priced.reduce((sum, row) => sum + row.attempts, 0);
  return attempts === 0 ? null : priced.reduce((sum, row) => sum + row.usd + row.notional_usd, 0) / attempts;
};
