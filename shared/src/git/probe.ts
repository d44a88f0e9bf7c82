/** Looking at a person's repository before anything is promised. */
import { realpath, stat } from 'node:fs/promises';
import { isAbsolute, normalize, sep } from 'node:path';
import { fail, isFailure } from '@nexus/shared/errors';
import type { ProcessResult } from '@nexus/shared/process';
import { isUrl } from './refs.ts';
import { git, partsOf, runGit, saysOf, splitSecret, withoutPasswords } from './run-git.ts';
import { speaksOfNoHost } from './unreached.ts';
import { mayWrite } from './writable.ts';

export type RepositoryProbe = {
  /** The commit to start from; null in an empty repository. */
  head: string | null;
  empty: boolean;
  /** Uncommitted changes in a local work tree. */
  dirty: boolean;
  local: boolean;
  warnings: string[];
};

export type ProbeOptions = {
  repository: string;
  base?: string | null | undefined;
  /** Lines as git credential-store writes them. */
  credentials?: string | undefined;
  /** The folders that this fleet can see, and the setting that names them. */
  within?: { folders: string[]; setting: string } | undefined;
  /** Whoever looks is who pushes: a disk that is mounted read-only here holds the result back. */
  writesHere?: boolean | undefined;
  timeoutMs?: number | undefined;
  signal?: AbortSignal | undefined;
};

/** What to fetch to get the commit to start from. */
export type Start = { commit: string | null; source: string | null };

/**
 * Looks at a repository (path or URL) without changing it or asking anybody, within `timeoutMs` (default 20 s). Throws
 * `REPOSITORY_MISSING`, `REPOSITORY_UNREACHED`, `REPOSITORY_LOCKED`, `REPOSITORY_READONLY`, `BRANCH_OCCUPIED`,
 * `BASE_UNKNOWN`, and, where `within` says which folders this fleet can see, `REPOSITORY_UNSEEN` for paths elsewhere.
 */
export const probeRepository = async (options: ProbeOptions): Promise<RepositoryProbe> =>
  (await probeForStart(options)).probe;

/** The same, and what to fetch. */
export const probeForStart = async (options: ProbeOptions): Promise<{ probe: RepositoryProbe; start: Start }> => {
  const asked = { ...options, ...splitSecret(options.repository, options.credentials) };
  const local = !isUrl(asked.repository);
  if (local) await seePath(asked);
  const listed = await listRemote(asked);
  if (listed.has('refs/heads/nexus')) throw fail('BRANCH_OCCUPIED');
  const readOnly = local && !(await mayWrite(asked.repository, asked.signal)) && options.writesHere === true;
  const start = await findStart(asked, local, listed);
  const changes = local ? await countChanges(asked) : 0;
  const warnings: string[] = [];
  if (readOnly)
    warnings.push('It is mounted read-only here: a result that changes files stays in the hub of the task.');
  if (start.commit === null)
    warnings.push('The repository has no commit yet; the work begins with a first, empty one.');
  if (!asked.base && start.source !== null && start.source !== 'HEAD') {
    const branch = start.source.replace('refs/heads/', '');
    warnings.push(`Its current branch has no commit yet; the work begins from ${branch}.`);
  }
  if (changes > 0) {
    const from = start.commit === null ? 'without them' : `from commit ${start.commit.slice(0, 10)}`;
    warnings.push(
      `The repository has ${changes} uncommitted change(s), which stay as they are; the work begins ${from}.`,
    );
  }
  const probe = { head: start.commit, empty: start.commit === null, dirty: changes > 0, local, warnings };
  return { probe, start };
};

/** A path must be there, be a folder, and be in sight. */
const seePath = async ({ repository, within }: ProbeOptions): Promise<void> => {
  const missing = (problem: string) => fail('REPOSITORY_MISSING', { repository, problem });
  const seen = within?.folders.join(', ') ?? '';
  const unseen = within ? fail('REPOSITORY_UNSEEN', { repository, folders: seen, setting: within.setting }) : null;
  if (!isAbsolute(repository)) throw missing('a path must begin with /');
  const real = await realpath(repository).catch(() => null);
  if (within) {
    const folders = await Promise.all(within.folders.map((folder) => realpath(folder).catch(() => folder)));
    // What is not there is unseen as well, unless it would lie in sight.
    const path = real ?? normalize(repository);
    const inSight = [...folders, ...(real === null ? within.folders : [])].some(
      (folder) => path === folder || path.startsWith(`${folder}${sep}`),
    );
    if (!inSight && unseen) throw unseen;
  }
  if (real === null) throw missing('there is no such folder');
  if (!(await stat(real)).isDirectory()) throw missing('it is a file, not a folder');
};

/** HEAD, the branch that would be in our way, and what `base` may name. */
const listRemote = async (options: ProbeOptions): Promise<Map<string, string>> => {
  const { repository, base } = options;
  const wanted = ['HEAD', 'refs/heads/nexus'];
  if (base) wanted.push(`refs/heads/${base}`, `refs/tags/${base}`, `refs/tags/${base}^{}`);
  const listed = await askRemote(options, [repository, ...wanted]);
  if (listed.has('HEAD') || base) return listed;
  // HEAD may name a branch that does not exist yet beside others that do.
  return new Map([...listed, ...(await askRemote(options, [repository, 'refs/heads/*']))]);
};

const askRemote = async (options: ProbeOptions, args: string[]): Promise<Map<string, string>> => {
  const { repository, credentials, signal } = options;
  const timeoutMs = options.timeoutMs ?? 20_000;
  try {
    const at = { nowhere: '/' };
    const result = await runGit(['ls-remote', '--', ...args], {
      at,
      credentials,
      signal,
      timeoutMs,
      answers: [0, 128],
    });
    if (result.exitCode !== 0) throw refusalOf(repository, result);
    const lines = result.stdout.split('\n').filter((line) => line.includes('\t'));
    return new Map(lines.map((line) => line.split('\t') as [string, string]).map(([commit, ref]) => [ref, commit]));
  } catch (error) {
    if (!isFailure(error, 'COMMAND_TIMEOUT')) throw error;
    const problem = `no answer within ${timeoutMs} ms`;
    throw fail(
      isUrl(repository) ? 'REPOSITORY_UNREACHED' : 'REPOSITORY_MISSING',
      { repository, problem },
      { cause: error },
    );
  }
};

const locked =
  /could not read (?:Username|Password)|Authentication failed|terminal prompts disabled|Permission denied|error: 40[13]|Host key verification failed|Invalid username/i;

/** As the shells say it that start it for git. */
const noSsh = /\bssh: (?:command )?not found/;

/** Git's words about a repository that cannot be read, as one of our codes. */
export const refusalOf = (repository: string, result: ProcessResult): Error => {
  const says = withoutPasswords(saysOf(result));
  if (locked.test(says)) return fail('REPOSITORY_LOCKED', { repository });
  // ssh says why, before git says that it was so.
  const lines = says.split('\n').map((each) => each.trim());
  const line = noSsh.test(says)
    ? 'it is asked by ssh, and no such program is on the path'
    : (['ssh:', 'fatal:'].flatMap((who) => lines.find((each) => each.startsWith(who)) ?? [])[0] ?? says);
  const away = isUrl(repository) && speaksOfNoHost(says);
  return fail(away ? 'REPOSITORY_UNREACHED' : 'REPOSITORY_MISSING', {
    repository,
    problem: line.replace(/^fatal: /, ''),
  });
};

/** The commit that `base` names, or HEAD. In a repository on this machine anything that git can resolve is allowed. */
const findStart = async (options: ProbeOptions, local: boolean, listed: Map<string, string>): Promise<Start> => {
  const { repository, base } = options;
  if (!base) return startAtHead(options, listed);
  for (const name of [`refs/heads/${base}`, `refs/tags/${base}`]) {
    const commit = listed.get(`${name}^{}`) ?? listed.get(name);
    if (commit) return { commit, source: name };
  }
  const unknown = fail('BASE_UNKNOWN', { repository, base });
  if (base.startsWith('-')) throw unknown;
  if (local) {
    const args = ['-C', repository, 'rev-parse', '--verify', '--quiet', '--end-of-options', `${base}^{commit}`];
    const found = await runGit(args, { at: { nowhere: repository }, signal: options.signal, answers: [0, 1, 128] });
    const commit = found.stdout.trim().split('\n').at(-1) ?? '';
    if (found.exitCode === 0 && /^[0-9a-f]{40,64}$/.test(commit)) return { commit, source: commit };
    throw unknown;
  }
  // Whether a commit behind a URL exists, only the fetch can tell.
  if (/^[0-9a-f]{40}(?:[0-9a-f]{24})?$/.test(base)) return { commit: base, source: base };
  throw unknown;
};

const startAtHead = ({ repository }: ProbeOptions, listed: Map<string, string>): Start => {
  const head = listed.get('HEAD');
  if (head) return { commit: head, source: 'HEAD' };
  // Results of earlier tasks are nobody's work yet: nothing is built on them unasked.
  const branches = [...listed.keys()].filter((ref) => /^refs\/heads\/(?!nexus\/)/.test(ref));
  if (branches.length === 0) return { commit: null, source: null };
  const chosen = ['refs/heads/main', 'refs/heads/master'].find((ref) => listed.has(ref));
  const source = chosen ?? (branches.length === 1 ? branches[0] : undefined);
  if (source === undefined) throw fail('BASE_UNKNOWN', { repository, base: 'HEAD' });
  return { commit: listed.get(source) ?? null, source };
};

/**
 * How many files of a work tree are not as committed; 0 in a bare repository, or where counting would take too
 * long.
 */
const countChanges = async ({ repository, signal }: ProbeOptions): Promise<number> => {
  try {
    const args = ['-C', repository, 'status', '--porcelain', '-z', '--no-renames', '--ignore-submodules'];
    const output = await git(args, { at: { nowhere: repository }, signal, timeoutMs: 10_000 });
    return partsOf(output).length;
  } catch (error) {
    if (isFailure(error, 'GIT_FAILED', 'COMMAND_TIMEOUT')) return 0;
    throw error;
  }
};
