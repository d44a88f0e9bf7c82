/** Set-up, carried out: one command after the other in a clone, until one fails; or what it made before, copied. */
import { type ProcessResult, type RunOptions, run } from '@nexus/shared/process';
import { copyOrMake, type SetUpCache } from './set-up-cache.ts';

export type SetUp = {
  /** The command that failed, and how; the ones after it were not run. */
  failed: { command: string; result: ProcessResult } | null;
  /** Nothing was run: what the same set-up made before was copied. */
  copied: boolean;
  /** What all of them printed. */
  log: string;
};

/**
 * Runs the commands. With a cache, which is for commands that we chose ourselves and never for a person's, a set-up
 * whose result is known is copied instead. Throws the reason of the signal when that aborts, and only then.
 */
export const setUp = async (options: {
  folder: string;
  commands: readonly string[];
  env: Record<string, string>;
  mark: string;
  timeoutMs: number;
  outputBytesMax: number;
  signal: AbortSignal;
  /** What the commands are started in. */
  sandbox?: RunOptions['sandbox'];
  limits?: RunOptions['limits'];
  cache?: SetUpCache | null;
  onCommand: (command: string) => void;
}): Promise<SetUp> => {
  const { cache, commands, signal } = options;
  // A cache that cannot be read or written is none: the set-up itself says what there is to say of this disk.
  const turn = cache ? await orNull(copyOrMake(cache, options), signal) : null;
  if (turn === 'copied') return { failed: null, copied: true, log: `$ ${commands.join('\n$ ')}\n${copiedSays}\n` };
  try {
    const made = await runAll(options);
    if (turn !== null && made.failed === null) await orNull(turn.keep(), signal);
    if (turn !== null) await orNull(turn.ended(), signal);
    return { ...made, copied: false };
  } finally {
    turn?.leave();
  }
};

const runAll = async (options: Parameters<typeof setUp>[0]): Promise<Omit<SetUp, 'copied'>> => {
  const { commands, onCommand, cache: _cache, ...how } = options;
  let log = '';
  for (const command of commands) {
    how.signal.throwIfAborted();
    onCommand(command);
    const result = await run({ ...how, command, leashed: true, ownFolder: 'mark' });
    how.signal.throwIfAborted();
    log += `$ ${command}\n${result.output}\n`;
    const wentWell = result.exitCode === 0 && !result.timedOut && !result.outputLimited;
    if (!wentWell) return { failed: { command, result }, log };
  }
  return { failed: null, log };
};

const copiedSays = '(Not run: what it made of the same lock file before was copied from the cache of this machine.)';

const orNull = async <T>(asked: Promise<T>, signal: AbortSignal): Promise<T | null> => {
  try {
    return await asked;
  } catch {
    signal.throwIfAborted();
    return null;
  }
};
