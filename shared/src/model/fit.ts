/**
 * A call that does not fit into what is left of a budget, made to fit: its answer may be shorter. So what is left is
 * used, and the budget is a wall all the same. Half a sentence is worth nothing, so it is not cut below a few hundred.
 */
import { isFailure } from '@nexus/shared/errors';
import type { ChatRequest, Usage } from './chat.ts';

/** An answer of fewer tokens is not asked for. */
const outputLeast = 800;

/** The request with an answer that fits into the budget whose refusal this is; null: there is none, or no such. */
export const fitInto = (
  refusal: unknown,
  request: ChatRequest,
  most: Usage,
  priceOf: (model: string, usage: Usage) => number | null,
): ChatRequest | null => {
  if (!isFailure(refusal, 'BUDGET_SPENT')) return null;
  const { max, used, what } = refusal.details;
  const left = Number(max) - Number(used);
  const { model } = request;
  const inputUsd = priceOf(model, { ...most, output_tokens: 0 });
  const wholeUsd = priceOf(model, most);
  const room =
    what === 'tokens'
      ? left - most.input_tokens
      : inputUsd === null || wholeUsd === null || wholeUsd <= inputUsd
        ? 0
        : // What the server is owed is rounded up.
          ((left - inputUsd) / (wholeUsd - inputUsd)) * most.output_tokens - 1;
  const outputTokensMax = Math.floor(room);
  if (!(outputTokensMax >= outputLeast) || outputTokensMax >= request.outputTokensMax) return null;
  return { ...request, outputTokensMax };
};
