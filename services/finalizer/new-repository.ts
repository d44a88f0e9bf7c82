/**
 * The repository of a task that named none: a real checkout, made beside its place and renamed into it, so that it is
 * there as a whole or not at all.
 *
 * `main` stands at the first commit, the result is `nexus/<task>`, checked out: whoever opens the folder sees what
 * was built and can start it, `git switch main && git merge nexus/<task>` takes it, and leaving the branch undoes it.
 * No remote leads back to the hub, and no setting of ours stays: from here on it is the person's.
 */
import { randomUUID } from 'node:crypto';
import { mkdir, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fail } from '@nexus/shared/errors';
import { pushResult, readRef } from '@nexus/shared/git';
import { run } from '@nexus/shared/process';

type NewRepository = {
  hub: string;
  folder: string;
  commit: string;
  baseCommit: string;
  branch: string;
  signal: AbortSignal;
};

/**
 * Makes the repository, or finds it as an earlier delivery made it. Throws `RELEASE_FAILED` if the branch is another
 * commit.
 */
export const makeRepository = async (options: NewRepository): Promise<void> => {
  const { folder, signal } = options;
  if (await isThere(options)) return;
  await mkdir(dirname(folder), { recursive: true });
  const making = `${folder}.making-${randomUUID()}`;
  try {
    await fill(making, options);
    await rename(making, folder);
  } catch (error) {
    signal.throwIfAborted();
    // Whoever was faster made the same.
    if (!(await isThere(options))) throw error;
  } finally {
    await rm(making, { recursive: true, force: true });
  }
};

/** A repository that somebody cleared of the branch gets it again, beside whatever is checked out now. */
const isThere = async ({ hub, folder, commit, branch, signal }: NewRepository): Promise<boolean> => {
  const found = await stat(join(folder, '.git')).catch(() => null);
  if (found === null) return false;
  if ((await readRef(join(folder, '.git'), `refs/heads/${branch}`)) === commit) return true;
  await pushResult({ hub, commit, repository: folder, branch, signal });
  return true;
};

const fill = async (folder: string, options: NewRepository): Promise<void> => {
  const { hub, commit, baseCommit, branch, signal } = options;
  await git(dirname(folder), ['init', '--quiet', '--initial-branch=main', '--', folder], signal);
  const refspecs = [`${baseCommit}:refs/heads/main`, `${commit}:refs/heads/${branch}`];
  // main is not born yet, but HEAD names it already.
  await git(
    folder,
    ['fetch', '--quiet', '--no-tags', '--update-head-ok', '--no-write-fetch-head', '--', hub, ...refspecs],
    signal,
  );
  await git(folder, ['checkout', '--quiet', '--force', branch], signal);
};

const git = async (folder: string, args: string[], signal: AbortSignal): Promise<void> => {
  const env = { GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_NOSYSTEM: '1', GIT_TERMINAL_PROMPT: '0', LC_ALL: 'C' };
  const limits = { timeoutMs: 600_000, outputBytesMax: 1_000_000 };
  const { exitCode, output } = await run({ command: ['git', ...args], folder, env, signal, ...limits });
  if (signal.aborted) throw signal.reason;
  if (exitCode === 0) return;
  throw fail('GIT_FAILED', {
    command: args[0] ?? '',
    exit: exitCode ?? 'a signal',
    message: output.trim().slice(-500),
  });
};
