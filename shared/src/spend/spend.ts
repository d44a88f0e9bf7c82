/**
 * Money, tokens and providers. This is the door.
 *
 * What it promises. No limit in USD or tokens is passed by those that ask before they spend, however many ask at
 * once; what a CLI spends is walled in up to one response. What a dead process had reserved is free again as soon as
 * anybody needs it; what lives loses nothing. The whole fleet together keeps to what a provider takes. Whatever was
 * spent stands in one ledger, in the same step as in its budgets. An unknown price is told, never taken for zero.
 *
 * Order to read: gate.ts (what a runtime asks) → attempt-spend.ts (one attempt) → budgets.ts, governor.ts, cost.ts,
 * prices.ts with price-table.json, settings.ts; scripts/ hold what is atomic.
 *
 * To add a model: a row of price-table.json. To add a limit: a budget in `budgetKeys`, and its setting.
 */
import type { Bus } from '@nexus/shared/bus';
import type { Log, Meters } from '@nexus/shared/telemetry';
import { type AttemptOptions, type AttemptSpend, beginAttempt, openCalls, type SpendParts } from './attempt-spend.ts';
import { type Budgets, makeBudgets, scopeInWords } from './budgets.ts';
import { type CostBook, makeCostBook } from './cost.ts';
import { type Governor, makeGovernor } from './governor.ts';
import { openPrices, type Prices } from './prices.ts';
import type { SpendConfig } from './settings.ts';

export type { AttemptOptions, AttemptSpend, RunTotal } from './attempt-spend.ts';
export type { Budgets, BudgetView, Limit, Limits, Place, Refusal, ScopeName } from './budgets.ts';
export { type CostBook, type CostKind, type CostLine, type CostRow, costKinds, type Spender } from './cost.ts';
export { noUsage, type PlannedCall, type Reservation, type SpendGate, type Usage } from './gate.ts';
export { brokenInWords, type Governor, type Lane, type Report } from './governor.ts';
export { embeddingGate, onAccount } from './on-account.ts';
export { openPrices, type Price, type Prices } from './prices.ts';
export { type SpendConfig, spendConfig } from './settings.ts';

export type Spending = {
  budgets: Budgets;
  governor: Governor;
  book: CostBook;
  prices: Prices;
  /** Admits an attempt. Throws `BUDGET_SPENT`, `PRICE_UNKNOWN`, `BUDGET_RESERVED` or `PROVIDER_LIMITED`. */
  begin(options: AttemptOptions): Promise<AttemptSpend>;
  /** For calls that a service makes itself, for a task or for all; `end` gives back what is still reserved. */
  calls(options: Parameters<typeof openCalls>[1]): ReturnType<typeof openCalls>;
};

export type SpendingOptions = {
  bus: Pick<Bus, 'side' | 'keys' | 'isClaimed' | 'tell'>;
  config: SpendConfig;
  log: Log;
  meters: Meters;
  now?: () => number;
};

/** Opens budgets, governor and ledger on a fabric. Throws `PRICES_INVALID`. */
export const openSpending = (options: SpendingOptions): Spending => {
  const { bus, config, now } = options;
  bus.side.register('spend', new URL('./scripts/', import.meta.url));
  const prices = openPrices(config.prices);
  const { onWait, ...tellers } = makeTellers(options);
  const parts: SpendParts = {
    budgets: makeBudgets({ bus, config, isAlive: bus.isClaimed, now }),
    governor: makeGovernor({ bus, config, isAlive: bus.isClaimed, onWait }),
    book: makeCostBook({ bus, config, now }),
    prices,
    config,
    ...tellers,
  };
  const { budgets, governor, book } = parts;
  const begin: Spending['begin'] = (attempt) => beginAttempt(parts, attempt);
  return { budgets, governor, book, prices, begin, calls: (asked) => openCalls(parts, asked) };
};

/** Meters, log and events. Labels are closed sets: no task, no model. */
const makeTellers = ({ bus, log, meters }: SpendingOptions) => {
  const usdTotal = meters.counter('nexus_spend_usd_total', 'USD spent.', ['runtime', 'notional']);
  const tokensTotal = meters.counter('nexus_spend_tokens_total', 'Tokens used.', ['runtime']);
  const unpriced = meters.counter('nexus_spend_unpriced_total', 'Calls whose price nobody knows.', ['runtime']);
  const refusals = meters.counter('nexus_budget_refusals_total', 'Reservations that were refused.', ['scope', 'why']);
  const waits = meters.counter('nexus_provider_waits_total', 'Calls that had to wait for a provider.', ['why']);
  return {
    onTold: (told: Parameters<SpendParts['onTold']>[0], place: Parameters<SpendParts['onTold']>[1]) => {
      const unit = told.unit === 'usd' ? 'USD' : 'tokens';
      const percent = Math.floor((100 * told.used) / told.max);
      const over = told.used > told.max ? ` (${rounded(told.used - told.max)} over)` : '';
      const amounts = `${rounded(told.used)} of ${rounded(told.max)} ${unit}${over}`;
      const text = `${percent} % of the budget of ${scopeInWords(told.scope, place)} are used: ${amounts}`;
      log.warn({ task: place.taskId, subtask: place.subtaskId, ...told }, text);
      const ids = { task_id: place.taskId, subtask_id: place.subtaskId, attempt: place.attempt };
      bus.tell({ ...ids, event: told.is === 'near' ? 'budget.near' : 'budget.spent', text, data: told });
    },
    onRefused: ({ scope, is }: Parameters<SpendParts['onRefused']>[0]) => refusals.inc({ scope, why: is }),
    onSpent: ({ usd, tokens, notional, runtime }: Parameters<SpendParts['onSpent']>[0]) => {
      if (usd === null) unpriced.inc({ runtime });
      else if (usd > 0) usdTotal.inc({ runtime, notional: String(notional) }, usd);
      if (tokens > 0) tokensTotal.inc({ runtime }, tokens);
    },
    onTrouble: (thrown: unknown) => log.warn({ err: thrown }, 'What was spent could not be booked'),
    onWait: (_provider: string, why: string) => waits.inc({ why }),
  };
};

const rounded = (amount: number): number => Number(amount.toFixed(4));
