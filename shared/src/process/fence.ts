/** How a command is started inside its limits and its sandbox: by a shell that sets both up and becomes the command. */
import { mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import type { RunOptions } from './run.ts';
import { inSandbox } from './sandbox.ts';

export type Fence = {
  command: [string, ...string[]];
  /** Removes what the sandbox had for a /tmp. */
  clear(): Promise<void>;
};

/** `ulimit -f` counts in these, https://pubs.opengroup.org/onlinepubs/9799919799/utilities/ulimit.html */
const blockBytes = 512;

/** Null: it is started as it is. */
export const fence = (command: [string, ...string[]], options: RunOptions): Fence | null => {
  const { sandbox, limits, folder } = options;
  const fileBytes = limits?.fileBytes;
  if (!sandbox && !fileBytes) return null;
  // Beside the folder: on a disk, not in memory, and gone with whatever else is left there should we be killed.
  const scratch = sandbox ? mkdtempSync(`${folder.replace(/\/+$/, '')}.tmp-`) : null;
  const lines = [
    // One that is lower already stays.
    ...(fileBytes ? [`ulimit -f ${Math.ceil(fileBytes / blockBytes)} 2>/dev/null`] : []),
    ...(sandbox ? ["trap '' TERM INT HUP"] : []),
    'exec "$@"',
  ];
  const program = sandbox && scratch !== null ? inSandbox(command, { folder, sandbox, scratch }) : command;
  return {
    command: ['sh', '-c', lines.join('; '), 'sh', ...program],
    clear: async () => {
      // What a program made unreadable for itself stays; whoever removes old folders finds it.
      if (scratch !== null) await rm(scratch, { recursive: true, force: true, maxRetries: 3 }).catch(() => {});
    },
  };
};
