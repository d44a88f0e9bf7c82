/**
 * Files of a clone, and of nothing else: what the file tools of a model read and write.
 *
 * Every path is walked folder by folder, each opened from the one before and never through a link; a link is followed
 * only by walking its target the same way, so that one which leads out of the clone leads nowhere, also when it is
 * put there between a look and an open. What belongs to git itself is not reached at all.
 */
import { constants } from 'node:fs';
import { type FileHandle, mkdir, open, readdir, readlink, unlink } from 'node:fs/promises';
import { isAbsolute, join, relative } from 'node:path';

/** A path that cannot be used, in words for the model. */
export class NotInside extends Error {}

export type Found = { name: string; kind: 'file' | 'folder' | 'link' | 'other'; size: number };
export type Inside = {
  /** The text of a file, at most `bytesMax` of it, and how long it is. */
  read(path: string, bytesMax: number): Promise<{ text: string; size: number }>;
  /** Writes a whole file, with the folders above it. */
  write(path: string, text: string): Promise<void>;
  /** What lies in a folder, by name. */
  list(path: string): Promise<Found[]>;
  /** The path as it really is, from the root, without links; throws for one that leads out. */
  resolve(path: string): Promise<string>;
};

const { O_RDONLY, O_WRONLY, O_CREAT, O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK } = constants;
const linksMax = 40;

export const openInside = (root: string): Inside => ({
  read: (path, bytesMax) =>
    within(root, path, false, async ({ at }) => {
      const file = await openFile(at, O_RDONLY, path);
      try {
        const { size } = await file.stat();
        const bytes = Buffer.alloc(Math.min(size, bytesMax));
        const { bytesRead } = await file.read(bytes, 0, bytes.length, 0);
        const read = bytes.subarray(0, bytesRead);
        if (read.subarray(0, 8192).includes(0)) throw new NotInside(`${path} is not text (${size} bytes)`);
        return { text: read.toString('utf8'), size };
      } finally {
        await file.close();
      }
    }),
  write: (path, text) =>
    within(root, path, true, async ({ at }) => {
      const file = await openFile(at, O_WRONLY | O_CREAT, path);
      let target = file;
      try {
        const { nlink, mode } = await file.stat();
        if (nlink > 1) {
          // Its other names are another's (a cache, for example): they keep what they have.
          await unlink(at);
          target = await open(at, O_WRONLY | O_CREAT | O_NOFOLLOW, mode & 0o777);
        }
        await target.truncate(0);
        await target.writeFile(text);
      } finally {
        await file.close();
        if (target !== file) await target.close();
      }
    }),
  list: (path) =>
    within(root, path, false, async ({ at }) => {
      const folder = await open(at, O_RDONLY | O_DIRECTORY | O_NOFOLLOW).catch(translate(path));
      try {
        return await entriesOf(pathOf({ handle: folder, path: at }));
      } finally {
        await folder.close();
      }
    }),
  resolve: (path) => within(root, path, false, async ({ names }) => names.join('/') || '.'),
});

/** The place that a path leads to: `at` opens it, whatever becomes of the folders above it meanwhile. */
type Place = { at: string; names: string[] };

const within = async <T>(
  root: string,
  path: string,
  makesFolders: boolean,
  use: (place: Place) => Promise<T>,
): Promise<T> => {
  const open: Step[] = [{ handle: await openFolder(root), name: '', path: root }];
  try {
    const last = await walk(root, path, open, makesFolders);
    const top = open.at(-1) as Step;
    const names = [...open.slice(1).map(({ name }) => name), ...(last === null ? [] : [last])];
    return await use({ at: `${pathOf(top)}/${last ?? '.'}`, names });
  } finally {
    for (const { handle } of open) await handle.close();
  }
};

type Step = { handle: FileHandle; name: string; path: string };

/** Opens the folders of a path one from the other; returns the last name, or null for a folder that is open by now. */
const walk = async (root: string, path: string, open: Step[], makesFolders: boolean): Promise<string | null> => {
  const rest = partsOf(root, path);
  let links = 0;
  for (let part = rest.shift(); part !== undefined; part = rest.shift()) {
    if (part === '..') {
      if (open.length === 1) throw outside(path);
      await open.pop()?.handle.close();
      continue;
    }
    if (open.length === 1 && part === '.git') throw new NotInside('.git is git’s own; use git itself, by run');
    const above = open.at(-1) as Step;
    const at = `${pathOf(above)}/${part}`;
    const target = await readlink(at).catch(() => null);
    if (target !== null) {
      links += 1;
      if (links > linksMax) throw new NotInside(`${path} leads through too many links`);
      if (isAbsolute(target)) for (const { handle } of open.splice(1)) await handle.close();
      rest.unshift(...partsOf(root, target, path));
      continue;
    }
    if (rest.length === 0) return part;
    if (makesFolders) await mkdir(at).catch(() => undefined);
    open.push({ handle: await openFolder(at, path), name: part, path: join(above.path, part) });
  }
  return null;
};

/** The names of a path from the root of the clone; an absolute one has to begin with it. */
const partsOf = (root: string, path: string, said = path): string[] => {
  if (path.includes('\0')) throw new NotInside('a path cannot hold a zero byte');
  const local = isAbsolute(path) ? relative(root, join(path)) : path;
  if (isAbsolute(path) && (local === '..' || local.startsWith('../'))) throw outside(said);
  return local.split('/').filter((part) => part !== '' && part !== '.');
};

const outside = (path: string): NotInside =>
  new NotInside(`${path} leads out of the folder you work in; nothing outside it is read or written`);

const openFolder = (at: string, path = at): Promise<FileHandle> =>
  open(at, O_RDONLY | O_DIRECTORY | O_NOFOLLOW).catch(translate(path));

/** Only a plain file: a pipe would wait for ever. */
const openFile = async (at: string, flags: number, path: string): Promise<FileHandle> => {
  const file = await open(at, flags | O_NOFOLLOW | O_NONBLOCK, 0o666).catch(translate(path));
  if ((await file.stat()).isFile()) return file;
  await file.close();
  throw new NotInside(`${path} is not a file`);
};

/**
 * A folder that is open, whatever its path leads to by now (https://man7.org/linux/man-pages/man5/proc_pid_fd.5.html).
 * Other systems have only the path: there a link that is put in between at the right moment is not seen.
 */
const pathOf = ({ handle, path }: Pick<Step, 'handle' | 'path'>): string =>
  process.platform === 'linux' ? `/proc/self/fd/${handle.fd}` : path;

const entriesOf = async (folder: string): Promise<Found[]> => {
  const entries = await readdir(folder, { withFileTypes: true });
  return Promise.all(
    entries
      .sort((one, other) => (one.name < other.name ? -1 : 1))
      .map(async (entry) => {
        const kind = entry.isFile()
          ? 'file'
          : entry.isDirectory()
            ? 'folder'
            : entry.isSymbolicLink()
              ? 'link'
              : 'other';
        return { name: entry.name, kind, size: kind === 'file' ? await sizeOf(folder, entry.name) : 0 } as const;
      }),
  );
};

const sizeOf = async (folder: string, name: string): Promise<number> => {
  const file = await open(`${folder}/${name}`, O_RDONLY | O_NOFOLLOW | O_NONBLOCK).catch(() => null);
  const size = (await file?.stat().catch(() => null))?.size ?? 0;
  await file?.close();
  return size;
};

const translate =
  (path: string) =>
  (error: NodeJS.ErrnoException): never => {
    const says: Record<string, string> = {
      ENOENT: `${path} does not exist`,
      ENOTDIR: `a part of ${path} is not a folder`,
      EISDIR: `${path} is a folder`,
      ELOOP: `${path} is a link`,
      EACCES: `${path} may not be opened`,
      ENXIO: `${path} is not a file`,
    };
    throw new NotInside(says[error.code ?? ''] ?? `${path}: ${error.message}`);
  };
