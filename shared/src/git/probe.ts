/** Looking at a person's repository before anything is promised. */

export type RepositoryProbe = {
  /** The commit to start from; null in an empty repository. */
  head: string | null;
  empty: boolean;
  /** Uncommitted changes in a local work tree. */
  dirty: boolean;
  local: boolean;
  warnings: string[];
};

/**
 * Looks at a repository (path or URL) without changing it or asking anybody, within `timeoutMs` (default 20 s). Throws
 * `REPOSITORY_MISSING`, `REPOSITORY_LOCKED`, `BRANCH_OCCUPIED`, `BASE_UNKNOWN`, and, where `within` says which folders
 * this fleet can see, `REPOSITORY_UNSEEN` for paths elsewhere.
 */
export const probeRepository = async (_options: {
  repository: string;
  base?: string | null | undefined;
  /** Lines as git credential-store writes them. */
  credentials?: string | undefined;
  within?: { folders: string[]; setting: string } | undefined;
  timeoutMs?: number | undefined;
  signal?: AbortSignal | undefined;
}): Promise<RepositoryProbe> => {
  throw new Error('to follow');
};
