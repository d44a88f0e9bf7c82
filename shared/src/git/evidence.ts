/** Evidence: trees of files in the hub, made without a work tree. */

/**
 * Commits files (paths may be nested) to a ref of the hub and returns the ref. A ref that exists grows: its files stay
 * unless named again.
 */
export const commitEvidence = async (_options: {
  hub: string;
  ref: string;
  files: Readonly<Record<string, string | Uint8Array>>;
  message: string;
  signal?: AbortSignal | undefined;
}): Promise<string> => {
  throw new Error('to follow');
};

/** The text of one file of evidence (its first `bytesMax`, default 16 MB), or null if there is none. */
export const readEvidence = async (_options: {
  hub: string;
  ref: string;
  path: string;
  bytesMax?: number | undefined;
  signal?: AbortSignal | undefined;
}): Promise<string | null> => {
  throw new Error('to follow');
};

/** The paths of all files under a ref of evidence; empty if there is no such ref. */
export const listEvidence = async (_options: {
  hub: string;
  ref: string;
  signal?: AbortSignal | undefined;
}): Promise<string[]> => {
  throw new Error('to follow');
};
