/**
 * One call of a model with all that belongs to it: what it may cost is reserved before, what it cost is settled after,
 * and a failure that may pass is tried again, bounded, no sooner than the server asks.
 *
 *     reserve → ask ─ answered ─────────────→ settle → done
 *        ↑        └─ failed ─ settle, limited or failed ─ may it pass? ─ no → throw
 *        └───────────────── wait ────────────────────────── yes
 *
 * A call that broke off after its first piece was paid for, too: what it used is reckoned and settled so.
 */
import { setTimeout as after } from 'node:timers/promises';
import { toAppError } from '@nexus/shared/errors';
import type { Chat, ChatAnswer, ChatOutcome, ChatRequest, Usage } from './chat.ts';
import { fitInto } from './fit.ts';
import { providerOf } from './model-config.ts';
import type { ModelFailure } from './model-failure.ts';

/** Budgets and the limits of a provider, as the governor of spending offers them. */
export type Gate = {
  reserve(call: {
    usdMax: number | null;
    tokensMax: number;
    provider: string;
    account: string;
    model: string;
    kind?: 'call' | 'process';
    notional?: boolean;
  }): Promise<Reserved>;
};
export type Reserved = {
  settle(used: { usd: number | null; usage: Usage; model?: string | undefined }): Promise<void>;
  release(): Promise<void>;
  limited(retryAfterMs: number | null): Promise<void>;
  failed(): Promise<void>;
};

export type CallOptions = {
  triesMax: number;
  /** A server that asks to wait longer is not waited for. */
  waitMsMax: number;
  gate?: Gate | undefined;
  /** Who pays, as a name that is no secret. */
  account: string;
  /** What a use costs; null: nobody knows. */
  priceOf: (model: string, usage: Usage) => number | null;
  onRetry?: (retry: { status: number | null; delay_ms: number; says: string }) => void;
  /** Called with each use, also of a call that failed. */
  onUsage?: (usage: Usage, usd: number | null) => void;
  /** For tests: how long to wait before try number `tries` of a call that may pass. */
  backoffMs?: (tries: number) => number;
};

/** A call that failed for good. `retryAfterMs` says when a limit ends, where the server told it. */
export class CallFailed extends Error {
  readonly failure: ModelFailure;
  constructor(failure: ModelFailure) {
    super(failure.error.message, { cause: failure.error });
    this.failure = failure;
  }
}

/** Asks until there is an answer. Throws `CallFailed`, the signal's reason, or what the gate throws. */
export const callModel = async (chat: Chat, request: ChatRequest, options: CallOptions): Promise<ChatAnswer> => {
  for (let tries = 1; ; tries++) {
    const { outcome, text } = await once(chat, request, options);
    if ('answer' in outcome) return outcome.answer;
    const { failure } = outcome;
    const delayMs = Math.max(failure.retryAfterMs ?? 0, (options.backoffMs ?? backoffMs)(tries));
    const isLate = (failure.retryAfterMs ?? 0) > options.waitMsMax;
    if (!failure.again || tries >= options.triesMax || isLate) throw new CallFailed(failure);
    const says = text === '' ? failure.error.message : `${failure.error.message} (asked anew)`;
    options.onRetry?.({ status: failure.status, delay_ms: Math.round(delayMs), says });
    await after(delayMs, undefined, { signal: request.signal }).catch(() => undefined);
    request.signal.throwIfAborted();
  }
};

/** Doubled from half a second, with a quarter of chance, at most 20 seconds. */
export const backoffMs = (tries: number): number =>
  Math.min(20_000, 500 * 2 ** (tries - 1)) * (0.75 + Math.random() / 2);

const once = async (
  chat: Chat,
  wanted: ChatRequest,
  options: CallOptions,
): Promise<{ outcome: ChatOutcome; text: string }> => {
  const { priceOf, onUsage } = options;
  const { reserved, request } = await reserveFor(chat, wanted, options);
  const { model } = request;
  const most = mostOf(request);
  let text = '';
  const onText = (piece: string): void => {
    text += piece;
    request.onText?.(piece);
  };
  const settle = async (usage: Usage): Promise<void> => {
    const usd = priceOf(model, usage);
    onUsage?.(usage, usd);
    await reserved?.settle({ usd, usage });
  };
  const broken = (): Usage => ({ ...most, output_tokens: tokensOf(text) });
  let outcome: ChatOutcome;
  try {
    outcome = await chat.ask({ ...request, onText });
  } catch (thrown) {
    // Aborted: what had come by then is paid for.
    if (text === '') await reserved?.release();
    else await settle(broken());
    throw thrown instanceof Error ? thrown : toAppError(thrown);
  }
  if ('answer' in outcome) await settle(outcome.answer.usage ?? { ...most, output_tokens: tokensOf(text) });
  else if (outcome.failure.limited) await reserved?.limited(outcome.failure.retryAfterMs);
  else if (outcome.begun) await settle(broken());
  else await reserved?.failed();
  return { outcome, text };
};

/** Reserves what a request may use at most; where that does not fit into a budget, with a shorter answer. */
const reserveFor = async (
  chat: Chat,
  request: ChatRequest,
  { gate, account, priceOf }: CallOptions,
): Promise<{ reserved: Reserved | undefined; request: ChatRequest }> => {
  if (gate === undefined) return { reserved: undefined, request };
  const provider = providerOf(chat.endpoint);
  const ask = async (one: ChatRequest) => {
    const { model } = one;
    const most = mostOf(one);
    const tokensMax = most.input_tokens + most.output_tokens;
    const call = { usdMax: priceOf(model, most), tokensMax, provider, account, model };
    return { reserved: await reserve(gate, call, one.signal), request: one };
  };
  try {
    return await ask(request);
  } catch (thrown) {
    const shorter = fitInto(thrown, request, mostOf(request), priceOf);
    if (shorter === null) throw thrown;
    return ask(shorter);
  }
};

/** A gate may wait for a provider: an abort waits for nobody, and what is reserved after it is given back. */
export const reserve = async (
  gate: Gate,
  call: Parameters<Gate['reserve']>[0],
  signal: AbortSignal,
): Promise<Reserved> => {
  signal.throwIfAborted();
  const reserved = gate.reserve(call);
  const aborted = Promise.withResolvers<never>();
  const onAbort = (): void => {
    aborted.reject(signal.reason);
    void reserved.then((late) => late.release()).catch(() => undefined);
  };
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([reserved, aborted.promise]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
};

/** What a request can use at most: what it says, reckoned generously, and the most that it may be answered. */
const mostOf = (request: ChatRequest): Usage => ({
  input_tokens: tokensOf(JSON.stringify([request.messages, request.tools ?? [], request.schema ?? null])),
  output_tokens: request.outputTokensMax,
  cache_read_tokens: 0,
  cache_write_tokens: 0,
});

/** How many tokens a text has, reckoned: three bytes each, which is more than English and code have. */
export const tokensOf = (text: string): number => Math.ceil(Buffer.byteLength(text) / 3);
