/** Whether Claude Code can be used, and what pays for it: asked of the real CLI, and of ones that are none. */
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadConfig } from '@nexus/shared/config';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { claudeProgram } from '../../../../test/tools/claude.ts';
import { openMessagesApi } from '../../../../test/tools/messages-api/messages-api.ts';
import { runtime } from '../claude-code.ts';
import { type ClaudeSettings, lookAround } from './look.ts';
import { modelFor, windowOf } from './models.ts';
import { claudeConfig } from './settings.ts';

let home: string;
beforeAll(() => {
  home = mkdtempSync(join(tmpdir(), 'nexus-look-'));
});
afterAll(() => {
  vi.unstubAllEnvs();
  rmSync(home, { recursive: true, force: true });
});

const settingsOf = (more: ClaudeSettings = {}): ClaudeSettings => ({
  ...loadConfig(claudeConfig, {}),
  home,
  claudeProgram: claudeProgram(),
  claudeFolder: join(home, 'nobody'),
  anthropicUrl: 'http://127.0.0.1:1',
  ...more,
});
const usable = (more: ClaudeSettings) =>
  runtime.usable({ agentCommand: null, rehearsal: false, task: null, settings: settingsOf(more) });
const program = (name: string, script: string): string => {
  const path = join(home, name);
  writeFileSync(path, `#!/bin/sh\n${script}\n`);
  chmodSync(path, 0o755);
  return path;
};
/** A config folder as the CLI leaves it behind after a login. */
const loggedIn = (): string => {
  const folder = join(home, 'somebody');
  mkdirSync(folder, { recursive: true });
  const oauth = {
    accessToken: 'sk-ant-oat01-of-a-person',
    refreshToken: 'sk-ant-ort01-of-a-person',
    expiresAt: Date.now() + 86_400_000,
    scopes: ['user:inference', 'user:profile'],
    subscriptionType: 'max',
  };
  writeFileSync(join(folder, '.credentials.json'), JSON.stringify({ claudeAiOauth: oauth }));
  return folder;
};

test('without a CLI, or with one that is old, foreign or broken, it is said how to get the right one', async () => {
  const install = /^type: npm install -g @anthropic-ai\/claude-code@2\.1\.328/;
  const none = await usable({ claudeProgram: 'no-such-claude' });
  expect(none).toEqual({
    usable: false,
    looked: 'there is no program "no-such-claude" on the path of the workers',
    mend: expect.stringMatching(install),
  });
  const old = await usable({ claudeProgram: program('old', 'echo "2.1.197 (Claude Code)"') });
  expect(old).toMatchObject({ usable: false, looked: expect.stringContaining('is version 2.1.197; 2.1.328 or newer') });
  const other = await usable({ claudeProgram: program('other', 'echo "3.0.0 (Claude Code)"') });
  expect(other).toMatchObject({ usable: false, looked: expect.stringContaining('below 3') });
  expect(await usable({ claudeProgram: program('foreign', 'echo hello') })).toMatchObject({
    looked: expect.stringContaining('is no Claude Code'),
  });
  const stub = 'echo "Error: claude native binary not installed." >&2; exit 1';
  expect(await usable({ claudeProgram: program('stub', stub) })).toMatchObject({
    looked: expect.stringContaining('does not start: Error: claude native binary not installed'),
    mend: expect.stringContaining('--allow-scripts=@anthropic-ai/claude-code'),
  });
});

test('without a login it is said what was looked for, and how to log in', async () => {
  expect(await usable({})).toEqual({
    usable: false,
    looked: expect.stringMatching(
      /not logged in: no CLAUDE_CODE_OAUTH_TOKEN, and no login in .*; no ANTHROPIC_API_KEY/,
    ),
    mend: expect.stringMatching(/^log in with `claude`, or set CLAUDE_CODE_OAUTH_TOKEN/),
  });
  expect(await usable({ claudeLogin: 'api_key' })).toMatchObject({
    usable: false,
    mend: 'set ANTHROPIC_API_KEY on the workers',
  });
});

test('a subscription comes before a key, a key before the clouds, unless one is asked for', async () => {
  const found = async (more: ClaudeSettings) => {
    const ready = await lookAround(settingsOf(more));
    if ('problem' in ready) throw new Error(ready.problem);
    return ready.login;
  };
  const key = { anthropicKey: 'sk-ant-of-the-operator' };
  const folder = loggedIn();
  const login = await found({ ...key, claudeFolder: folder });
  expect(login).toMatchObject({ kind: 'subscription', says: `subscription (max) in ${folder}` });
  expect(JSON.stringify(login)).not.toContain(key.anthropicKey);
  expect(JSON.stringify({ ...login, secret: null, door: null })).not.toContain('sk-ant');
  expect({ ...login.env, ...login.secret }).not.toHaveProperty('ANTHROPIC_API_KEY');
  // Agents may read where they talk: never where somebody is logged in.
  expect(login.folder).toBe(join(home, 'claude'));
  const token = await found({ ...key, claudeToken: 'sk-ant-oat01-token' });
  expect(token).toMatchObject({ kind: 'subscription', says: 'subscription (CLAUDE_CODE_OAUTH_TOKEN)' });
  expect({ ...token.env, ...token.secret }).not.toHaveProperty('ANTHROPIC_API_KEY');
  expect(await found({ ...key, claudeFolder: folder, claudeLogin: 'api_key' })).toMatchObject({ kind: 'api_key' });
  expect(await found(key)).toMatchObject({ kind: 'api_key', folder: join(home, 'nobody') });
  vi.stubEnv('CLAUDE_CODE_USE_BEDROCK', '1');
  vi.stubEnv('AWS_REGION', 'eu-west-1');
  vi.stubEnv('AWS_BEARER_TOKEN_BEDROCK', 'a-key-of-bedrock');
  const bedrock = await found({});
  expect(bedrock).toMatchObject({ kind: 'bedrock', env: { CLAUDE_CODE_USE_BEDROCK: '1', AWS_REGION: 'eu-west-1' } });
  expect(await found(key)).toMatchObject({ kind: 'api_key' });
  vi.unstubAllEnvs();
});

test('a cloud that is only chosen is no login: what it lacks is named, with its mend', async () => {
  vi.stubEnv('HOME', home);
  vi.stubEnv('CLAUDE_CODE_USE_BEDROCK', '1');
  expect(await usable({ claudeLogin: 'bedrock' })).toEqual({
    usable: false,
    looked: expect.stringMatching(/BEDROCK is set, but there is no AWS credential \(set AWS_BEARER_TOKEN_BEDROCK/),
    mend: expect.stringContaining('AWS_'),
  });
  vi.stubEnv('CLAUDE_CODE_USE_VERTEX', '1');
  const vertex = await usable({});
  expect(vertex.looked).toMatch(/no AWS credential/);
  expect(vertex.looked).toMatch(/no project \(set ANTHROPIC_VERTEX_PROJECT_ID\)/);
  expect(vertex).toMatchObject({ usable: false, looked: expect.stringContaining('gcloud auth application-default') });
  vi.unstubAllEnvs();
});

test('what is found is told with its version, place and login, and no secret', async () => {
  await using api = await openMessagesApi();
  const found = await usable({ anthropicKey: 'sk-ant-of-the-operator', anthropicUrl: api.url });
  expect(found).toEqual({ usable: true, looked: `Claude Code 2.1.328 is ${claudeProgram()}, by API key`, mend: '' });
});

test('a refused key, and a model that nobody has, are found before anybody needs them, at no cost', async () => {
  await using api = await openMessagesApi();
  api.knows.key = 'sk-ant-right';
  const asked = { claudeLogin: 'api_key' as const, anthropicUrl: `${api.url}/x` };
  const look = (settings: ClaudeSettings) => usable({ ...asked, ...settings });
  expect(await look({ anthropicKey: 'sk-ant-wrong' })).toEqual({
    usable: false,
    looked: `${new URL(api.url).host} refuses the API key: invalid x-api-key`,
    mend: 'set ANTHROPIC_API_KEY on the workers to a key that is valid there',
  });
  expect(await look({ anthropicKey: 'sk-ant-right', claudeModel: 'claude-nope-9' })).toMatchObject({
    usable: false,
    looked: expect.stringContaining('NEXUS_CLAUDE_MODEL is "claude-nope-9", and 127.0.0.1'),
    mend: 'correct NEXUS_CLAUDE_MODEL; there are claude-opus-5-5, claude-sonnet-5-5',
  });
  for (const claudeModel of [undefined, 'opus', 'claude-opus-5-5', 'claude-opus-5', 'claude-opus-5-5[1m]']) {
    expect(await look({ anthropicKey: 'sk-ant-right', claudeModel })).toMatchObject({ usable: true });
  }
  expect(api.strays).toEqual([]);
});

test('a provider that does not answer, or has no list of models, leaves it open whether it takes a key', async () => {
  await using api = await openMessagesApi();
  const key = { anthropicKey: 'sk-ant-some', claudeLogin: 'api_key' as const, claudeModel: 'claude-nope-9' };
  expect(await usable({ ...key, anthropicUrl: `${api.url}/x/y` })).toMatchObject({ usable: true });
  expect(await usable({ ...key, anthropicUrl: 'http://127.0.0.1:1' })).toMatchObject({ usable: true });
});

test('an address at which nobody answers is told, whatever pays, and attempts may still wait for it', async () => {
  const nobody = { anthropicUrl: 'http://127.0.0.1:1' };
  const looked = expect.stringMatching(/, but 127\.0\.0\.1:1 does not answer: .*ECONNREFUSED/);
  const mend = expect.stringContaining('ANTHROPIC_BASE_URL');
  expect(await usable({ ...nobody, anthropicKey: 'sk-ant-x' })).toEqual({ usable: true, looked, mend });
  expect(await usable({ ...nobody, claudeToken: 'sk-ant-oat01-x' })).toEqual({ usable: true, looked, mend });
  await using api = await openMessagesApi();
  const there = await usable({ claudeToken: 'sk-ant-oat01-x', anthropicUrl: api.url });
  expect(there).toMatchObject({ usable: true, mend: '' });
});

test('a model of the settings that cannot be is found before anybody needs it', async () => {
  const found = await usable({ anthropicKey: 'sk-ant-x', claudeModel: 'claude-3-opus-20240229' });
  expect(found).toMatchObject({ usable: false, looked: expect.stringMatching(/it is retired; opus takes its place/) });
});

test.each([
  ['opus', 'opus'],
  ['claude-sonnet-5-5', 'claude-sonnet-5-5'],
  ['us.anthropic.claude-opus-4-6-v1:0', 'us.anthropic.claude-opus-4-6-v1:0'],
  ['inherit', null],
  ['', null],
])('the model %s is asked for as %s', (name, model) => {
  expect(modelFor(name)).toEqual({ model });
});

test('names of models that are retired or not Claude’s are refused with what takes their place', () => {
  expect(modelFor('claude-2.1')).toEqual({ mend: 'it is retired; sonnet takes its place' });
  expect(modelFor('claude-3-haiku-20240307')).toEqual({ mend: 'it is retired; haiku takes its place' });
  expect(modelFor('gpt-5')).toEqual({ mend: expect.stringMatching(/none of Claude’s; there are opus, sonnet, haiku/) });
});

test('the context of a model is known before the CLI tells it', () => {
  expect(['claude-opus-5-5', 'claude-opus-4-8[1m]', 'claude-opus-4-5', null].map(windowOf)).toEqual([
    1_000_000, 1_000_000, 200_000, 200_000,
  ]);
});
