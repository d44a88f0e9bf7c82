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
import { readRef } from './look.ts';
import { located } from './refs.ts';
import { pushResult } from './result.ts';
import { fetching, git, initialise } from './run-git.ts';

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
  await initialise(folder, 'clone', commit);
  const at = { clone: folder };
  const refspecs = [`${baseCommit}:refs/heads/main`, `${commit}:refs/heads/${branch}`];
  // main is not born yet, but HEAD names it already.
  await git([...fetching, '--update-head-ok', '--', located(hub), ...refspecs], { at, signal });
  await git(['checkout', '--quiet', '--force', branch], { at, signal });
};
