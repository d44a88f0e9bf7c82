/** What was spent, as the gateway reads it; it spends nothing itself. */
import type { CostSum } from '@nexus/shared/client';
import { openSpending, type Spending } from '@nexus/shared/spend';
import type { Fleet } from './fleet.ts';

const opened = new WeakMap<Fleet, Spending>();

/** Opened at the first question: nothing of Redis is touched before. */
export const spendingOf = (fleet: Fleet): Spending => {
  const before = opened.get(fleet);
  if (before) return before;
  const { bus, config, log, meters } = fleet;
  const spending = openSpending({ bus, config, log, meters });
  opened.set(fleet, spending);
  return spending;
};

/** The sum of rows, or of lines. */
export const sumOf = (rows: readonly CostSum[]): CostSum => {
  const sum = { usd: 0, notional_usd: 0, unpriced_calls: 0, calls: 0, tokens: 0 };
  for (const row of rows) for (const name of Object.keys(sum) as (keyof CostSum)[]) sum[name] += row[name];
  return { ...sum, usd: rounded(sum.usd), notional_usd: rounded(sum.notional_usd) };
};

/** Sums of millionths, without what binary fractions add. */
const rounded = (usd: number): number => Math.round(usd * 1e6) / 1e6;
