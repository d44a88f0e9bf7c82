/** Pushes to the hub. */

/**
 * Sets a ref of the hub to a commit of the clone. `lease` is what the ref must be until then; null: it must not exist.
 * A ref that already is that commit is fine. Throws `GIT_MOVED`.
 */
export const pushRef = async (_options: {
  folder: string;
  hub: string;
  commit: string;
  ref: string;
  lease: string | null;
  signal?: AbortSignal | undefined;
}): Promise<void> => {
  throw new Error('to follow');
};

/**
 * Rule 24: integration from `base` to `tested` and the marker of the subtask in one atomic push, or neither. `already`: the
 * marker was there (asked again after a crash); `moved`: integration is no longer `base`.
 */
export const pushMerge = async (_options: {
  hub: string;
  folder: string;
  base: string;
  tested: string;
  integrationRef: string;
  markerRef: string;
  signal?: AbortSignal | undefined;
}): Promise<'merged' | 'already' | 'moved'> => {
  throw new Error('to follow');
};
