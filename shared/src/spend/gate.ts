/**
 * What a runtime that makes its own calls asks before each of them. The shapes alone: `attempt-spend.ts` makes one.
 */

/** Tokens of one call of a model, as its provider counts them. `input_tokens` are those that came from no cache. */
export type Usage = {
  input_tokens: number;
  output_tokens: number;
  cache_read_tokens: number;
  cache_write_tokens: number;
};

/** A call of a model, as it is announced before it is made: the most that it can cost. */
export type PlannedCall = {
  /** Null: nobody knows the price of this model. */
  usdMax: number | null;
  tokensMax: number;
  provider: string;
  account: string;
  model: string;
  /** `process`: a CLI makes it. Left out: we do. */
  kind?: 'call' | 'process' | undefined;
  /** Nobody is charged it, as with a subscription: no budget in USD counts it. */
  notional?: boolean | undefined;
};

/** Budgets and the limits of providers: nothing that costs is called before it is reserved here. */
export type SpendGate = {
  /**
   * Reserves the call in every budget that it counts in, and waits while its provider is limited. Throws
   * `BUDGET_SPENT` (its details name the budget), `PRICE_UNKNOWN` where a budget in USD cannot be kept; and where the
   * wait would be too long `BUDGET_RESERVED`, or `PROVIDER_LIMITED` (details: `until`).
   */
  reserve(call: PlannedCall): Promise<Reservation>;
};

/** One reserved call. Exactly one of these ends it; a second one changes nothing. */
export type Reservation = {
  /** It was answered, by this model if not by the one that was asked, and cost this. */
  settle(used: { usd: number | null; usage: Usage; model?: string | undefined }): Promise<void>;
  /** It was not made. */
  release(): Promise<void>;
  /** The provider said that it has had enough for now; nothing was used. */
  limited(retryAfterMs: number | null): Promise<void>;
  /** The provider failed, or did not answer; nothing was used. */
  failed(): Promise<void>;
};

export const noUsage: Usage = { input_tokens: 0, output_tokens: 0, cache_read_tokens: 0, cache_write_tokens: 0 };

export const tokensOf = (usage: Usage): number =>
  usage.input_tokens + usage.output_tokens + usage.cache_read_tokens + usage.cache_write_tokens;
