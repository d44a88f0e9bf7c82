/**
 * What pays: a subscription's login, an API key, Bedrock or Vertex; looked for in this order, unless one is asked for.
 *
 * `claude auth status` says, without a call, whether a login is there. It is asked without the key, since the CLI takes
 * the key wherever it sees one, and a person with a subscription would be billed without a word.
 */
import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { inheritedEnvironment } from '@nexus/shared/config';
import { allowedEnv, run } from '@nexus/shared/process';
import type { ClaudeSettings } from './look.ts';

export type LoginKind = 'subscription' | 'api_key' | 'bedrock' | 'vertex';

export type Login = {
  kind: LoginKind;
  /** For people: `subscription (max)`. */
  says: string;
  /** Who is charged, without a secret in it: what is limited is limited for all that share it. */
  account: string;
  env: Record<string, string>;
  /** Where conversations lie. */
  folder: string;
};

type Found = Login | { problem: string; mend: string };

/** The first login that is there. */
export const findLogin = async (program: string, settings: ClaudeSettings): Promise<Found> => {
  const wanted = settings.claudeLogin ?? 'auto';
  const looked: string[] = [];
  for (const kind of wanted === 'auto' ? inOrder : [wanted]) {
    const found = await looks[kind](program, settings);
    if (typeof found !== 'string') return found;
    looked.push(found);
  }
  return { problem: `it is not logged in: ${looked.join('; ')}`, mend: mends[wanted] };
};

const inOrder: readonly LoginKind[] = ['subscription', 'api_key', 'bedrock', 'vertex'];

const mends: Record<LoginKind | 'auto', string> = {
  auto: 'log in with `claude`, or set CLAUDE_CODE_OAUTH_TOKEN (`claude setup-token`) or ANTHROPIC_API_KEY',
  subscription: 'log in with `claude`, or set CLAUDE_CODE_OAUTH_TOKEN (`claude setup-token`) on the workers',
  api_key: 'set ANTHROPIC_API_KEY on the workers',
  bedrock: 'set CLAUDE_CODE_USE_BEDROCK=1 and the AWS variables on the workers',
  vertex: 'set CLAUDE_CODE_USE_VERTEX=1 and the Google variables on the workers',
};

/** Each says what it found, or in words that it found nothing. */
const looks: Record<LoginKind, (program: string, settings: ClaudeSettings) => Promise<Login | string>> = {
  subscription: async (program, settings) => {
    const token = settings.claudeToken;
    if (token) {
      const says = 'subscription (CLAUDE_CODE_OAUTH_TOKEN)';
      const env = { CLAUDE_CODE_OAUTH_TOKEN: token, ...addressOf(settings) };
      return withFolder(
        { kind: 'subscription', says, account: accountOf('subscription', token), env },
        ownFolder(settings),
      );
    }
    const theirs = settings.claudeFolder ?? join(homedir(), '.claude');
    const status = await statusOf(program, settings.claudeFolder);
    if (status === null) return `no CLAUDE_CODE_OAUTH_TOKEN, and no login in ${theirs}`;
    const plan = status.subscriptionType ? ` (${status.subscriptionType})` : '';
    const env = { ...folderEnv(settings.claudeFolder), ...addressOf(settings) };
    const account = accountOf('subscription', status.orgId ?? theirs);
    return { kind: 'subscription', says: `subscription${plan} in ${theirs}`, account, env, folder: theirs };
  },
  api_key: async (_program, settings) => {
    const key = settings.anthropicKey;
    if (!key) return 'no ANTHROPIC_API_KEY';
    const env = { ANTHROPIC_API_KEY: key, ...addressOf(settings) };
    return withFolder(
      { kind: 'api_key', says: 'API key', account: accountOf('api_key', key), env },
      ownFolder(settings),
    );
  },
  bedrock: (_program, settings) =>
    cloud('bedrock', 'CLAUDE_CODE_USE_BEDROCK', ['AWS_*', 'ANTHROPIC_BEDROCK_*'], settings),
  vertex: (_program, settings) =>
    cloud(
      'vertex',
      'CLAUDE_CODE_USE_VERTEX',
      ['ANTHROPIC_VERTEX_*', 'CLOUD_ML_REGION', 'VERTEX_*', 'GOOGLE_*', 'GCLOUD_*'],
      settings,
    ),
};

const cloud = async (
  kind: LoginKind,
  flag: string,
  names: string[],
  settings: ClaudeSettings,
): Promise<Login | string> => {
  const env = inheritedEnvironment([flag, ...names, 'ANTHROPIC_MODEL', 'ANTHROPIC_SMALL_FAST_MODEL']);
  if (!/^(1|true|yes|on)$/i.test(env[flag] ?? '')) return `no ${flag}`;
  return withFolder({ kind, says: kind, account: accountOf(kind, JSON.stringify(env)), env }, ownFolder(settings));
};

const withFolder = (login: Omit<Login, 'folder'>, folder: string): Login => ({
  ...login,
  env: { ...login.env, ...folderEnv(folder) },
  folder,
});

/** Without a login of a person, conversations lie apart from theirs. */
const ownFolder = (settings: ClaudeSettings): string =>
  settings.claudeFolder ?? join(settings.home ?? join(homedir(), '.nexus'), 'claude');

const folderEnv = (folder: string | undefined): Record<string, string> =>
  folder === undefined ? {} : { CLAUDE_CONFIG_DIR: folder };

const usualAddress = 'https://api.anthropic.com';
const addressOf = ({ anthropicUrl }: ClaudeSettings): Record<string, string> =>
  anthropicUrl === undefined || anthropicUrl === usualAddress ? {} : { ANTHROPIC_BASE_URL: anthropicUrl };

const accountOf = (kind: LoginKind, secret: string): string =>
  `claude-${kind}-${createHash('sha256').update(secret).digest('hex').slice(0, 8)}`;

type Status = { subscriptionType?: string | null; orgId?: string | null };

const asked = new Map<string, { at: number; mark: string; status: Promise<Status | null> }>();
/** A login that was made or lost changes its file; one in a key chain is asked for again after this. */
const askAgainMs = 600_000;

/** What the CLI says of the login in a folder; null: there is none. */
const statusOf = async (program: string, folder: string | undefined): Promise<Status | null> => {
  const place = folder ?? join(homedir(), '.claude');
  const mark = await stat(join(place, '.credentials.json')).then(
    (found) => String(found.mtimeMs),
    () => 'none',
  );
  const before = asked.get(place);
  if (before && before.mark === mark && performance.now() - before.at < askAgainMs) return before.status;
  const status = askStatus(program, folder);
  asked.set(place, { at: performance.now(), mark, status });
  return status;
};

const askStatus = async (program: string, folder: string | undefined): Promise<Status | null> => {
  const command: [string, ...string[]] = [program, 'auth', 'status'];
  const env = allowedEnv({ ...folderEnv(folder), CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1' });
  const result = await run({ command, folder: '/', env, timeoutMs: 20_000, outputBytesMax: 100_000 });
  try {
    const said = JSON.parse(result.stdout) as Status & { loggedIn?: boolean };
    return said.loggedIn ? said : null;
  } catch {
    return null;
  }
};
