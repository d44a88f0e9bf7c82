/** Questions answered by an OpenAI-compatible server, held to the schema by the server where it can. */
import { setTimeout as after } from 'node:timers/promises';
import { fail, isFailure } from '@nexus/shared/errors';
import { type Answering, complaintOf, type Turn } from './ask.ts';
import { backoffMs, CallFailed, callModel } from './call.ts';
import { type Chat, type ChatMessage, openChat, type Usage } from './chat.ts';
import { accountOf, type Endpoint, type ModelConfig } from './model-config.ts';
import { defaultModel } from './names.ts';
import { usualModel } from './usual-model.ts';

export type Priced = { priceOf: (model: string, usage: Usage) => number | null };

/** `model` is null where none is named: the usual one is asked, which a server of one's own has to tell first. */
export const serverAnswering = (
  endpoint: Endpoint,
  model: string | null,
  config: ModelConfig,
  { priceOf }: Priced,
): Answering => {
  const chat = openChat(endpoint);
  let knowsSchemas = true;
  const call = async (turn: Turn, schema: Turn['schema'] | null) => {
    const named = turn.model ?? model ?? (await usualOf(chat, config.modelTries, turn.signal));
    let usd: number | null = 0;
    let usage: Usage = { input_tokens: 0, output_tokens: 0, cache_read_tokens: 0, cache_write_tokens: 0 };
    const answer = await callModel(
      chat,
      {
        model: named,
        messages: messagesOf(turn, schema === null),
        ...(schema === null ? {} : { schema: { name: turn.name, schema } }),
        outputTokensMax: config.modelOutput,
        silentMs: config.modelSilent,
        signal: turn.signal,
      },
      {
        triesMax: config.modelTries,
        waitMsMax: config.modelWait,
        gate: turn.gate,
        account: accountOf(endpoint),
        priceOf,
        onUsage: (one, price) => {
          usage = added(usage, one);
          usd = usd === null || price === null ? null : usd + price;
        },
      },
    );
    if (answer.refusal !== null) throw fail('MODEL_REFUSED', { model: named, message: answer.refusal.slice(0, 500) });
    return { text: answer.text, usage, usd, model: answer.model, notional: false };
  };
  return {
    says: `${model ?? (endpoint.isOpenai ? defaultModel : 'its only model')} at ${endpoint.url}`,
    turn: async (turn) => {
      try {
        return await call(turn, knowsSchemas ? turn.schema : null);
      } catch (thrown) {
        const error = thrown instanceof CallFailed ? thrown.failure.error : thrown;
        const unknown = isFailure(error, 'MODEL_REQUEST_REFUSED') && /response_format|schema/i.test(error.message);
        if (!unknown || !knowsSchemas) throw error;
        // A server without structured output is told in words, from now on.
        knowsSchemas = false;
        return call(turn, null);
      }
    },
  };
};

/** Looked for at each turn: whoever runs a server of their own puts another model on it meanwhile. */
const usualOf = async (chat: Chat, triesMax: number, signal: AbortSignal): Promise<string> => {
  if (chat.endpoint.isOpenai) return defaultModel;
  for (let tries = 1; ; tries++) {
    try {
      return usualModel(chat.endpoint, await chat.models(signal));
    } catch (thrown) {
      signal.throwIfAborted();
      // As patient as the call that follows.
      if (tries >= triesMax || !isFailure(thrown, 'MODEL_UNREACHABLE', 'MODEL_LIMITED')) throw thrown;
      await after(backoffMs(tries), undefined, { signal }).catch(() => undefined);
      signal.throwIfAborted();
    }
  }
};

const messagesOf = ({ system, prompt, schema, before }: Turn, inWords: boolean): ChatMessage[] => {
  const form = `Answer with JSON alone that holds to this schema:\n${JSON.stringify(schema)}`;
  const rules = [system, ...(inWords ? [form] : [])].filter((part) => part !== '').join('\n\n');
  return [
    ...(rules === '' ? [] : [{ role: 'system' as const, content: rules }]),
    { role: 'user', content: prompt },
    ...before.flatMap(({ text, problems }): ChatMessage[] => [
      { role: 'assistant', content: text || '(nothing)', calls: [] },
      { role: 'user', content: complaintOf(problems) },
    ]),
  ];
};

const added = (one: Usage, other: Usage): Usage => ({
  input_tokens: one.input_tokens + other.input_tokens,
  output_tokens: one.output_tokens + other.output_tokens,
  cache_read_tokens: one.cache_read_tokens + other.cache_read_tokens,
  cache_write_tokens: one.cache_write_tokens + other.cache_write_tokens,
});
