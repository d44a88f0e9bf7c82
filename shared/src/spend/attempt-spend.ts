/**
 * What one attempt spends: admitted when it begins, reserved before it is spent, booked after, given back at its end.
 *
 *   begun ──▶ open ── calls by the gate (a runtime that makes its own), or `heard` (a CLI that tells what it used)
 *              │   └── a budget is spent ──▶ `signal` aborts with BUDGET_SPENT: the agent is ended, its work is kept
 *              └──end──▶ closed: nothing of it is reserved any more
 *
 * A runtime that asks before each call never passes a limit. A CLI cannot be asked: it has a step reserved ahead, and
 * each response that it tells of is booked and its step reserved anew; where that is refused it is ended. So it may
 * be over by one response, which counts in its budgets like all else.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { AppError } from '@nexus/shared/errors';
import {
  type Budgets,
  type Limits,
  type Place,
  type Refusal,
  refusalError,
  type Told,
  type Wanted,
} from './budgets.ts';
import type { CostBook, Spender, Spent } from './cost.ts';
import { noUsage, type PlannedCall, type Reservation, type SpendGate, tokensOf, type Usage } from './gate.ts';
import type { Governor, Lane, Report } from './governor.ts';
import { patiently } from './patiently.ts';
import type { Prices } from './prices.ts';
import type { SpendConfig } from './settings.ts';

export type AttemptOptions = {
  place: Place;
  by: Spender;
  limits: Limits;
  /** The token of the claim under which it runs. */
  token: string;
  /** The model that it will probably use; null: its runtime's default. */
  model: string | null;
  /** Where a CLI runs as a process that makes its own calls; null: each call is asked for. */
  lane: Lane | null;
  /** What is spent is what a price list says, and nobody is charged it. */
  notional?: boolean;
  /** By what the use of a CLI is priced: USD that it tells, the model that it tells, or neither. Left out: by USD. */
  tells?: 'usd' | 'model' | 'use' | undefined;
  signal: AbortSignal;
};

/** What a run used in all, as its runtime tells at its end. */
export type RunTotal = {
  usd: number | null;
  /** What counts where neither a total nor what was heard has a price. */
  usdLeast?: number | null | undefined;
  usage: Usage | null;
  model: string | null;
  notional: boolean;
  /** What its end says of the provider; left out: all was well. */
  landed?: Report | undefined;
};

export type AttemptSpend = {
  gate: SpendGate;
  /** Aborts with `BUDGET_SPENT` when a budget is spent by a CLI, or `PRICE_UNKNOWN` where none in USD can be kept. */
  signal: AbortSignal;
  /** The least that is left of its budgets, as they stood when it began; null: no limit. */
  left: { usd: number | null; tokens: number | null };
  /** The budget that refused something last; null: none did. */
  refused(): Refusal | null;
  /** A CLI has used this, in one response of this model; left out: of the one that it was asked to use. */
  heard(usage: Usage, model?: string): void;
  /** Its provider told it to slow down. */
  slowed(retryAfterMs: number | null): void;
  /** Books what the events did not tell of, gives the place at the provider back. */
  settle(total: RunTotal): Promise<void>;
  /** Gives back what is still reserved. Never throws; a second call does nothing. */
  end(): Promise<void>;
};

export type SpendParts = {
  budgets: Budgets;
  governor: Governor;
  book: CostBook;
  prices: Prices;
  config: SpendConfig;
  /** A budget came near its end, or to it. */
  onTold(told: Told, place: Place): void;
  onRefused(refusal: Refusal): void;
  onSpent(spent: { usd: number | null; tokens: number; notional: boolean; runtime: string }): void;
  onTrouble(thrown: unknown): void;
};

/** How long a new attempt waits for a place at its provider before it is put aside. */
const placeWaitMs = 2000;
const microUsd = 1e-6;

/** Admits an attempt. Throws `BUDGET_SPENT`, `PRICE_UNKNOWN`, `BUDGET_RESERVED` or `PROVIDER_LIMITED`. */
export const beginAttempt = async (parts: SpendParts, options: AttemptOptions): Promise<AttemptSpend> => {
  const attempt = new Spending(parts, options);
  await attempt.begin();
  return attempt.face();
};

/** The gate for calls that no agent makes but a service itself, under its claim: nothing is reserved ahead. */
export const openCalls = (
  parts: SpendParts,
  options: Omit<AttemptOptions, 'model' | 'lane' | 'notional'>,
): Pick<AttemptSpend, 'gate' | 'end'> => new Spending(parts, { ...options, model: null, lane: null }).face();

class Spending {
  readonly #parts: SpendParts;
  readonly #options: AttemptOptions;
  readonly #ended = new AbortController();
  #reservations = new Set<string>();
  /** The step that is reserved ahead; null once the first call has taken its place, or it was refused. */
  #step: string | null = null;
  #count = 0;
  #refused: Refusal | null = null;
  #flight: string | null = null;
  /** What was booked of what a CLI told as it went. */
  #heard = { usd: 0, usage: noUsage, calls: 0, unpriced: 0 };
  #turn: Promise<unknown> = Promise.resolve();
  #left: AttemptSpend['left'] = { usd: null, tokens: null };

  constructor(parts: SpendParts, options: AttemptOptions) {
    this.#parts = parts;
    this.#options = options;
  }

  face(): AttemptSpend {
    return {
      gate: { reserve: (call) => this.#reserveCall(call) },
      signal: this.#ended.signal,
      left: this.#left,
      refused: () => this.#refused,
      heard: (usage, model) => this.#queue(() => this.#bookHeard(usage, model ?? this.#options.model)),
      slowed: (retryAfterMs) => this.#queue(() => this.#goesOn({ is: 'limited', retryAfterMs })),
      settle: (total) => this.#settleRest(total),
      end: () => this.#end(),
    };
  }

  async begin(): Promise<void> {
    const { lane, token, signal, model, tells } = this.#options;
    // A model that the CLI will name is judged then.
    const priced = tells === undefined || tells === 'usd' || (model === null ? tells === 'model' : this.#knows(model));
    const refusal = await this.#takeStep(priced);
    if (refusal !== null) throw this.#errorOf(refusal, microUsd, this.#named(model));
    try {
      this.#left = await this.#readLeft();
      if (lane === null) return;
      const flight = `${token}/process`;
      await this.#parts.governor.admit(lane, flight, placeWaitMs, signal);
      this.#flight = flight;
    } catch (thrown) {
      await this.#end();
      throw thrown;
    }
  }

  // --- calls by the gate -----------------------------------------------------------------------

  async #reserveCall(call: PlannedCall): Promise<Reservation> {
    const { place, limits, signal } = this.#options;
    const id = this.#nextId();
    const { kind = 'call', provider, account, notional = false } = call;
    const usd = notional ? exactly(0) : call.usdMax === null ? null : exactly(call.usdMax);
    const deadline = performance.now() + this.#parts.config.providerWait;
    for (;;) {
      const asked = { id, replaces: this.#step ?? undefined, place, limits, usd, tokens: exactly(call.tokensMax) };
      const found = await patiently(() => this.#parts.budgets.reserve(asked), signal);
      if (found.is === 'granted') break;
      // Others may use less than they have reserved.
      if (found.is === 'held' && performance.now() < deadline)
        await sleep(200 + Math.random() * 200, undefined, { signal });
      else throw this.#errorOf(found, found.unit === 'usd' ? (call.usdMax ?? 0) : call.tokensMax, call.model);
    }
    if (this.#step !== null) this.#reservations.delete(this.#step);
    this.#step = null;
    this.#reservations.add(id);
    const model = kind === 'call' ? call.model : this.#parts.prices.nameOf(call.model);
    const lane: Lane = { kind, provider, account, model };
    try {
      const waitMs = Math.max(0, deadline - performance.now());
      await this.#parts.governor.admit(lane, id, waitMs, signal);
    } catch (thrown) {
      await this.#free(id);
      throw thrown;
    }
    return this.#reservation(id, lane, call);
  }

  #reservation(id: string, lane: Lane, call: PlannedCall): Reservation {
    const { governor } = this.#parts;
    const { signal } = this.#options;
    let over = false;
    const once = async (work: () => Promise<unknown>): Promise<void> => {
      if (over) return;
      over = true;
      await work();
    };
    const unused = (report: Parameters<Governor['report']>[2]) =>
      once(async () => {
        await patiently(() => governor.report(lane, id, report), signal);
        await this.#free(id);
      });
    return {
      settle: ({ usd, usage, model = call.model }) =>
        once(async () => {
          const cost = usd ?? this.#parts.prices.costOf(model, usage);
          await this.#book({ id, model, usage, usd: cost, calls: 1, notional: call.notional ?? false });
          await patiently(() => governor.report(lane, id, { is: 'well' }), signal);
        }),
      release: () => unused({ is: 'unused' }),
      limited: (retryAfterMs) => unused({ is: 'limited', retryAfterMs }),
      failed: () => unused({ is: 'failed' }),
    };
  }

  // --- a CLI that tells what it used ------------------------------------------------------------

  async #bookHeard(usage: Usage, model: string | null): Promise<void> {
    const { notional = false, tells = 'usd' } = this.#options;
    const priceOf = (name: string | null) => (name === null ? null : this.#parts.prices.costOf(name, usage));
    // Whose price nobody knows is reckoned as what was asked for, where the CLI tells USD at its end.
    const usd = priceOf(model) ?? (tells === 'usd' ? priceOf(this.#options.model) : null);
    const id = this.#step ?? this.#nextId();
    this.#step = null;
    await this.#book({ id, model, usage, usd, calls: 1, notional });
    this.#heard = {
      usd: this.#heard.usd + (usd ?? 0),
      usage: plus(this.#heard.usage, usage),
      calls: this.#heard.calls + 1,
      unpriced: this.#heard.unpriced + (usd === null ? 1 : 0),
    };
    await this.#goesOn({ is: 'well' });
    await this.#stepOn(tells === 'usd' || usd !== null, model);
  }

  /** Reserves what comes next; where that is refused, it ends. */
  async #stepOn(priced: boolean, model: string | null): Promise<void> {
    const refusal = await this.#takeStep(priced);
    if (refusal === null || this.#ended.signal.aborted) return;
    this.#ended.abort(this.#errorOf(refusal, microUsd, this.#named(model)));
  }

  #knows(model: string): boolean {
    return this.#parts.prices.priceOf(model) !== null;
  }

  #named(model: string | null): string {
    return model ?? `the default of ${this.#options.lane?.account ?? this.#options.by.runtime}`;
  }

  /** What its provider says while a process works: for how many others there is room does not wait for its end. */
  async #goesOn(report: Report): Promise<void> {
    const { lane, signal } = this.#options;
    if (lane === null || this.#flight === null) return;
    const flight = this.#flight;
    await patiently(() => this.#parts.governor.report(lane, flight, report, true), signal);
  }

  async #settleRest(total: RunTotal): Promise<void> {
    await this.#turn;
    const { model, notional = false } = this.#options;
    const before = this.#heard;
    const usage = total.usage === null ? noUsage : plus(total.usage, times(before.usage, -1));
    const known = total.usd ?? this.#reckoned(total);
    // Whose bill it is may be known only now: then what was booked on the other one is taken back.
    const moves = total.notional !== notional && before.usd !== 0;
    if (moves) await this.#book({ id: this.#nextId(), model, usage: noUsage, usd: -before.usd, calls: 0, notional });
    const least = known ?? (total.usdLeast || null);
    const usd = least === null ? null : Math.max(known ?? before.usd, least) - (moves ? 0 : before.usd);
    const isUsed = tokensOf(total.usage ?? noUsage) > 0 || (known ?? 0) > 0;
    const calls = before.calls === 0 && isUsed ? 1 : 0;
    const unpriced = known === null ? undefined : -before.unpriced;
    if (calls > 0 || tokensOf(usage) !== 0 || (usd ?? 0) !== 0) {
      const id = this.#step ?? this.#nextId();
      this.#step = null;
      const rest = { id, model: total.model ?? model, usage, usd: usd ?? (calls > 0 ? null : 0), calls };
      await this.#book({ ...rest, notional: total.notional, unpriced });
    }
    // It promised to tell what its price is known by, and did not.
    const isSilent = this.#options.tells !== undefined && known === null && isUsed;
    if (isSilent && !this.#ended.signal.aborted) await this.#stepOn(false, total.model ?? model);
    await this.#land(total.landed ?? { is: 'well' });
  }

  /** What it cost as far as we can tell: the sum of its calls, or a price for what its only answer was. */
  #reckoned({ usage, model }: RunTotal): number | null {
    const { usd, calls, unpriced } = this.#heard;
    if (calls > 0) return unpriced === 0 ? usd : null;
    return usage === null || model === null ? null : this.#parts.prices.costOf(model, usage);
  }

  // --- both ------------------------------------------------------------------------------------

  /** Reserves the next step ahead, or what is left of it; one without a known price no budget in USD grants. */
  async #takeStep(priced: boolean): Promise<Refusal | null> {
    const { place, limits, signal } = this.#options;
    const { budgetStepUsd, budgetStepTokens } = this.#parts.config;
    const id = this.#nextId();
    const usd: Wanted | null = priced ? { wanted: budgetStepUsd, least: microUsd } : null;
    const asked = { id, place, limits, usd, tokens: { wanted: budgetStepTokens, least: 1 } };
    const found = await patiently(() => this.#parts.budgets.reserve(asked), signal);
    if (found.is !== 'granted') return found;
    this.#step = id;
    this.#reservations.add(id);
    return null;
  }

  async #readLeft(): Promise<AttemptSpend['left']> {
    const { budgets } = this.#parts;
    const { taskId, subtaskId, attempt } = this.#options.place;
    const scopes = ['day' as const, { taskId }, { taskId, subtaskId }, { taskId, subtaskId, attempt }];
    const views = await Promise.all(scopes.map((scope) => budgets.read(scope)));
    const least = (amounts: (number | null)[]) => {
      const known = amounts.filter((amount) => amount !== null);
      return known.length === 0 ? null : Math.max(0, Math.min(...known));
    };
    return {
      usd: least(views.map((view) => (view.usd_max === null ? null : view.usd_max - view.usd_used))),
      tokens: least(views.map((view) => (view.tokens_max === null ? null : view.tokens_max - view.tokens_used))),
    };
  }

  async #book(spent: Omit<Spent, 'place' | 'by'>): Promise<void> {
    const { place, by, signal } = this.#options;
    const { book, prices, onTold, onSpent } = this.#parts;
    const model = spent.model === null ? null : prices.nameOf(spent.model);
    const told = await patiently(() => book.settle({ ...spent, place, by, model }), signal, true);
    this.#reservations.delete(spent.id);
    const { usd, usage, notional } = spent;
    onSpent({ usd, tokens: tokensOf(usage), notional, runtime: by.runtime });
    for (const one of told) onTold(one, place);
  }

  async #free(id: string): Promise<void> {
    await patiently(() => this.#parts.budgets.free([id]), this.#options.signal, true);
    this.#reservations.delete(id);
  }

  /** Gives the place of a process at its provider back. */
  async #land(landed: Report): Promise<void> {
    const { lane, signal } = this.#options;
    const flight = this.#flight;
    this.#flight = null;
    if (lane === null || flight === null) return;
    await patiently(() => this.#parts.governor.report(lane, flight, landed), signal, true);
  }

  async #end(): Promise<void> {
    await this.#turn;
    const ids = [...this.#reservations];
    this.#reservations = new Set();
    try {
      if (ids.length > 0) await patiently(() => this.#parts.budgets.free(ids), this.#options.signal, true);
      await this.#land({ is: 'unused' });
    } catch (thrown) {
      // Whoever meets a full budget frees it, once the claim is gone.
      this.#parts.onTrouble(thrown);
    }
  }

  /** One after the other; a failure is told, and the next one tries again. */
  #queue(work: () => Promise<void>): void {
    this.#turn = this.#turn.then(work).catch((thrown) => {
      if (!this.#options.signal.aborted) this.#parts.onTrouble(thrown);
    });
  }

  #nextId(): string {
    this.#count += 1;
    return `${this.#options.token}/${this.#count}`;
  }

  #errorOf(refusal: Refusal, wanted: number, model?: string): AppError {
    this.#refused = refusal;
    this.#parts.onRefused(refusal);
    const { place } = this.#options;
    return refusalError(refusal, place, refusal.unit === 'usd' ? wanted : Math.max(1, wanted), model ?? 'unknown');
  }
}

const exactly = (amount: number): Wanted => ({ wanted: amount, least: amount });

const plus = (one: Usage, other: Usage): Usage => ({
  input_tokens: one.input_tokens + other.input_tokens,
  output_tokens: one.output_tokens + other.output_tokens,
  cache_read_tokens: one.cache_read_tokens + other.cache_read_tokens,
  cache_write_tokens: one.cache_write_tokens + other.cache_write_tokens,
});
const times = (usage: Usage, factor: number): Usage => ({
  input_tokens: factor * usage.input_tokens,
  output_tokens: factor * usage.output_tokens,
  cache_read_tokens: factor * usage.cache_read_tokens,
  cache_write_tokens: factor * usage.cache_write_tokens,
});
