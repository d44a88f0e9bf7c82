/**
 * The cache of set-ups: what `npm ci` made of a clean checkout, kept as a copy, to be copied into the next checkout
 * that would get the same (`set-up-key.ts`).
 *
 *   making ─ copied whole, nothing else was changed by the set-up ─ renamed → kept ─ too much in all → leaving → gone
 *
 * One process of the machine makes an entry at a time; whoever wants the same meanwhile waits for it once, and no
 * longer than a set-up may take. An entry is there as a whole or not at all, whoever is killed when; who loses a race,
 * or finds an entry gone, runs the set-up. Copies, never hard links: what an agent edits in its `node_modules` must be
 * nobody else's. On file systems that can, a copy shares its blocks until it is written to.
 */
import { randomUUID } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, stat, statfs, utimes, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { stateOfTree } from '@nexus/shared/git';
import { run } from '@nexus/shared/process';
import { z } from 'zod';
import { lockOnMachine } from './machine-lock.ts';
import { setUpKey } from './set-up-key.ts';

export type SetUpCache = { folder: string; bytesMax: number; diskReserve: number };

/** How commands are run: what `setUp` was asked for. */
type How = {
  folder: string;
  commands: readonly string[];
  env: Readonly<Record<string, string>>;
  mark: string;
  timeoutMs: number;
  signal: AbortSignal;
};

/** The right to make an entry. */
export type Turn = {
  /** Keeps what a set-up that went well has made, if it made nothing but `node_modules`. */
  keep(): Promise<void>;
  /** Says that the set-up has ended: where nothing was kept, nobody waits for it any more. */
  ended(): Promise<void>;
  /** Lets the next one in: always called, whatever came of it. */
  leave(): void;
};

const entrySchema = z.object({ paths: z.array(z.string()), bytes: z.int().nonnegative() });
const entryFile = 'entry.json';

/** What is being made or removed for so long was left by a process that was killed. */
const leftAfterMs = 3_600_000;

/** The cache as settings want it, or null where it is off. */
export const setUpCacheOf = (config: {
  home: string;
  setupCache: boolean;
  setupCacheMax: number;
  diskReserve: number;
}): SetUpCache | null => {
  const { setupCache, setupCacheMax: bytesMax, diskReserve } = config;
  return setupCache && bytesMax > 0
    ? { folder: resolve(config.home, 'caches', 'set-ups'), bytesMax, diskReserve }
    : null;
};

/** Copies what is kept of this set-up into the checkout, or gives the turn to make it; null where it is not kept. */
export const copyOrMake = async (cache: SetUpCache, how: How): Promise<'copied' | Turn | null> => {
  const key = await setUpKey(how);
  if (key === null) return null;
  const place = join(cache.folder, key);
  if (await restore(place, how)) return 'copied';
  const { release, waited } = await waitForTurn(cache, key, how);
  try {
    if (waited && (await restore(place, how))) {
      release();
      return 'copied';
    }
    return await turnOf(cache, key, how, release);
  } catch (thrown) {
    release();
    throw thrown;
  }
};

/** What one set-up found nothing to keep of is made by all others at once: none of them waits a second time. */
const waitForTurn = async (cache: SetUpCache, key: string, how: How) => {
  const { signal, timeoutMs } = how;
  const name = `${resolve(cache.folder)}/${key}`;
  const nothing = () => undefined;
  const free = await lockOnMachine(name, { waitMs: 0, signal });
  if (free !== null) return { release: free, waited: false };
  const since = Date.now();
  const release = (await lockOnMachine(name, { waitMs: timeoutMs, signal })) ?? nothing;
  const unkept = await stat(unkeptFile(cache, key)).catch(() => null);
  // A moment is granted to clocks of file systems, which may tick slowly.
  if (unkept === null || unkept.mtimeMs < since - 100) return { release, waited: true };
  release();
  return { release: nothing, waited: true };
};

/** Says that a set-up ended of which nothing was kept; one that was killed or stopped leaves none. */
const unkeptFile = (cache: SetUpCache, key: string): string => join(cache.folder, `.unkept-${key}`);

const turnOf = async (cache: SetUpCache, key: string, how: How, release: () => void): Promise<Turn> => {
  const place = join(cache.folder, key);
  const config = await readFile(join(how.folder, '.git', 'config'), 'utf8');
  return {
    keep: async () => {
      const { beside, changed } = await stateOfTree(how.folder, how.signal);
      const paths = beside.filter((path) => /(?:^|\/)node_modules\/$/.test(path));
      const onlyThese = paths.length === beside.length && paths.length > 0 && !changed;
      if (!onlyThese || (await readFile(join(how.folder, '.git', 'config'), 'utf8')) !== config) return;
      await keep(cache, place, paths, how);
    },
    ended: async () => {
      if ((await readEntry(place)) !== null) return;
      await mkdir(cache.folder, { recursive: true });
      await writeFile(unkeptFile(cache, key), '');
    },
    leave: release,
  };
};

const restore = async (place: string, how: How): Promise<boolean> => {
  const entry = await readEntry(place);
  if (entry === null) return false;
  const copied = await copy([`${join(place, 'tree')}/.`], how.folder, how);
  if (copied) {
    const now = new Date();
    await utimes(join(place, entryFile), now, now).catch(() => {});
    return true;
  }
  for (const path of entry.paths) await rm(join(how.folder, path), { recursive: true, force: true });
  return false;
};

const keep = async (cache: SetUpCache, place: string, paths: readonly string[], how: How): Promise<void> => {
  if ((await readEntry(place)) !== null) return;
  const bytes = await sizeOf(paths, how);
  await mkdir(cache.folder, { recursive: true });
  const { bavail, bsize } = await statfs(cache.folder);
  if (bytes > cache.bytesMax || bavail * bsize < bytes + cache.diskReserve) return;
  const making = join(cache.folder, `.making-${randomUUID()}`);
  try {
    for (const path of paths) {
      const parent = join(making, 'tree', dirname(path));
      await mkdir(parent, { recursive: true });
      if (!(await copy([join(how.folder, path).replace(/\/$/, '')], parent, how))) return;
    }
    if (await knowsItsPlace(making, how)) return;
    await writeFile(join(making, entryFile), JSON.stringify({ paths, bytes }));
    // Whoever was faster has kept the same.
    await rename(making, place).catch(() => {});
    await evict(cache, Date.now());
  } finally {
    await rm(making, { recursive: true, force: true });
  }
};

const readEntry = async (place: string): Promise<z.infer<typeof entrySchema> | null> => {
  try {
    return entrySchema.parse(JSON.parse(await readFile(join(place, entryFile), 'utf8')));
  } catch {
    return null;
  }
};

/** With times, modes and links as they are; blocks are shared where the file system can. */
const copy = async (from: readonly string[], to: string, how: How): Promise<boolean> => {
  const program = process.platform === 'darwin' ? (['cp', '-Rpc'] as const) : (['cp', '-a', '--reflink=auto'] as const);
  return (await ask([...program, '--', ...from, to], how)).exitCode === 0;
};

/** A file that names the folder it was made in may not work in another. */
const knowsItsPlace = async (making: string, how: How): Promise<boolean> =>
  (await ask(['grep', '-rqF', '-e', how.folder, making], how)).exitCode !== 1;

const sizeOf = async (paths: readonly string[], how: How): Promise<number> => {
  const { stdout } = await ask(['du', '-sk', '--', ...paths], how);
  const kilobytes = stdout.split('\n').map((line) => Number.parseInt(line, 10) || 0);
  return kilobytes.reduce((sum, one) => sum + one, 0) * 1024;
};

const ask = async (command: readonly [string, ...string[]], { folder, env, mark, timeoutMs, signal }: How) => {
  const result = await run({ command, folder, env, mark, leashed: true, timeoutMs, outputBytesMax: 1_000_000, signal });
  signal.throwIfAborted();
  return result;
};

/** Removes all that is kept: the next set-up of each kind is run again. */
export const clearSetUps = (cache: SetUpCache): Promise<void> => evict({ ...cache, bytesMax: -1 }, Date.now());

/** Removes what was used least lately until the rest fits, and what killed processes left half made. */
export const evict = async ({ folder, bytesMax }: SetUpCache, now: number): Promise<void> => {
  const found = await Promise.all(
    (await readdir(folder).catch(() => [])).map(async (name) => {
      const place = join(folder, name);
      const used = (await stat(join(place, entryFile)).catch(() => stat(place).catch(() => null)))?.mtimeMs ?? now;
      return { name, place, used, bytes: (await readEntry(place))?.bytes ?? 0 };
    }),
  );
  const left = found.filter(({ name, used }) => name.startsWith('.') && now - used > leftAfterMs);
  for (const { place } of left) await rm(place, { recursive: true, force: true });
  let sum = 0;
  for (const { place, bytes } of found.filter(({ name }) => !name.startsWith('.')).sort((a, b) => b.used - a.used)) {
    sum += bytes;
    if (sum <= bytesMax) continue;
    // Renamed first: whoever looks for it finds it whole or not at all.
    const leaving = join(folder, `.leaving-${randomUUID()}`);
    await rename(place, leaving).catch(() => {});
    await rm(leaving, { recursive: true, force: true });
  }
};
