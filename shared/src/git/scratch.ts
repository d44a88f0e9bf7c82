/**
 * Folders that git needs for the length of one command, in the temporary folder of the machine: repositories to push
 * from, and files with credentials. Their names say which process made them, so that what a killed one left is found.
 */
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';

/** What another machine left, which shares the folder with us, goes by age: no command takes so long. */
const leftAfterMs = 24 * 3_600_000;

const host = hostname().replaceAll(/[^A-Za-z0-9.]/g, '_');

/** Makes one. Whoever asks removes it. */
export const makeScratch = (what: 'git' | 'secret' | 'config'): Promise<string> =>
  mkdtemp(join(tmpdir(), `nexus-${what}-${host}-${process.pid}-`));

/** Whether a folder is a repository of one command. */
export const isScratch = (folder: string): boolean =>
  dirname(folder) === tmpdir() && basename(folder).startsWith('nexus-git-');

/** Removes what processes that are gone left behind, above all their credentials. Returns the folders. */
export const sweepScratch = async (options: { folder?: string; now?: number } = {}): Promise<string[]> => {
  const { folder = tmpdir(), now = Date.now() } = options;
  const removed: string[] = [];
  for (const name of await readdir(folder).catch(() => [])) {
    const [, madeBy, pid] = /^nexus-(?:git|secret|config)-(.+)-(\d+)-[A-Za-z0-9]{6}$/.exec(name) ?? [];
    if (madeBy === undefined) continue;
    const path = join(folder, name);
    const made = (await stat(path).catch(() => null))?.mtimeMs ?? now;
    const isLeft = now - made > leftAfterMs || (madeBy === host && isGone(Number(pid), made, now));
    if (!isLeft) continue;
    await rm(path, { recursive: true, force: true });
    removed.push(path);
  }
  return removed;
};

/** In a container every life has the same pid: what is older than this process is not of this process. */
const isGone = (pid: number, made: number, now: number): boolean => {
  if (pid === process.pid) return made < now - process.uptime() * 1000 - 1000;
  try {
    process.kill(pid, 0);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ESRCH';
  }
};
