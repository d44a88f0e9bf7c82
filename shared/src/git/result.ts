/** The result goes to the person's repository. */

/**
 * Pushes a commit of the hub to a new branch of the person's repository (path or URL). The branch checked out there, its
 * index and work tree are never touched. A branch that already is that commit is fine. Throws `RELEASE_FAILED`,
 * `REPOSITORY_LOCKED`, `REPOSITORY_MISSING`, `BRANCH_OCCUPIED`.
 */
export const pushResult = async (_options: {
  hub: string;
  commit: string;
  repository: string;
  /** With or without `refs/heads/`. */
  branch: string;
  credentials?: string | undefined;
  signal?: AbortSignal | undefined;
}): Promise<'pushed' | 'already'> => {
  throw new Error('to follow');
};
