import { loadConfig } from '@nexus/shared/config';
import { openChat } from '@nexus/shared/model';
import { describe, expect, test } from 'vitest';
import { type ApiOptions, deafUrl, openOpenaiApi } from '../../../test/tools/openai-api/openai-api.ts';
import { runtime } from '../runtimes/openai.ts';
import { openaiConfig } from './settings.ts';
import { type Server, whichModel } from './which-model.ts';

const configOf = (environment: Record<string, string> = {}) => loadConfig(openaiConfig, environment);
const serverOf = (models: Server['models'], isOpenai = false): Server => ({
  chat: openChat({ url: 'http://localhost:1/v1', key: null, isOpenai }),
  models,
});
const has = (...ids: string[]) => ids.map((id) => ({ id, endsOn: null }));

describe('the model of an agent', () => {
  test.each([
    ['what was asked for', ['qwen', 'other'], {}, serverOf(has('qwen', 'other')), 'qwen'],
    [
      'the setting, where the wish is a name of Claude’s',
      ['opus', 'inherit'],
      { NEXUS_OPENAI_MODEL: 'qwen' },
      serverOf(has('qwen')),
      'qwen',
    ],
    ['the only one that a local server has', [null], {}, serverOf(has('qwen')), 'qwen'],
    ['the usual one at OpenAI', ['sonnet'], {}, serverOf(has('gpt-6.1-sol'), true), 'gpt-6.1-sol'],
    ['what was asked for, where a server tells nothing', ['qwen'], {}, serverOf(null), 'qwen'],
  ] as const)('is %s', (_what, wishes, environment, server, expected) => {
    expect(whichModel([...wishes], configOf(environment), server)).toBe(expected);
  });

  test.each([
    [
      'retired, with its replacement',
      'gpt-4-turbo',
      serverOf(has('gpt-6.1-sol', 'gpt-6-luna'), true),
      'gpt-6.1-sol takes its place',
    ],
    ['retired, where no list can be had', 'gpt-3.5-turbo', serverOf(null, true), 'gpt-6-luna takes its place'],
    ['past its end', 'gpt-5', serverOf([{ id: 'gpt-5', endsOn: '2026-01-01' }], true), 'it ended on 2026-01-01'],
    [
      'misspelled, with what is like it',
      'gpt-6.1-soll',
      serverOf(has('gpt-6.1-sol'), true),
      'did you mean gpt-6.1-sol?',
    ],
    ['unknown, with what there is', 'mystery', serverOf(has('qwen', 'llama')), 'it has qwen, llama'],
    [
      'named by nobody, where there are several',
      '',
      serverOf(has('qwen', 'llama')),
      'set NEXUS_OPENAI_MODEL to one of qwen, llama',
    ],
  ])('is refused when it is %s', (_what, wish, server, says) => {
    expect(() => whichModel([wish], configOf(), server)).toThrow(expect.objectContaining({ code: 'MODEL_UNKNOWN' }));
    expect(() => whichModel([wish], configOf(), server)).toThrow(says);
  });
});

describe('whether the runtime can be used', () => {
  const look = async (environment: Record<string, string>) =>
    runtime.usable({ agentCommand: null, rehearsal: false, task: null, settings: configOf(environment) });
  const lookAt = async (options: ApiOptions, environment: Record<string, string> = {}) => {
    await using api = await openOpenaiApi([], options);
    return await look({ NEXUS_MODEL_URL: api.url, ...(api.key ? { OPENAI_API_KEY: api.key } : {}), ...environment });
  };

  test('is said from a real look: the server answers, and has the model', async () => {
    expect(await lookAt({ models: ['qwen'] })).toMatchObject({
      usable: true,
      looked: expect.stringContaining('has qwen'),
    });
    const local = await lookAt({ models: ['qwen'], key: null });
    expect(local).toMatchObject({ usable: true, looked: expect.stringContaining('wants no key') });
  });

  test('is said with the mend where it cannot: nothing set, no server, a refused key, another model', async () => {
    expect(await look({})).toMatchObject({ usable: false, mend: expect.stringContaining('set OPENAI_API_KEY') });
    expect(await look({ NEXUS_MODEL_URL: await deafUrl() })).toMatchObject({
      usable: false,
      looked: expect.stringContaining('ECONNREFUSED'),
      mend: expect.stringContaining('start the server'),
    });
    expect(await lookAt({}, { OPENAI_API_KEY: 'sk-wrong' })).toMatchObject({
      usable: false,
      looked: expect.stringContaining('refuses the key (401)'),
      mend: expect.stringContaining('valid'),
    });
    expect(await lookAt({ models: ['a', 'b'] })).toMatchObject({
      usable: false,
      mend: expect.stringContaining('NEXUS_OPENAI_MODEL'),
    });
  });

  test('is looked at once, however often it is asked', async () => {
    await using api = await openOpenaiApi([], { models: ['qwen'] });
    const environment = { NEXUS_MODEL_URL: api.url, OPENAI_API_KEY: api.key };
    expect(await look(environment)).toMatchObject({ usable: true });
    await api.close();
    expect(await look(environment)).toMatchObject({ usable: true });
  });
});
