/** Merges in clones. */

/**
 * Merges a commit of the clone (see `fetchCommits`) into its work tree. If not clean, the conflict markers stay in the tree
 * for an agent to resolve, and `commitAll` concludes the merge.
 */
export const mergeInto = async (
  _folder: string,
  _commit: string,
  _options: { message: string; signal?: AbortSignal | undefined },
): Promise<{ clean: boolean; files: string[] }> => {
  throw new Error('to follow');
};

/**
 * Makes the merge commit of `commit` into `base`, the same for the same input, and checks it out clean. On a conflict `merged` is
 * null, the files are listed, and the clone stands at `base`, clean. A commit that `base` already holds yields `base`.
 */
export const mergeCandidate = async (_options: {
  folder: string;
  base: string;
  commit: string;
  message: string;
  date: Date | string;
  signal?: AbortSignal | undefined;
}): Promise<{ merged: string | null; conflicts: string[] }> => {
  throw new Error('to follow');
};
