/** Runs one command from start to result. */

/** A string is run by `sh -c`; a list is a program with its arguments, without a shell. */
export type Command = string | readonly [string, ...string[]];
export type OutputStream = 'stdout' | 'stderr';

export type RunOptions = {
  command: Command;
  /** The working folder; it must exist. */
  folder: string;
  /** Added to (and winning over) `allowedEnv()`; nothing else of our own environment is inherited. */
  env?: Readonly<Record<string, string>> | undefined;
  /** What the command reads from its standard input; without it the input is closed. */
  input?: string | Uint8Array | undefined;
  /** TERM after so long, KILL after `graceMs` more. */
  timeoutMs: number;
  /** Bytes of output, both streams together; one more ends the command. What came before is kept. */
  outputBytesMax: number;
  /** Aborting ends the tree; the result says `aborted`. */
  signal?: AbortSignal | undefined;
  /** Called with each piece of text as it comes; never with half a character. */
  onOutput?: ((chunk: string, stream: OutputStream) => void) | undefined;
  /** `NEXUS_MARK` of the whole tree: what `endMarked()` finds it by. Several runs may share one. */
  mark?: string | undefined;
  /** Start it through the leash, which ends every process of the mark if we die. Needs `mark`. */
  leashed?: boolean | undefined;
  /** Between TERM and KILL. Default 2000. */
  graceMs?: number | undefined;
};

/** Flags say why it ended; `exitCode` and `signal` are what the system reported, one of them null. */
export type ProcessResult = {
  exitCode: number | null;
  signal: string | null;
  timedOut: boolean;
  aborted: boolean;
  outputLimited: boolean;
  stdout: string;
  stderr: string;
  /** Both streams in the order in which they came. */
  output: string;
  durationMs: number;
};

/**
 * Runs a command and resolves when it and everything it left running has ended. A failed command is a result. A shell
 * string whose program is missing is exit code 127. Throws `COMMAND_MISSING` if it cannot be started.
 */
export const run = async (_options: RunOptions): Promise<ProcessResult> => {
  throw new Error('to follow');
};
