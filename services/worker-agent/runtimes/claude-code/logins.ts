/**
 * What pays: a subscription's login, an API key, Bedrock or Vertex; looked for in this order, unless one is asked for.
 * What of it stays with the worker, and how, is told in doors.ts.
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
import { bedrockNeeds, isOn, vertexNeeds } from './cloud-needs.ts';
import { bedrockDoor, type Door, keyDoor, openKept, readKept, tokenDoor } from './doors.ts';
import type { ClaudeSettings } from './look.ts';

export type LoginKind = 'subscription' | 'api_key' | 'bedrock' | 'vertex';

export type Login = {
  kind: LoginKind;
  /** For people: `subscription (max)`. */
  says: string;
  /** Who is charged, without a secret in it: what is limited is limited for all that share it. */
  account: string;
  /** What the CLI has to know of it that is no secret. */
  env: Record<string, string>;
  /** What it has to know besides where nobody keeps that from it. */
  secret: Record<string, string>;
  /** How the secret stays with the worker; null: it cannot. */
  door: Door | null;
  /** Where conversations lie: apart from a person's login, wherever that can be. */
  folder: string;
  /** A person's own folder, with a login that the CLI alone can read. */
  isTheirs: boolean;
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
  bedrock: 'set CLAUDE_CODE_USE_BEDROCK=1, AWS_REGION and the credentials of AWS on the workers',
  vertex:
    'set CLAUDE_CODE_USE_VERTEX=1, ANTHROPIC_VERTEX_PROJECT_ID, CLOUD_ML_REGION and the credentials of Google on the workers',
};

/** Each says what it found, or in words that it found nothing. */
const looks: Record<LoginKind, (program: string, settings: ClaudeSettings) => Promise<Login | string>> = {
  subscription: async (program, settings) => {
    const token = settings.claudeToken;
    const { anthropicUrl: url = usualAddress } = settings;
    if (token) {
      const says = 'subscription (CLAUDE_CODE_OAUTH_TOKEN)';
      const secret = { CLAUDE_CODE_OAUTH_TOKEN: token, ...addressOf(settings) };
      const door = tokenDoor(url, async () => token);
      return apart(
        { kind: 'subscription', says, account: accountOf('subscription', token), env: {}, secret, door },
        settings,
      );
    }
    return (await inFolder(program, settings)) ?? `no CLAUDE_CODE_OAUTH_TOKEN, and no login in ${theirsOf(settings)}`;
  },
  api_key: async (_program, settings) => {
    const { anthropicKey: key, anthropicUrl: url = usualAddress } = settings;
    if (!key) return 'no ANTHROPIC_API_KEY';
    const secret = { ANTHROPIC_API_KEY: key, ...addressOf(settings) };
    const account = accountOf('api_key', key);
    return apart({ kind: 'api_key', says: 'API key', account, env: {}, secret, door: keyDoor(url, key) }, settings);
  },
  bedrock: async (_program, settings) => {
    const names = ['CLAUDE_CODE_USE_BEDROCK', 'CLAUDE_CODE_SKIP_BEDROCK_AUTH', 'AWS_*', 'ANTHROPIC_BEDROCK_*'];
    const found = inheritedEnvironment([...names, ...models]);
    if (!isOn(found.CLAUDE_CODE_USE_BEDROCK)) return 'no CLAUDE_CODE_USE_BEDROCK';
    const { region, missing } = await bedrockNeeds(found);
    if (missing.length > 0) return `CLAUDE_CODE_USE_BEDROCK is set, but there is ${missing.join(', and ')}`;
    // A region that only a profile names is told to the door, which would take another one.
    const placed = { ...found, ...(region === null ? {} : { AWS_REGION: region }) };
    return cloud('bedrock', placed, bedrockDoor(placed), settings);
  },
  vertex: async (_program, settings) => {
    const names = ['ANTHROPIC_VERTEX_*', 'CLOUD_ML_REGION', 'VERTEX_*', 'GOOGLE_*', 'GCLOUD_*'];
    const flags = ['CLAUDE_CODE_USE_VERTEX', 'CLAUDE_CODE_SKIP_VERTEX_AUTH'];
    const found = inheritedEnvironment([...flags, ...names, ...models]);
    if (!isOn(found.CLAUDE_CODE_USE_VERTEX)) return 'no CLAUDE_CODE_USE_VERTEX';
    const missing = await vertexNeeds(found);
    if (missing.length > 0) return `CLAUDE_CODE_USE_VERTEX is set, but there is ${missing.join(', and ')}`;
    return cloud('vertex', found, null, settings);
  },
};

const models = ['ANTHROPIC_MODEL', 'ANTHROPIC_SMALL_FAST_MODEL'];

/** Where the secret stays here, only what says where and which model goes along. */
const cloud = (
  kind: 'bedrock' | 'vertex',
  found: Record<string, string>,
  door: Door | null,
  settings: ClaudeSettings,
): Promise<Login> => {
  const isPlain = (name: string) => door === null || /^(CLAUDE_CODE_|ANTHROPIC_|AWS_(DEFAULT_)?REGION$)/.test(name);
  const split = (plain: boolean) =>
    Object.fromEntries(Object.entries(found).filter(([name]) => isPlain(name) === plain));
  const account = accountOf(kind, JSON.stringify(found));
  return apart({ kind, says: kind, account, env: split(true), secret: split(false), door }, settings);
};

/** The login of a person in a folder. Where it lies in a file, agents are kept from that, and talk elsewhere. */
const inFolder = async (program: string, settings: ClaudeSettings): Promise<Login | null> => {
  const theirs = theirsOf(settings);
  const status = await statusOf(program, settings.claudeFolder);
  if (status === null) return null;
  const plan = status.subscriptionType ? ` (${status.subscriptionType})` : '';
  const says = `subscription${plan} in ${theirs}`;
  const account = accountOf('subscription', status.orgId ?? theirs);
  const kept = await readKept(theirs);
  if (kept === null) {
    const env = { ...folderEnv(settings.claudeFolder), ...addressOf(settings) };
    return { kind: 'subscription', says, account, env, secret: {}, door: null, folder: theirs, isTheirs: true };
  }
  const token = openKept(theirs, () => askStatus(program, settings.claudeFolder));
  const secret = { CLAUDE_CODE_OAUTH_TOKEN: kept.accessToken, ...addressOf(settings) };
  // By its plan the CLI chooses the model of those who name none.
  const env = {
    ...(kept.subscriptionType ? { CLAUDE_CODE_SUBSCRIPTION_TYPE: kept.subscriptionType } : {}),
    ...(kept.rateLimitTier ? { CLAUDE_CODE_RATE_LIMIT_TIER: kept.rateLimitTier } : {}),
  };
  const door = tokenDoor(settings.anthropicUrl ?? usualAddress, token);
  return apart({ kind: 'subscription', says, account, env, secret, door }, settings);
};

const theirsOf = ({ claudeFolder }: ClaudeSettings): string => claudeFolder ?? join(homedir(), '.claude');

/** Conversations lie apart from those of a person, and never beside a login, which agents could read then. */
const apart = async (login: Omit<Login, 'folder' | 'isTheirs'>, settings: ClaudeSettings): Promise<Login> => {
  const { claudeFolder, home = join(homedir(), '.nexus') } = settings;
  const isFree = claudeFolder !== undefined && (await readKept(claudeFolder)) === null;
  const folder = isFree ? claudeFolder : join(home, 'claude');
  return { ...login, env: { ...login.env, ...folderEnv(folder) }, folder, isTheirs: false };
};

const folderEnv = (folder: string | undefined): Record<string, string> =>
  folder === undefined ? {} : { CLAUDE_CONFIG_DIR: folder };

export const usualAddress = 'https://api.anthropic.com';
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
