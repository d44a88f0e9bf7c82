/** Private clones (rule 26). */

export type Workspace = { folder: string; commit: string };

/**
 * Makes a private clone of the hub in `folder` (which must not exist), detached at `commit`, wherever in the hub that
 * commit lies. Hard links from a hub or `mirror` on this machine, never alternates. `.nexus/` is excluded, hooks are
 * off, an identity is set, no remote is left. With `mirror` (a bare repository on this machine, made if absent) the hub is
 * asked only for what the mirror lacks. Throws `GIT_FAILED`; then the folder is gone again.
 */
export const cloneAt = async (_options: {
  hub: string;
  folder: string;
  commit: string;
  mirror?: string | undefined;
  signal?: AbortSignal | undefined;
}): Promise<Workspace> => {
  throw new Error('to follow');
};

/** Brings commits that a clone lacks from the hub into it; does nothing for those that it has. */
export const fetchCommits = async (_options: {
  folder: string;
  hub: string;
  commits: string[];
  signal?: AbortSignal | undefined;
}): Promise<void> => {
  throw new Error('to follow');
};
