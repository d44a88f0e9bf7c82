/**
 * How git is called: never asking, never reading a person's or a machine's configuration, never running a hook,
 * within a time limit, and always told which repository is meant, so that a clone without `.git` is an error and not
 * the repository that happens to lie above it.
 */
import { copyFile, mkdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { inheritedEnvironment } from '@nexus/shared/config';
import { fail } from '@nexus/shared/errors';
import { type ProcessResult, run } from '@nexus/shared/process';
import { ownConfig } from './own-config.ts';
import { isUrl } from './refs.ts';
import { makeScratch } from './scratch.ts';

/**
 * Where git works: a bare repository, a clone (its folder), or no repository at all. The configuration of a clone is
 * never read: agents work there.
 */
export type Place = { bare: string } | { clone: string } | { nowhere: string };

export type GitOptions = {
  at: Place;
  input?: string | Uint8Array | undefined;
  env?: Readonly<Record<string, string>> | undefined;
  signal?: AbortSignal | undefined;
  timeoutMs?: number | undefined;
  outputBytesMax?: number | undefined;
  /** Lines as git credential-store writes them. */
  credentials?: string | undefined;
  /** Exit codes that are answers; others throw. Default: 0 alone. */
  answers?: readonly number[] | undefined;
};

export const nexusIdentity = { name: 'NEXUS', email: 'nexus@localhost' } as const;

/** Long enough for the fetch of a large repository; everything else is far below. */
const timeoutMsDefault = 600_000;
const outputBytesMaxDefault = 64_000_000;
const configFile = fileURLToPath(new URL('./nexus.gitconfig', import.meta.url));

/** How everything is fetched: what was asked for, no tag and no submodule beside it, from a shallow repository too. */
const quietly = ['--quiet', '--no-tags', '--no-write-fetch-head', '--update-shallow', '--no-recurse-submodules'];
export const fetching: readonly string[] = ['fetch', ...quietly];

/** Wins over the configuration of the repository at hand, which an agent may have written. */
const settings: Record<string, string> = {
  'core.hooksPath': '/dev/null',
  'core.fsmonitor': 'false',
  'core.quotePath': 'false',
  'core.editor': 'true',
  'commit.gpgSign': 'false',
  'tag.gpgSign': 'false',
  'push.gpgSign': 'false',
  'gc.auto': '0',
  'maintenance.auto': 'false',
  'advice.detachedHead': 'false',
  'protocol.version': '2',
  'safe.directory': '*',
};

/**
 * Runs git and returns its result. Throws `GIT_FAILED` for an exit code that is no answer, `COMMAND_TIMEOUT`, the
 * reason of the signal when aborted, `COMMAND_MISSING` where there is no git.
 */
export const runGit = async (args: readonly string[], options: GitOptions): Promise<ProcessResult> => {
  const secrets = options.credentials ? await keepSecrets(options.credentials) : null;
  const own = 'clone' in options.at ? await ownConfig(folderOf(options.at)) : null;
  try {
    const result = await run({
      command: ['git', ...(secrets?.args ?? []), ...args],
      folder: folderOf(options.at),
      env: { ...environmentFor(options.at), ...own?.env, ...options.env },
      input: options.input,
      timeoutMs: options.timeoutMs ?? timeoutMsDefault,
      outputBytesMax: options.outputBytesMax ?? outputBytesMaxDefault,
      signal: options.signal,
    });
    if (result.aborted) throw options.signal?.reason;
    if (result.timedOut) throw fail('COMMAND_TIMEOUT', { command: `git ${args[0]}`, timeoutMs: result.durationMs });
    const answers = options.answers ?? [0];
    if (result.outputLimited || (result.exitCode !== null && answers.includes(result.exitCode))) return result;
    throw gitFailed(args, result);
  } finally {
    await secrets?.forget();
    await own?.forget();
  }
};

/** The same for its output alone, without the last line end. */
export const git = async (args: readonly string[], options: GitOptions): Promise<string> =>
  (await runGit(args, options)).stdout.replace(/\n$/, '');

/** The parts of a `-z` output. */
export const partsOf = (output: string): string[] => output.split('\0').filter((part) => part !== '');

/** `GIT_FAILED` with git's own words, which never hold a password: URLs lose theirs. */
export const gitFailed = (args: readonly string[], result: ProcessResult): Error =>
  fail('GIT_FAILED', {
    command: withoutPasswords(args.slice(0, 3).join(' ')),
    exit: result.exitCode ?? result.signal ?? 'nothing',
    message: withoutPasswords(saysOf(result)),
  });

/** What git said of a failure: its last lines on standard error. */
export const saysOf = (result: ProcessResult): string =>
  (result.stderr.trim() || result.stdout.trim()).split('\n').slice(-5).join('\n').slice(-1000);

export const withoutPasswords = (text: string): string =>
  text.replaceAll(/(\b[a-z][a-z0-9+.-]*:\/\/)[^/@\s]*@/gi, '$1');

/**
 * Takes user and password out of a URL: the URL can then be an argument and stand in messages, the secret goes with the
 * credentials.
 */
export const splitSecret = (
  repository: string,
  credentials: string | undefined,
): { repository: string; credentials: string | undefined } => {
  if (!/^https?:\/\/[^/@]+@/i.test(repository)) return { repository, credentials };
  const line = repository.replace(/^(https?:\/\/[^/]+).*$/i, '$1');
  return { repository: withoutPasswords(repository), credentials: credentials ? `${line}\n${credentials}` : line };
};

/**
 * Makes an empty repository without templates. `like` is a commit that it will hold: the length of its name tells which
 * kind of names (SHA-1 or SHA-256) all of them have.
 */
export const initialise = async (folder: string, kind: 'bare' | 'clone', like: string | null): Promise<void> => {
  const args = ['init', '--quiet', '--template=', '--initial-branch=main'];
  if (kind === 'bare') args.push('--bare');
  if (like?.length === 64) args.push('--object-format=sha256');
  await git([...args, '--', folder], { at: { nowhere: dirname(folder) } });
};

/** A bare repository for the length of one piece of work, on the same machine, gone afterwards. */
export const withScratch = async <T>(
  like: string | null,
  work: (place: { bare: string }) => Promise<T>,
): Promise<T> => {
  const folder = await makeScratch('git');
  try {
    await initialise(folder, 'bare', like);
    return await work({ bare: folder });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
};

/**
 * The same with what leads to a commit of the hub in it, borrowed from a folder or fetched from behind a URL. What is
 * pushed from here, and the credentials for it, meet no setting of the hub.
 */
export const withHub = <T>(
  { hub, commit, signal }: { hub: string; commit: string; signal?: AbortSignal | undefined },
  work: (place: { bare: string }) => Promise<T>,
): Promise<T> =>
  withScratch(commit, async (at) => {
    if (isUrl(hub)) await git([...fetching, '--', hub, commit], { at, signal });
    else await borrow(at.bare, hub);
    return work(at);
  });

const borrow = async (bare: string, hub: string): Promise<void> => {
  await mkdir(join(bare, 'objects', 'info'), { recursive: true });
  await writeFile(join(bare, 'objects', 'info', 'alternates'), `${resolve(hub, 'objects')}\n`);
  // Where the history of a shallow hub ends is not said by its objects.
  await copyFile(join(hub, 'shallow'), join(bare, 'shallow')).catch(() => {});
};

const folderOf = (at: Place): string => resolve('bare' in at ? at.bare : 'clone' in at ? at.clone : at.nowhere);

const environmentFor = (at: Place): Record<string, string> => ({
  // A key agent is for fetching and pushing by ssh; programs that agents start never see it.
  ...inheritedEnvironment(['SSH_AUTH_SOCK']),
  LC_ALL: 'C',
  GIT_TERMINAL_PROMPT: '0',
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_CONFIG_GLOBAL: configFile,
  GIT_ATTR_NOSYSTEM: '1',
  GIT_OPTIONAL_LOCKS: '0',
  GIT_ALLOW_PROTOCOL: 'file:git:http:https:ssh',
  GIT_SSH_COMMAND: 'ssh -o BatchMode=yes -o ConnectTimeout=15',
  GIT_AUTHOR_NAME: nexusIdentity.name,
  GIT_AUTHOR_EMAIL: nexusIdentity.email,
  GIT_COMMITTER_NAME: nexusIdentity.name,
  GIT_COMMITTER_EMAIL: nexusIdentity.email,
  ...settingsEnvironment,
  ...('bare' in at ? { GIT_DIR: folderOf(at) } : {}),
  ...('clone' in at ? { GIT_DIR: join(folderOf(at), '.git'), GIT_WORK_TREE: folderOf(at) } : {}),
});

/** `-c` without arguments: https://git-scm.com/docs/git-config#Documentation/git-config.txt-GITCONFIGCOUNT */
const settingsEnvironment: Record<string, string> = Object.fromEntries([
  ['GIT_CONFIG_COUNT', String(Object.keys(settings).length)],
  ...Object.entries(settings).flatMap(([key, value], index) => [
    [`GIT_CONFIG_KEY_${index}`, key],
    [`GIT_CONFIG_VALUE_${index}`, value],
  ]),
]);

/** Credentials lie in a file that only we can read, for as long as one command runs. */
const keepSecrets = async (credentials: string): Promise<{ args: string[]; forget: () => Promise<void> }> => {
  const folder = await makeScratch('secret');
  const file = join(folder, 'credentials');
  await writeFile(file, `${credentials.trim()}\n`, { mode: 0o600 });
  return {
    args: ['-c', 'credential.helper=', '-c', `credential.helper=store --file='${file}'`],
    forget: () => rm(folder, { recursive: true, force: true }),
  };
};
