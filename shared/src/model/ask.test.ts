/** Questions with an answer of a known shape, by the real library against our own server. */
import { loadConfig } from '@nexus/shared/config';
import { fail } from '@nexus/shared/errors';
import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { type ChatRequest, openOpenaiApi, type Script } from '../../../test/tools/openai-api/openai-api.ts';
import type { Question } from './ask.ts';
import { askConfig, openModel } from './open-model.ts';
import { strictSchema } from './schema.ts';

const schema = z.object({ title: z.string().max(10), steps: z.array(z.string()).min(1), note: z.string().nullable() });
type Plan = z.infer<typeof schema>;
const good: Plan = { title: 'A plan', steps: ['one'], note: null };
const question: Question<Plan> = {
  ...{ name: 'plan', prompt: 'Plan it.', system: 'You plan.', schema, timeoutMs: 5000 },
  signal: new AbortController().signal,
};
const priced = { priceOf: () => 0.25 };

const configOf = (environment: Record<string, string>) => loadConfig(askConfig, environment);
const play = async (script: Script, changes: Partial<Question<Plan>> = {}) => {
  await using api = await openOpenaiApi(script);
  const environment = { NEXUS_MODEL_URL: api.url, OPENAI_API_KEY: api.key, NEXUS_MODEL: 'test-model' };
  const model = openModel(configOf({ ...environment, NEXUS_MODEL_TRIES: '1' }), priced);
  const asked = model?.ask({ ...question, ...changes }) ?? Promise.reject(new Error('no model'));
  const outcome = await asked.then(
    (answer) => ({ answer, error: null }),
    (error: unknown) => ({ answer: null, error }),
  );
  return { ...outcome, requests: api.requests };
};
const said = ({ messages }: ChatRequest): string => messages.at(-1)?.content ?? '';

describe('an answer', () => {
  test('comes as the value that was asked for, with what it used and cost', async () => {
    const { answer, requests } = await play([{ json: good, usage: { input: 90, output: 10 } }]);
    expect(answer).toMatchObject({ value: good, model: 'test-model', usd: 0.25, notional: false, tries: 1 });
    expect(answer?.usage).toMatchObject({ input_tokens: 90, output_tokens: 10 });
    expect(requests[0]?.response_format).toMatchObject({ type: 'json_schema', json_schema: { strict: true } });
  });

  test('that does not hold goes back with all that is wrong with it, and its cost counts', async () => {
    const check = ({ steps }: Plan) => (steps.includes('two') ? [] : ['there is no step two']);
    const { answer, requests } = await play(
      [
        { text: 'no JSON' },
        { json: { title: 'far too long a title', steps: [] } },
        { json: good },
        { json: { ...good, steps: ['two'] } },
      ],
      { check },
    );
    expect(answer).toBeNull();
    expect(said(requests[1] as ChatRequest)).toContain('it is not JSON');
    expect(said(requests[2] as ChatRequest)).toMatch(/title: .*\n- steps: .*\n- note: /);
    const { answer: mended, requests: more } = await play([{ json: good }, { json: { ...good, steps: ['two'] } }], {
      check,
    });
    expect(said(more[1] as ChatRequest)).toContain('there is no step two');
    expect(mended).toMatchObject({ tries: 2, usd: 0.5, value: { steps: ['two'] } });
  });

  test('that never holds is an error which says what was wrong, after as many tries as were allowed', async () => {
    const { error, requests } = await play([{ json: { title: 'A plan' } }]);
    expect(error).toMatchObject({ code: 'MODEL_ANSWER_INVALID' });
    expect(String(error)).toContain('in 3 tries: steps:');
    expect(requests).toHaveLength(3);
  });

  test('is asked for in words where the server knows no schemas', async () => {
    const { answer, requests } = await play((request) =>
      request.response_format === undefined
        ? { text: `\`\`\`json\n${JSON.stringify(good)}\n\`\`\`` }
        : { status: 400, message: 'response_format is not supported' },
    );
    expect(answer?.value).toEqual(good);
    expect(requests.at(-1)?.messages[0]?.content).toContain('"additionalProperties":false');
  });

  test('is not waited for longer than was said, and not after an abort', async () => {
    const { error } = await play([{ hangs: true }], { timeoutMs: 100 });
    expect(error).toMatchObject({ code: 'MODEL_TIMEOUT' });
    const stopped = fail('STOPPED', { epoch: 2 });
    const { error: aborted } = await play([{ hangs: true }], { signal: AbortSignal.abort(stopped) });
    expect(aborted).toBe(stopped);
  });

  test('that the model declines, or that the server cannot give, is an error of its own', async () => {
    expect((await play([{ refusal: 'No.' }])).error).toMatchObject({ code: 'MODEL_REFUSED' });
    expect((await play([{ status: 500 }])).error).toMatchObject({ code: 'MODEL_UNREACHABLE' });
  });
});

test('a schema for a model is closed, and asks for every property', () => {
  const given = z.object({ required: z.string().max(3), parts: z.array(z.object({ at: z.int().min(1).nullable() })) });
  expect(strictSchema(given)).toMatchObject({
    required: ['required', 'parts'],
    additionalProperties: false,
    properties: { required: { type: 'string' }, parts: { items: { required: ['at'], additionalProperties: false } } },
  });
  expect(JSON.stringify(strictSchema(given))).not.toContain('maxLength');
});

describe('where no model is named', () => {
  const askOf = async (models: string[]) => {
    await using api = await openOpenaiApi([{ json: good }], { models, key: null });
    const model = openModel(configOf({ NEXUS_MODEL_URL: api.url, NEXUS_MODEL_TRIES: '1' }), priced);
    return await model?.ask(question);
  };

  test('the only model of a server of one’s own is asked', async () => {
    expect(await askOf(['qwen'])).toMatchObject({ value: good, model: 'qwen' });
  });

  test('a server that has several is refused with what it has', async () => {
    const mend = expect.stringContaining('set NEXUS_OPENAI_MODEL to one of qwen, llama');
    await expect(askOf(['qwen', 'llama'])).rejects.toMatchObject({ code: 'MODEL_UNKNOWN', message: mend });
  });
});

test.each([
  [{}, null],
  [{ OPENAI_API_KEY: 'k' }, 'gpt-6.1-sol at https://api.openai.com/v1'],
  [{ OPENAI_API_KEY: 'k', NEXUS_MODEL_BY: 'none' }, null],
  [{ NEXUS_MODEL_BY: 'openai' }, null],
  [{ NEXUS_MODEL_URL: 'http://localhost:1234/v1', NEXUS_MODEL: 'qwen' }, 'qwen at http://localhost:1234/v1'],
  [{ NEXUS_MODEL_URL: 'http://localhost:1234/v1' }, 'its only model at http://localhost:1234/v1'],
  [{ NEXUS_MODEL_BY: 'claude', NEXUS_MODEL: 'opus' }, 'opus by claude'],
])('who is asked follows from the settings: %j', (environment, says) => {
  expect(openModel(configOf(environment as unknown as Record<string, string>), priced)?.says ?? null).toBe(says);
});
