/** The real `openai` library against our own server, through everything that belongs to a call. */
import { fail } from '@nexus/shared/errors';
import { describe, expect, test } from 'vitest';
import { deafUrl, type OpenaiApi, openOpenaiApi, type Script } from '../../../test/tools/openai-api/openai-api.ts';
import { CallFailed, type CallOptions, callModel, type Gate } from './call.ts';
import { type ChatRequest, openChat, type Usage } from './chat.ts';
import { endpointOf } from './model-config.ts';

const never = new AbortController().signal;
const question: ChatRequest = {
  model: 'test-model',
  messages: [{ role: 'user', content: 'What is there?' }],
  outputTokensMax: 1000,
  silentMs: 5000,
  signal: never,
};
const options: CallOptions = {
  triesMax: 3,
  waitMsMax: 2000,
  account: 'test',
  priceOf: (_model, usage) => (usage.input_tokens + 5 * usage.output_tokens) / 1e6,
  backoffMs: () => 1,
};
const chatOf = (api: Pick<OpenaiApi, 'url' | 'key'>) =>
  openChat({ url: api.url, key: api.key || null, isOpenai: false });
const failureOf = async (script: Script, changes: Partial<ChatRequest> = {}, more: Partial<CallOptions> = {}) => {
  await using api = await openOpenaiApi(script);
  const failed = await callModel(chatOf(api), { ...question, ...changes }, { ...options, ...more }).catch((e) => e);
  expect(failed).toBeInstanceOf(CallFailed);
  return { failure: (failed as CallFailed).failure, asked: api.asked() };
};
/** A gate that writes down what it is asked. */
const openLedger = () => {
  const lines: unknown[] = [];
  const say = (what: string) => async (more?: unknown) => void lines.push(more === undefined ? [what] : [what, more]);
  const gate: Gate = {
    reserve: async ({ tokensMax, usdMax }) => {
      lines.push(['reserve', tokensMax > 1000, (usdMax ?? 0) > 0.005]);
      return { settle: say('settle'), release: say('release'), limited: say('limited'), failed: say('failed') };
    },
  };
  return { gate, lines };
};

describe('an answer', () => {
  test('comes in pieces, whole in the end, with what it used', async () => {
    await using api = await openOpenaiApi([{ text: 'a house of glass', usage: { input: 50, output: 7, cached: 20 } }]);
    const pieces: string[] = [];
    const answer = await callModel(chatOf(api), { ...question, onText: (text) => pieces.push(text) }, options);
    expect(pieces).toEqual(['a ', 'house ', 'of ', 'glass']);
    expect(answer).toEqual({
      ...{ text: 'a house of glass', refusal: null, calls: [], cut: false, model: 'test-model' },
      usage: { input_tokens: 30, output_tokens: 7, cache_read_tokens: 20, cache_write_tokens: 0 },
    });
  });

  test('holds several calls of tools, put together from their pieces', async () => {
    const calls = [
      { id: 'one', tool: 'read', input: { path: 'größe.txt' } },
      { id: 'two', tool: 'list', input: {} },
    ];
    await using api = await openOpenaiApi([{ calls }]);
    const { calls: found } = await callModel(chatOf(api), question, options);
    expect(found).toEqual([
      { id: 'one', tool: 'read', input: '{"path":"größe.txt"}' },
      { id: 'two', tool: 'list', input: '{}' },
    ]);
  });

  test('says that it was cut off, or that the model would not', async () => {
    await using api = await openOpenaiApi([
      { text: 'and then', finish: 'length' },
      { refusal: 'I cannot help with that.' },
      { text: 'half', finish: 'content_filter' },
    ]);
    expect(await callModel(chatOf(api), question, options)).toMatchObject({ cut: true, refusal: null });
    expect(await callModel(chatOf(api), question, options)).toMatchObject({ refusal: 'I cannot help with that.' });
    expect((await callModel(chatOf(api), question, options)).refusal).toContain('content filter');
  });

  test('comes from a local server without a key, which is sent none', async () => {
    await using api = await openOpenaiApi([{ text: 'hello' }], { key: null });
    expect(await callModel(chatOf(api), question, options)).toMatchObject({ text: 'hello' });
  });
});

describe('a failure that may pass', () => {
  test.each([
    ['an error of the server', { status: 500 }],
    ['a stream that is dropped in the middle', { text: 'one two three', dropAfter: 2 }],
    ['a limit', { status: 429, retryAfter: 0 }],
    ['silence', { text: 'one', hangs: true }],
    ['silence from the beginning', { hangs: true }],
  ])('is tried again: %s', async (_what, reply) => {
    await using api = await openOpenaiApi([reply, reply, { text: 'there you are' }]);
    const retries: unknown[] = [];
    const answer = await callModel(
      chatOf(api),
      { ...question, silentMs: 150 },
      { ...options, onRetry: (retry) => retries.push(retry) },
    );
    expect(answer.text).toBe('there you are');
    expect(retries).toHaveLength(2);
  });

  test('is tried no sooner than the server asks', async () => {
    await using api = await openOpenaiApi([{ status: 429, retryAfter: 0.4 }, { text: 'now' }]);
    const began = performance.now();
    await callModel(chatOf(api), question, options);
    expect(performance.now() - began).toBeGreaterThanOrEqual(400);
  });

  test('is given up after as many tries as were allowed', async () => {
    const { failure, asked } = await failureOf([{ status: 500 }]);
    expect(failure).toMatchObject({ error: { code: 'MODEL_UNREACHABLE' }, status: 500 });
    expect(asked).toBe(3);
  });

  test('is not waited for longer than was allowed: the limit is told with its time', async () => {
    const { failure, asked } = await failureOf([{ status: 429, retryAfter: 3600 }]);
    expect(failure).toMatchObject({ error: { code: 'MODEL_LIMITED' }, limited: true, retryAfterMs: 3_600_000 });
    expect(asked).toBe(1);
  });

  test('names the address on which nobody listens', async () => {
    const url = await deafUrl();
    const chat = openChat({ url, key: null, isOpenai: false });
    const failed = (await callModel(chat, question, options).catch((e) => e)) as CallFailed;
    expect(failed.failure.error.code).toBe('MODEL_UNREACHABLE');
    expect(failed.message).toContain(url);
    expect(failed.message).toMatch(/ECONNREFUSED|refused/i);
  });
});

describe('a failure that stays', () => {
  test('is not tried again: a refused key', async () => {
    await using api = await openOpenaiApi([{ text: 'no' }]);
    const chat = openChat({ url: api.url, key: 'sk-another-key-0000000000', isOpenai: false });
    const failed = (await callModel(chat, question, options).catch((e) => e)) as CallFailed;
    expect(failed.failure).toMatchObject({ error: { code: 'MODEL_KEY_REFUSED' }, status: 401, again: false });
    expect(failed.message).not.toContain('sk-another-key');
    expect(api.asked()).toBe(0);
  });

  test('is not tried again: a model that the server does not have, with what replaces it', async () => {
    const { failure, asked } = await failureOf([{ text: 'no' }], { model: 'gpt-4-turbo' });
    expect(failure.error.code).toBe('MODEL_UNKNOWN');
    expect(failure.error.message).toContain('gpt-6.1-sol takes its place');
    expect(asked).toBe(1);
  });

  test('is not tried again: a request that the server does not take', async () => {
    const messages = [{ role: 'tool' as const, id: 'nobody-asked', content: 'an answer' }];
    const { failure, asked } = await failureOf([{ text: 'no' }], { messages });
    expect(failure).toMatchObject({ error: { code: 'MODEL_REQUEST_REFUSED' }, status: 400, tooLong: false });
    expect(asked).toBe(1);
  });

  test('says that a conversation is too long, and that an account has no credit', async () => {
    const long = await failureOf([{ status: 400, code: 'context_length_exceeded', message: 'too long' }]);
    expect(long.failure.tooLong).toBe(true);
    const poor = await failureOf([{ status: 429, code: 'insufficient_quota' }]);
    expect(poor).toMatchObject({ failure: { error: { code: 'CREDIT_SPENT' }, again: false }, asked: 1 });
    const empty = await failureOf([{ status: 402, message: 'Insufficient Balance' }]);
    expect(empty).toMatchObject({ failure: { error: { code: 'CREDIT_SPENT' }, again: false }, asked: 1 });
  });
});

describe('what a call costs', () => {
  test('is reserved before and settled after, to the token', async () => {
    await using api = await openOpenaiApi([{ text: 'yes', usage: { input: 40, output: 3 } }]);
    const { gate, lines } = openLedger();
    await callModel(chatOf(api), question, { ...options, gate });
    const usage: Usage = { input_tokens: 40, output_tokens: 3, cache_read_tokens: 0, cache_write_tokens: 0 };
    expect(lines).toEqual([
      ['reserve', true, true],
      ['settle', { usd: 55e-6, usage }],
    ]);
  });

  test('is settled also for an answer that broke off, reckoned from what came', async () => {
    await using api = await openOpenaiApi([
      { text: 'one two three four', everyMs: 20, dropAfter: 3 },
      { text: 'whole' },
    ]);
    const { gate, lines } = openLedger();
    await callModel(chatOf(api), question, { ...options, gate });
    expect(lines.map((line) => (line as unknown[])[0])).toEqual(['reserve', 'settle', 'reserve', 'settle']);
    expect(lines[1]).toMatchObject(['settle', { usage: { output_tokens: 5 } }]);
  });

  test('is nothing for a call that was limited or failed, and the gate is told which', async () => {
    await using api = await openOpenaiApi([{ status: 429, retryAfter: 0.01 }, { status: 500 }, { text: 'whole' }]);
    const { gate, lines } = openLedger();
    await callModel(chatOf(api), question, { ...options, gate });
    const said = lines.filter((line) => (line as unknown[])[0] !== 'reserve');
    expect(said.slice(0, 2)).toEqual([['limited', 10], ['failed']]);
  });

  test('is given back when the call is aborted before a word came', async () => {
    await using api = await openOpenaiApi([{ hangs: true }]);
    const { gate, lines } = openLedger();
    const abort = new AbortController();
    const call = callModel(chatOf(api), { ...question, signal: abort.signal }, { ...options, gate });
    await api.until(() => api.open() === 1);
    const stopped = fail('STOPPED', { epoch: 2 });
    abort.abort(stopped);
    await expect(call).rejects.toBe(stopped);
    expect(lines.at(-1)).toEqual(['release']);
    await api.until(() => api.open() === 0);
  });
});

test.each([
  [{}, null],
  [{ openaiKey: 'k' }, { url: 'https://api.openai.com/v1', key: 'k', isOpenai: true }],
  [{ openaiUrl: 'http://localhost:11434/v1/' }, { url: 'http://localhost:11434/v1', key: null, isOpenai: false }],
  [
    { openaiUrl: 'http://a/v1', modelUrl: 'http://b/v1', openaiKey: 'k' },
    { url: 'http://b/v1', key: 'k', isOpenai: false },
  ],
])('the server is named by an address or a key: %j', (given, expected) => {
  const settings = { modelUrl: undefined, openaiUrl: undefined, openaiKey: undefined, ...given };
  expect(endpointOf(settings)).toEqual(expected);
});

describe('a call that does not fit into what is left of a budget', () => {
  /** Refuses what is more than is left, as budgets do. */
  const walled = (what: 'USD' | 'tokens', left: number) => {
    const asked: number[] = [];
    const gate: Gate = {
      reserve: async ({ usdMax, tokensMax }) => {
        const wanted = what === 'USD' ? (usdMax ?? 0) : tokensMax;
        asked.push(wanted);
        const settled = async () => undefined;
        if (wanted <= left) return { settle: settled, release: settled, limited: settled, failed: settled };
        throw fail('BUDGET_SPENT', { scope: 'the task a-task', what, used: 10, max: 10 + left, wanted });
      },
    };
    return { gate, asked };
  };
  const long = { ...question, outputTokensMax: 32_000 };

  test.each([
    ['USD', 0.01],
    ['tokens', 2000],
  ] as const)('is answered in fewer tokens, with all that is left of %s', async (what, left) => {
    const { gate, asked } = walled(what, left);
    await using api = await openOpenaiApi([{ text: 'short' }]);
    expect((await callModel(chatOf(api), long, { ...options, gate })).text).toBe('short');
    expect(asked).toHaveLength(2);
    expect(asked[1]).toBeLessThanOrEqual(left);
    expect(asked[1]).toBeGreaterThan(0.95 * left);
    const [request] = api.requests as { max_completion_tokens?: number; max_tokens?: number }[];
    const outputMax = request?.max_completion_tokens ?? request?.max_tokens ?? 0;
    expect(outputMax).toBeGreaterThan(1900 * 0.95);
    expect(outputMax).toBeLessThan(2000);
  });

  test('is refused where hardly anything is left, or where its question alone is too much', async () => {
    await using api = await openOpenaiApi([{ text: 'never' }]);
    for (const [what, left] of [
      ['USD', 0.001],
      ['tokens', 500],
      ['tokens', -5],
    ] as const) {
      const { gate, asked } = walled(what, left);
      await expect(callModel(chatOf(api), long, { ...options, gate })).rejects.toMatchObject({ code: 'BUDGET_SPENT' });
      expect(asked).toHaveLength(1);
    }
    expect(api.asked()).toBe(0);
  });
});
