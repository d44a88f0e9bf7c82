/** Set-up, carried out: one command after the other in a clone, until one fails. */
import { type ProcessResult, run } from '@nexus/shared/process';

export type SetUp = {
  /** The command that failed, and how; the ones after it were not run. */
  failed: { command: string; result: ProcessResult } | null;
  /** What all of them printed. */
  log: string;
};

/** Runs the commands. Throws the reason of the signal when that aborts, and only then. */
export const setUp = async (options: {
  folder: string;
  commands: readonly string[];
  env: Record<string, string>;
  mark: string;
  timeoutMs: number;
  outputBytesMax: number;
  signal: AbortSignal;
  onCommand: (command: string) => void;
}): Promise<SetUp> => {
  const { commands, onCommand, ...how } = options;
  let log = '';
  for (const command of commands) {
    how.signal.throwIfAborted();
    onCommand(command);
    const result = await run({ ...how, command, leashed: true });
    how.signal.throwIfAborted();
    log += `$ ${command}\n${result.output}\n`;
    const wentWell = result.exitCode === 0 && !result.timedOut && !result.outputLimited;
    if (!wentWell) return { failed: { command, result }, log };
  }
  return { failed: null, log };
};
