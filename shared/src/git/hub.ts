/** Making and removing hubs. */

export type Hub = { baseCommit: string; warnings: string[] };

/**
 * Makes the hub of a task and sets its integration ref: from nothing (`repository` null), or from a path or URL at `base`
 * (a branch, tag or commit; null: its HEAD). Asked again it finds the hub as it was made and returns the same. A
 * crash in the middle leaves nothing half. Throws what `probeRepository` throws.
 */
export const createHub = async (_options: {
  hub: string;
  repository: string | null;
  base: string | null;
  credentials?: string | undefined;
  /** Default: the hub's name without `.git`. */
  taskId?: string | undefined;
  signal?: AbortSignal | undefined;
}): Promise<Hub> => {
  throw new Error('to follow');
};

/** Removes a hub as a whole: its folder, or behind a URL the task's refs. No hub is no error. */
export const removeHub = async (_hub: string, _taskId?: string): Promise<void> => {
  throw new Error('to follow');
};
