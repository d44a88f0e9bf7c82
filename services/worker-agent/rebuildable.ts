/**
 * What a clone holds that can be made again: what the project ignores, and what package managers put there. Where a
 * disk is too full to save the work beside it, that goes first, then the set-ups that this machine keeps; the work
 * itself never does.
 */
import { rm, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { isFailure } from '@nexus/shared/errors';
import { untrackedFiles } from '@nexus/shared/git';
import { run } from '@nexus/shared/process';
import { clearSetUps, setUpCacheOf } from '@nexus/shared/project';

/** What is smaller frees nothing: settings of its own that an agent wrote into an ignored file stay. */
const worthKilobytes = 1024;

/** Removes it, with all that lies in it; returns the paths. */
export const dropRebuildable = async (folder: string): Promise<string[]> => {
  const ignored = await untrackedFiles(folder, { folders: true, ignored: 'all' });
  // What the agent reports is ignored by git, and is work all the same.
  const paths = ignored.filter((path) => !path.startsWith('.nexus/'));
  const sizes = await Promise.all(paths.map((path) => kilobytesOf(folder, path)));
  const large = paths.filter((_, at) => (sizes[at] ?? 0) >= worthKilobytes);
  for (const path of large) await rm(join(folder, path), { recursive: true, force: true });
  return large;
};

/** What it holds on disk. */
export const kilobytesOf = async (folder: string, path: string): Promise<number> => {
  const how = { folder, env: {}, timeoutMs: 60_000, outputBytesMax: 10_000 };
  return Number.parseInt((await run({ command: ['du', '-sk', '--', path], ...how })).stdout, 10) || 0;
};

/** Where set-ups are kept. */
export type Disk = Parameters<typeof setUpCacheOf>[0];

/** Saves; where the disk is full, makes room step by step, and throws only if none was enough. */
export const saveMakingRoom = async <T>(folder: string, disk: Disk | undefined, save: () => Promise<T>): Promise<T> => {
  const steps = [() => dropRebuildable(folder), () => dropSetUps(disk)];
  for (;;) {
    try {
      return await save();
    } catch (thrown) {
      const step = speaksOfSpace(thrown) ? steps.shift() : undefined;
      if (step === undefined) throw thrown;
      await step();
    }
  }
};

/** What a set-up made before is only faster. */
export const dropSetUps = async (disk: Disk | undefined): Promise<void> => {
  const cache = disk === undefined ? null : setUpCacheOf({ ...disk, setupCache: true });
  if (cache !== null) await clearSetUps(cache);
};

/** The system's own word, or that of a program which passes it on; the cause may lie deeper. */
export const speaksOfSpace = (thrown: unknown): boolean =>
  isFailure(thrown, 'DISK_FULL') || speaksOfQuota(thrown) || speaks(thrown, /no space left on device|ENOSPC/i);

/** Not the disk is full, but what one user or project may hold of it. */
export const speaksOfQuota = (thrown: unknown): boolean => speaks(thrown, /disk quota exceeded|EDQUOT/i);

const speaks = (thrown: unknown, words: RegExp): boolean => {
  for (let at = thrown, depth = 0; at instanceof Error && depth < 8; at = at.cause, depth += 1) {
    if (words.test(`${(at as NodeJS.ErrnoException).code} ${at.message}`)) return true;
  }
  return false;
};

export const freeBytes = async (folder: string): Promise<number> => {
  const { bavail, bsize } = await statfs(folder).catch(() => ({ bavail: 0, bsize: 0 }));
  return bavail * bsize;
};
