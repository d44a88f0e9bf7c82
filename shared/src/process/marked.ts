/** Finds and ends processes by the mark in their environment. */
export type MarkedProcess = { pid: number; mark: string };

/** Every process of this machine whose environment carries a `NEXUS_MARK`: for `stop --all --local` and sweeps. */
export const listMarked = (): MarkedProcess[] => {
  throw new Error('to follow');
};

/**
 * Ends every process whose environment carries `NEXUS_MARK=<mark>`, with its descendants: TERM, then KILL after
 * `graceMs` (default 2000), looking again until nothing is left. Returns the pids that survived even that.
 */
export const endMarked = async (_mark: string, _options: { graceMs?: number } = {}): Promise<number[]> => {
  throw new Error('to follow');
};
