/** The types of `marked.mjs`, which is plain JavaScript so that a leash starts fast and stays small. */
/** `home`: the NEXUS_HOME of whoever started it, where it says so. */
export type MarkedProcess = { pid: number; mark: string; home?: string | null };

/** What a tree is found by: an entry of the environment, and the first process, where that is known. */
export type Tree = {
  entry: string;
  /** A second entry that must be there, too. */
  also?: string | undefined;
  root?: number | undefined;
  /** The root was seen to have ended; whoever has its number now is somebody else. */
  rootEnded?: boolean | undefined;
  /** The root itself is left alone; what descends from it is not. */
  spareRoot?: boolean | undefined;
  /** A folder that is nobody else's: what works in it, has no terminal and says nothing of us is of the tree. */
  folder?: string | undefined;
};

/** Every process of this machine whose environment carries a `NEXUS_MARK`: for `stop --all --local` and sweeps. */
export function listMarked(): MarkedProcess[];

/** `home`: only processes that say so. `folder`: as in `Tree`. */
export type EndOptions = { graceMs?: number; home?: string; folder?: string | undefined };

/**
 * Ends every process whose environment carries `NEXUS_MARK=<mark>`, with its descendants: TERM, then KILL after
 * `graceMs` (default 2000), looking again until nothing is left. Returns the pids that survived even that.
 */
export function endMarked(mark: string, options?: EndOptions): Promise<number[]>;

/** The same; `ended` counts the processes that were told, and have ended. */
export function sweepMarked(mark: string, options?: EndOptions): Promise<{ ended: number; survivors: number[] }>;

/** The same for any tree; `ended` counts the processes that had to be told. */
export function endTree(tree: Tree, graceMs: number): Promise<{ ended: number; survivors: number[] }>;
