/**
 * Set-up: makes a fresh clone runnable, by the task's own `setup` commands, else as the project says, just as the
 * gate does it; nothing else is guessed. Caches are shared between workspaces by the environment.
 */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type ErrorCode, fail, isFailure } from '@nexus/shared/errors';
import { run } from '@nexus/shared/process';
import { packageManagerOf, readManifest } from '@nexus/shared/project';

export type SetupFailure = { code: ErrorCode; says: string };

/** The commands that make a clone runnable, in order; empty where there is nothing to do. */
export const setupCommands = async (folder: string, asked: readonly string[] | undefined): Promise<string[]> => {
  if (asked) return [...asked];
  const read = (path: string) => readFile(join(folder, path), 'utf8').catch(() => '');
  const has = (name: string) => existsSync(join(folder, name));
  return (await packageManagerOf(readManifest(await read('package.json')), has, read)).setup;
};

/** Runs them one after the other until one fails. `log` holds what all of them printed. */
export const setUp = async (options: {
  folder: string;
  commands: string[];
  env: Record<string, string>;
  mark: string;
  timeoutMs: number;
  signal: AbortSignal;
  onCommand: (command: string) => void;
}): Promise<{ failure: SetupFailure | null; log: string }> => {
  let log = '';
  for (const command of options.commands) {
    options.onCommand(command);
    const result = await runOne(command, options);
    options.signal.throwIfAborted();
    log += `$ ${command}\n${result.output}\n`;
    if (result.exit === 0) continue;
    const message = result.output.trim().split('\n').slice(-5).join('\n').slice(-500);
    const failure = fail('WORKSPACE_SETUP', { command, exit: result.exit, message });
    return { failure: { code: failure.code, says: failure.message }, log };
  }
  return { failure: null, log };
};

const runOne = async (
  command: string,
  options: Parameters<typeof setUp>[0],
): Promise<{ exit: number | string; output: string }> => {
  try {
    const { folder, env, mark, timeoutMs, signal } = options;
    const result = await run({ command, folder, env, mark, leashed: true, timeoutMs, outputBytesMax: 50e6, signal });
    const exit = result.timedOut ? `timed out after ${timeoutMs} ms` : (result.exitCode ?? result.signal ?? 'none');
    return { exit: result.outputLimited ? 'too much output' : exit, output: result.output };
  } catch (thrown) {
    if (isFailure(thrown, 'COMMAND_MISSING')) return { exit: 127, output: thrown.message };
    throw thrown;
  }
};
