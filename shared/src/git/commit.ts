/** Commits of what an agent left behind. */

export type Author = { name: string; email: string };
export type Committed = {
  /** Null when there was nothing to commit (and, with `since`, nothing was committed since). */
  commit: string | null;
  /** Paths that differ from `since`, or from the commit before. */
  changed: string[];
};

/**
 * Commits everything in the folder (but what .gitignore and `.nexus/` exclude), concluding a merge in progress. With `since`
 * commits that the agent made itself count too: `commit` is then the head, `changed` what differs from `since`.
 * For when nobody else works in the folder any more.
 */
export const commitAll = async (
  _folder: string,
  _options: { message: string; author: Author; since?: string | undefined; signal?: AbortSignal | undefined },
): Promise<Committed> => {
  throw new Error('to follow');
};

/** The same as a commit beside the agent's back: head, index and work tree stay as they are. For checkpoints. */
export const snapshot = async (
  _folder: string,
  _options: { message: string; author: Author; since?: string | undefined; signal?: AbortSignal | undefined },
): Promise<Committed> => {
  throw new Error('to follow');
};

/** The changed files (since HEAD, or `since`) that hold a whole conflict: all three markers, in order, at line starts. */
export const conflictMarkers = async (_folder: string, _since?: string): Promise<string[]> => {
  throw new Error('to follow');
};
