/** What pays stays with the worker, whatever it is: real runs of the CLI whose shell looks for it. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, onTestFinished, test, vi } from 'vitest';
import { openClaude } from '../../../../test/tools/claude.ts';
import { type Ask, type Script, say, use } from '../../../../test/tools/messages-api/messages-api.ts';
import type { RunRequest } from '../../runtimes.ts';
import { signAws } from '../../safety/aws-signature.ts';
import { openProxy } from '../../safety/credential-proxy.ts';
import { openKept } from './doors.ts';
import type { ClaudeSettings } from './look.ts';

afterEach(() => void vi.unstubAllEnvs());

/** What keeps a run in, as a worker has it, without fences. */
const openGuard = async (): Promise<NonNullable<RunRequest['guard']>> => {
  const limits = { requestBytesMax: 1e8, responseBytesMax: 1e8, timeoutMs: 60_000, requestsMax: 8 };
  const proxy = await openProxy({ accounts: [], limits });
  onTestFinished(proxy.close);
  return {
    ...{ fence: { limits: {} }, admit: () => ({}), used: () => [], close: () => undefined },
    lend: (account) => proxy.lend('an-attempt', account),
  };
};

/** The shell tells all that it finds in its environment, and in that of the CLI. */
const looksAround: Script = ({ turn }) =>
  turn === 0
    ? use('Bash', { command: 'env > env.txt; tr "\\0" "\\n" < /proc/$PPID/environ >> env.txt' })
    : say('Done.');

const secret = 'the-secret-of-the-operator';
const region = 'eu-west-1';
/** A folder in which a person is logged in. */
const loggedIn = (home: string, accessToken: string, expiresAt = Date.now() + 3_600_000): string => {
  const folder = join(home, 'of-a-person');
  mkdirSync(folder, { recursive: true });
  const claudeAiOauth = { accessToken, refreshToken: `${secret}-too`, expiresAt, subscriptionType: 'max' };
  const kept = { claudeAiOauth: { ...claudeAiOauth, scopes: ['user:inference', 'user:profile'] } };
  writeFileSync(join(folder, '.credentials.json'), JSON.stringify(kept));
  return folder;
};
const onBedrock = (url: string, keys: Record<string, string>): void => {
  const variables = { CLAUDE_CODE_USE_BEDROCK: '1', AWS_REGION: region, ANTHROPIC_BEDROCK_BASE_URL: url, ...keys };
  for (const [name, value] of Object.entries(variables)) vi.stubEnv(name, value);
};
const accessKeys = { AWS_ACCESS_KEY_ID: `AKIA-${secret}`, AWS_SECRET_ACCESS_KEY: secret, AWS_SESSION_TOKEN: secret };

/** The signature that a request ought to have, by all that is said to be signed. */
const signatureOf = ({ headers, raw }: Ask): string => {
  const names = /SignedHeaders=([^,]+)/.exec(headers.authorization ?? '')?.[1]?.split(';') ?? [];
  const signed = Object.fromEntries(names.map((name) => [name, String(headers[name])]));
  const keys = { accessKeyId: accessKeys.AWS_ACCESS_KEY_ID, secretAccessKey: secret, sessionToken: secret };
  const now = String(headers['x-amz-date']).replace(/^(....)(..)(..T..)(..)(..Z)$/, '$1-$2-$3:$4:$5');
  const url = new URL(raw.path, `http://${headers.host}`);
  const going = { method: raw.method, url, headers: signed, body: Buffer.from(raw.text) };
  return signAws(going, keys, { region, service: 'bedrock', now: new Date(now) }).authorization ?? '';
};

type Case = {
  settings: (home: string) => ClaudeSettings;
  cloud?: Record<string, string>;
  kind: string;
  /** What the provider is shown. */
  shown: (ask: Ask) => unknown;
};
const bearer = ({ headers }: Ask) => headers.authorization === `Bearer ${secret}`;
const cases: Record<string, Case> = {
  'an API key': {
    settings: () => ({ claudeLogin: 'api_key', anthropicKey: secret }),
    kind: 'api_key',
    shown: ({ headers }) => headers['x-api-key'] === secret,
  },
  'a subscription’s token': {
    settings: () => ({ claudeLogin: 'subscription', claudeToken: secret }),
    kind: 'subscription',
    shown: (ask) => bearer(ask) && /oauth-/.test(String(ask.headers['anthropic-beta'])),
  },
  'the login of a person in a folder': {
    settings: (home) => ({ claudeLogin: 'subscription', claudeFolder: loggedIn(home, secret) }),
    kind: 'subscription',
    // By their plan, the CLI chooses the model.
    shown: (ask) => bearer(ask) && ask.model.includes('opus'),
  },
  'a key of Bedrock': {
    settings: () => ({ claudeLogin: 'bedrock' }),
    cloud: { AWS_BEARER_TOKEN_BEDROCK: secret },
    kind: 'bedrock',
    shown: bearer,
  },
  'access keys of AWS': {
    settings: () => ({ claudeLogin: 'bedrock' }),
    cloud: accessKeys,
    kind: 'bedrock',
    shown: (ask) => ask.headers.authorization === signatureOf(ask),
  },
};

test.each(Object.entries(cases))('%s is shown to the provider, and never to the shell of an agent', async (_, one) => {
  await using claude = await openClaude();
  if (one.cloud) onBedrock(claude.api.script('run', looksAround), one.cloud);
  const ran = await claude.run(looksAround, {
    guard: await openGuard(),
    settings: { anthropicKey: undefined, claudeModel: undefined, ...one.settings(claude.home) },
  });
  expect(ran).toMatchObject({ ok: true, login: one.kind, toolCalls: 1 });
  const seen = readFileSync(join(claude.folder, 'env.txt'), 'utf8');
  expect(seen).toContain('CLAUDECODE=1');
  expect(seen).not.toContain(secret);
  expect(claude.asks().length).toBeGreaterThanOrEqual(2);
  expect(claude.asks().map(one.shown)).toEqual(claude.asks().map(() => true));
  // Beside a login, what is written would be read as well.
  expect(ran.transcript).not.toContain('of-a-person');
});

test('requests to Bedrock are signed as the CLI itself signs them', async () => {
  await using claude = await openClaude();
  onBedrock(
    claude.api.script('run', () => say('Done.')),
    accessKeys,
  );
  const ran = await claude.run(() => say('Done.'), { settings: { claudeLogin: 'bedrock' } });
  expect(ran.ok).toBe(true);
  const [ask] = claude.asks();
  expect(ask?.headers.authorization).toMatch(/^AWS4-HMAC-SHA256 Credential=AKIA/);
  expect(ask?.headers.authorization).toBe(ask && signatureOf(ask));
});

test('what AWS keeps in a profile is handed to the CLI, and not on to its shell', async () => {
  await using claude = await openClaude();
  const keys = { AWS_PROFILE: 'of-the-operator', AWS_CONFIG_FILE: join(claude.home, 'aws') };
  onBedrock(
    claude.api.script('run', () => say('Done.')),
    keys,
  );
  writeFileSync(
    keys.AWS_CONFIG_FILE,
    `[profile of-the-operator]\naws_access_key_id=AKIA\naws_secret_access_key=${secret}\n`,
  );
  const env = ({ turn }: Ask) => (turn === 0 ? use('Bash', { command: 'env > env.txt' }) : say('Done.'));
  const ran = await claude.run(env, { guard: await openGuard(), settings: { claudeLogin: 'bedrock' } });
  expect(ran).toMatchObject({ ok: true, login: 'bedrock' });
  expect(claude.asks()[0]?.headers.authorization).toMatch(/Credential=AKIA\//);
  expect(readFileSync(join(claude.folder, 'env.txt'), 'utf8')).not.toMatch(/AWS_/);
});

test('where the key of a Google account lies is none of the shell’s business', async () => {
  await using claude = await openClaude();
  const env = ({ turn }: Ask) => (turn === 0 ? use('Bash', { command: 'env > env.txt' }) : say('Done.'));
  const variables = { CLAUDE_CODE_USE_VERTEX: '1', CLAUDE_CODE_SKIP_VERTEX_AUTH: '1', CLOUD_ML_REGION: 'us-east5' };
  const theirs = { ANTHROPIC_VERTEX_PROJECT_ID: 'ours', ANTHROPIC_VERTEX_BASE_URL: claude.api.script('run', env) };
  const keys = { GOOGLE_APPLICATION_CREDENTIALS: join(claude.home, secret) };
  for (const [name, value] of Object.entries({ ...variables, ...theirs, ...keys })) vi.stubEnv(name, value);
  const settings = { claudeLogin: 'vertex' as const };
  const ran = await claude.run(env, { guard: await openGuard(), model: 'claude-opus-5-5', settings });
  expect(ran).toMatchObject({ ok: true, login: 'vertex', toolCalls: 1 });
  expect(claude.asks()[0]?.raw.path).toContain('/projects/ours/locations/us-east5/');
  expect(readFileSync(join(claude.folder, 'env.txt'), 'utf8')).not.toContain(secret);
});

test('a login that ends soon is renewed before it is used, once for all that ask', async () => {
  await using claude = await openClaude();
  const folder = loggedIn(claude.home, 'old', Date.now() + 60_000);
  let renewals = 0;
  const token = openKept(folder, async () => {
    renewals += 1;
    await new Promise((resolve) => setImmediate(resolve));
    loggedIn(claude.home, 'new');
  });
  expect(await Promise.all([token(), token()])).toEqual(['new', 'new']);
  expect(await token()).toBe('new');
  expect(renewals).toBe(1);
});
