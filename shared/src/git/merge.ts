/** Merges in clones: one for agents to finish, one for the gate to test. */
import { git, gitFailed, partsOf, runGit } from './run-git.ts';

/**
 * Merges a commit of the clone (see `fetchCommits`) into its work tree. If not clean, the conflict markers stay in
 * the tree for an agent to resolve, and `commitAll` concludes the merge. `known`: its work is in the tree already, in a
 * later state; only the history takes it in, so that nobody merges it again.
 */
export const mergeInto = async (
  folder: string,
  commit: string,
  options: { message: string; known?: boolean; signal?: AbortSignal | undefined },
): Promise<{ clean: boolean; files: string[] }> => {
  const at = { clone: folder };
  const { message, known = false, signal } = options;
  const how = known ? ['--strategy=ours'] : [];
  const args = ['merge', '--quiet', '--no-edit', '--no-verify', '--no-stat', ...how, '-m', message, commit];
  const merged = await runGit(args, { at, signal, answers: [0, 1] });
  if (merged.exitCode === 0) return { clean: true, files: [] };
  const files = partsOf(await git(['diff', '--name-only', '--diff-filter=U', '-z'], { at, signal }));
  // Refused for another reason, such as local changes in the way.
  if (files.length === 0) throw gitFailed(args, merged);
  return { clean: false, files };
};

/**
 * Makes the merge commit of `commit` into `base`, the same for the same input, and checks it out clean. On a conflict
 * `merged` is null, the files are listed, and the clone stands at `base`, clean. A commit that `base` already holds
 * yields `base`. What .gitignore excludes stays, so that installed packages need not be installed again.
 */
export const mergeCandidate = async (options: {
  folder: string;
  base: string;
  commit: string;
  message: string;
  date: Date | string;
  signal?: AbortSignal | undefined;
}): Promise<{ merged: string | null; conflicts: string[] }> => {
  const { folder, base, commit, signal } = options;
  const at = { clone: folder };
  const held = await runGit(['merge-base', '--is-ancestor', commit, base], { at, signal, answers: [0, 1] });
  if (held.exitCode === 0) {
    await standAt(folder, base, signal);
    return { merged: base, conflicts: [] };
  }
  const args = ['merge-tree', '--write-tree', '--name-only', '--no-messages', '-z', base, commit];
  const tried = await runGit(args, { at, signal, answers: [0, 1] });
  const [tree = '', ...files] = partsOf(tried.stdout);
  if (tried.exitCode === 1) {
    await standAt(folder, base, signal);
    return { merged: null, conflicts: [...new Set(files)] };
  }
  const date = `@${Math.floor(new Date(options.date).getTime() / 1000)} +0000`;
  const merged = await git(['commit-tree', tree, '-p', base, '-p', commit, '-F', '-'], {
    at,
    signal,
    input: `${options.message.trimEnd()}\n`,
    env: { GIT_AUTHOR_DATE: date, GIT_COMMITTER_DATE: date },
  });
  await standAt(folder, merged, signal);
  return { merged, conflicts: [] };
};

const standAt = async (folder: string, commit: string, signal: AbortSignal | undefined): Promise<void> => {
  const at = { clone: folder };
  await git(['checkout', '--quiet', '--force', '--detach', commit], { at, signal });
  await git(['clean', '--quiet', '-f', '-f', '-d'], { at, signal });
};
