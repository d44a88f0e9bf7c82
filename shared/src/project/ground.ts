/** The ground on which clones stand: apart from every project above it, with caches in common and room on the disk. */
import { mkdir, statfs, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { fail } from '@nexus/shared/errors';

/**
 * Makes a folder for clones. Its manifest says nothing, so that no project above it (NEXUS_HOME may lie inside a
 * checkout) lends its scripts and its kind of modules to a clone that has no manifest. Throws `DISK_FULL` where less
 * than `diskReserve` bytes are free: half a clone and half a commit are worse than none.
 */
export const openGround = async (folder: string, diskReserve: number): Promise<void> => {
  await mkdir(folder, { recursive: true });
  const { bavail, bsize } = await statfs(folder);
  const free = bavail * bsize;
  if (free < diskReserve) {
    throw fail('DISK_FULL', { folder, freeMb: Math.floor(free / 1e6), needMb: Math.ceil(diskReserve / 1e6) });
  }
  const manifest = join(folder, 'package.json');
  await writeFile(manifest, '{ "private": true }\n', { flag: 'wx' }).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error;
  });
};

/** Where package managers keep what they fetched: one folder for all clones of a home. They ask nobody anything. */
export const cacheEnvironment = (home: string): Record<string, string> => {
  const cache = (name: string) => resolve(home, 'caches', name);
  return {
    npm_config_cache: cache('npm'),
    npm_config_audit: 'false',
    npm_config_fund: 'false',
    npm_config_update_notifier: 'false',
    // Its store is below; npm warns of `npm_config_store_dir`, which it does not know.
    PNPM_HOME: cache('pnpm'),
    YARN_CACHE_FOLDER: cache('yarn'),
    PIP_CACHE_DIR: cache('pip'),
    // Without a place to write it Go builds nothing, and in a sandbox the home of the person is none.
    GOCACHE: cache('go-build'),
    COREPACK_ENABLE_DOWNLOAD_PROMPT: '0',
  };
};
