/**
 * A small disk for workspaces and gates, to be filled: a tmpfs where this process may mount one, else none, and then
 * `fill` answers false. Filled means full to the last block: agents, clones and commits meet ENOSPC in the middle.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export type SmallDisk = { mounted: boolean; fill(): boolean; empty(): void; remove(): void };

export const openSmallDisk = (folder: string, megabytes: number): SmallDisk => {
  mkdirSync(folder, { recursive: true });
  const mounted = tried(['mount', '-t', 'tmpfs', '-o', `size=${megabytes}m`, 'tmpfs', folder]);
  const ballast = join(folder, '.ballast');
  const empty = (): void => rmSync(ballast, { force: true });
  return {
    mounted,
    fill: () => {
      if (!mounted) return false;
      const { bavail, bsize } = statfsSync(folder);
      try {
        writeFileSync(ballast, Buffer.alloc(Number(bavail) * Number(bsize), 1));
      } catch {
        // Somebody else took the last block: it is full either way.
      }
      return true;
    },
    empty,
    remove: () => {
      empty();
      if (mounted) tried(['umount', '-l', folder]);
    },
  };
};

const tried = ([program = '', ...words]: string[]): boolean => {
  try {
    execFileSync(program, words, { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
};
