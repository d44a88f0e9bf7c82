/** Files that hosts would refuse: those above a size, in what a clone adds to the commit that it began from. */
import { lstat } from 'node:fs/promises';
import { join } from 'node:path';
import { untrackedFiles } from './look.ts';
import { git, partsOf, runGit } from './run-git.ts';

export type LargeFile = { path: string; bytes: number };

type Found = LargeFile & { blob: string };

type Look = { since: string; bytesMax: number; signal?: AbortSignal | undefined };

/**
 * What lies in the folder, or in a commit of its own since then, and is larger than `bytesMax`; also what a later
 * commit took away again, since a push carries it all the same. What was too large at `since` already may stay so,
 * and may be moved or copied: hosts have it.
 */
export const largeFiles = async (folder: string, look: Look): Promise<LargeFile[]> => {
  const found = [...(await lyingIn(folder, look)), ...(await committedIn(folder, look))];
  if (found.length === 0) return [];
  const before = await largeBefore(folder, look);
  const large = new Map<string, number>();
  for (const { path, bytes, blob } of found) {
    if (!before.paths.has(path) && !before.blobs.has(blob)) large.set(path, bytes);
  }
  return [...large].map(([path, bytes]) => ({ path, bytes }));
};

/** What was too large already: where it lay, and what it was. */
const largeBefore = async (folder: string, { since, bytesMax, signal }: Look) => {
  const listed = (await runGit(['ls-tree', '-r', '-l', '-z', since], { at: { clone: folder }, signal })).stdout;
  const before = { paths: new Set<string>(), blobs: new Set<string>() };
  for (const entry of partsOf(listed)) {
    const [about = '', path = ''] = [entry.split('\t', 1)[0], entry.slice(entry.indexOf('\t') + 1)];
    const [, , blob = '', size] = about.split(/\s+/);
    if (!(Number(size) > bytesMax)) continue;
    before.paths.add(path);
    before.blobs.add(blob);
  }
  return before;
};

/** Takes back what the agent committed; its files stay as they are. */
export const uncommit = async (folder: string, to: string): Promise<void> => {
  await git(['reset', '--quiet', '--mixed', to], { at: { clone: folder } });
};

const lyingIn = async (folder: string, { since, bytesMax, signal }: Look): Promise<Found[]> => {
  const args = ['diff', '--name-only', '-z', '--no-renames', '--no-ext-diff', '--diff-filter=d', since, '--'];
  const changed = partsOf((await runGit(args, { at: { clone: folder }, signal })).stdout);
  const found: Found[] = [];
  for (const path of new Set([...changed, ...(await untrackedFiles(folder, { signal }))])) {
    const about = await lstat(join(folder, path)).catch(() => null);
    if (!about?.isFile() || about.size <= bytesMax) continue;
    const blob = await git(['hash-object', '--', path], { at: { clone: folder }, signal });
    found.push({ path, bytes: about.size, blob });
  }
  return found;
};

const committedIn = async (folder: string, { since, bytesMax, signal }: Look): Promise<Found[]> => {
  const at = { clone: folder };
  const range = ['HEAD', `^${since}`];
  const filter = [`--filter=blob:limit=${bytesMax + 1}`, '--filter-print-omitted'];
  const listed = await git(['rev-list', '--objects', ...filter, ...range], { at, signal });
  const large = new Set(listed.split('\n').flatMap((line) => (line.startsWith('~') ? [line.slice(1)] : [])));
  if (large.size === 0) return [];
  const named = await git(['rev-list', '--objects', ...range], { at, signal });
  const found: Found[] = [];
  for (const line of named.split('\n')) {
    const [object = '', path = ''] = [line.split(' ', 1)[0], line.slice(line.indexOf(' ') + 1)];
    if (!large.has(object)) continue;
    found.push({ path, bytes: Number(await git(['cat-file', '-s', object], { at, signal })), blob: object });
  }
  return found;
};
