/** The result goes to the person's repository: a new branch, and nothing else of theirs is touched. */
import { fail, isFailure } from '@nexus/shared/errors';
import { refusalOf } from './probe.ts';
import { isUrl } from './refs.ts';
import { git, runGit, saysOf, splitSecret, withHub, withoutPasswords } from './run-git.ts';

type ResultOptions = {
  hub: string;
  commit: string;
  repository: string;
  /** With or without `refs/heads/`. */
  branch: string;
  credentials?: string | undefined;
  signal?: AbortSignal | undefined;
};

/**
 * Pushes a commit of the hub to a new branch of the person's repository (path or URL). The branch checked out there,
 * its index and work tree are never touched. A branch that already is that commit is fine; one that is another commit
 * is never overwritten. Throws `RELEASE_FAILED`, `REPOSITORY_LOCKED`, `REPOSITORY_MISSING`,
 * `REPOSITORY_UNREACHED`, `BRANCH_OCCUPIED`.
 */
export const pushResult = async (options: ResultOptions): Promise<'pushed' | 'already'> => {
  const { repository, credentials } = splitSecret(options.repository, options.credentials);
  const asked = { ...options, repository, credentials, branch: options.branch.replace(/^refs\/heads\//, '') };
  const ref = `refs/heads/${asked.branch}`;
  const before = await branchesOf(asked);
  if (before.get(ref) === asked.commit) return 'already';
  if (before.has('refs/heads/nexus')) throw fail('BRANCH_OCCUPIED');
  if (before.has(ref)) throw refused(asked, isTaken(asked, before.get(ref)));
  if (!isUrl(repository)) await mayNotBeCheckedOut(asked, ref);
  await push(asked, ref);
  return 'pushed';
};

/** Whether the branch is there and is that very commit. Throws as `pushResult` where the repository does not answer. */
export const isPushed = async (options: ResultOptions): Promise<boolean> => {
  const asked = { ...options, ...splitSecret(options.repository, options.credentials) };
  const branch = options.branch.replace(/^refs\/heads\//, '');
  return (await branchesOf({ ...asked, branch })).get(`refs/heads/${branch}`) === options.commit;
};

const push = (options: ResultOptions, ref: string): Promise<void> =>
  withHub(options, async (at) => {
    const { commit, repository, credentials, signal } = options;
    const args = ['push', '--quiet', '--porcelain', '--no-verify', `--force-with-lease=${ref}:`];
    const refspec = `${commit}:${ref}`;
    const result = await runGit([...args, '--', repository, refspec], {
      at,
      signal,
      credentials,
      answers: [0, 1, 128],
    });
    if (result.exitCode === 0) return;
    const refusal = refusalOf(repository, result);
    if (isFailure(refusal, 'REPOSITORY_LOCKED', 'REPOSITORY_UNREACHED')) throw refusal;
    // Somebody may have pushed meanwhile: the same, then it is there, or something else, then theirs stays.
    const now = (await branchesOf(options)).get(ref);
    if (now === commit) return;
    throw refused(options, now === undefined ? withoutPasswords(saysOf(result)) : isTaken(options, now));
  });

const branchesOf = async ({ repository, branch, credentials, signal }: ResultOptions): Promise<Map<string, string>> => {
  const args = ['ls-remote', '--', repository, 'refs/heads/nexus', `refs/heads/${branch}`];
  const result = await runGit(args, {
    at: { nowhere: '/' },
    signal,
    credentials,
    answers: [0, 128],
    timeoutMs: 60_000,
  });
  if (result.exitCode !== 0) throw refusalOf(repository, result);
  const lines = result.stdout.split('\n').filter((line) => line.includes('\t'));
  return new Map(lines.map((line) => line.split('\t') as [string, string]).map(([commit, ref]) => [ref, commit]));
};

/** HEAD may name the branch though it does not exist yet, and other work trees have heads of their own. */
const mayNotBeCheckedOut = async (options: ResultOptions, ref: string): Promise<void> => {
  const { repository, signal } = options;
  const args = ['-C', repository, 'worktree', 'list', '--porcelain'];
  const listed = await git(args, { at: { nowhere: repository }, signal });
  if (listed.split('\n').includes(`branch ${ref}`))
    throw refused(options, `its branch ${options.branch} is checked out`);
};

const isTaken = ({ branch }: ResultOptions, commit: string | undefined): string =>
  `its branch ${branch} already is ${commit}`;

const refused = ({ repository }: ResultOptions, message: string): Error =>
  fail('RELEASE_FAILED', { repository, message });
