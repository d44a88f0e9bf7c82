/** Files that hosts would refuse: those above a size, in what a clone adds to the commit that it began from. */
import { lstat } from 'node:fs/promises';
import { join } from 'node:path';
import { untrackedFiles } from './look.ts';
import { git, partsOf, runGit } from './run-git.ts';

export type LargeFile = { path: string; bytes: number };

type Look = { since: string; bytesMax: number; signal?: AbortSignal | undefined };

/**
 * What lies in the folder, or in a commit of its own since then, and is larger than `bytesMax`; also what a later
 * commit took away again, since a push carries it all the same. What was too large at `since` already may stay so.
 */
export const largeFiles = async (folder: string, look: Look): Promise<LargeFile[]> => {
  const found = new Map([...(await lyingIn(folder, look)), ...(await committedIn(folder, look))]);
  const large: LargeFile[] = [];
  for (const [path, bytes] of found) {
    const before = await git(['ls-tree', '-l', look.since, '--', path], { at: { clone: folder }, signal: look.signal });
    const size = Number(before.split('\t')[0]?.split(/\s+/)[3] ?? 0);
    if (!(size > look.bytesMax)) large.push({ path, bytes });
  }
  return large;
};

/** Takes back what the agent committed; its files stay as they are. */
export const uncommit = async (folder: string, to: string): Promise<void> => {
  await git(['reset', '--quiet', '--mixed', to], { at: { clone: folder } });
};

const lyingIn = async (folder: string, { since, bytesMax, signal }: Look): Promise<[string, number][]> => {
  const args = ['diff', '--name-only', '-z', '--no-renames', '--no-ext-diff', '--diff-filter=d', since, '--'];
  const changed = partsOf((await runGit(args, { at: { clone: folder }, signal })).stdout);
  const sizes: [string, number][] = [];
  for (const path of new Set([...changed, ...(await untrackedFiles(folder, { signal }))])) {
    const about = await lstat(join(folder, path)).catch(() => null);
    if (about?.isFile() && about.size > bytesMax) sizes.push([path, about.size]);
  }
  return sizes;
};

const committedIn = async (folder: string, { since, bytesMax, signal }: Look): Promise<[string, number][]> => {
  const at = { clone: folder };
  const range = ['HEAD', `^${since}`];
  const filter = [`--filter=blob:limit=${bytesMax + 1}`, '--filter-print-omitted'];
  const listed = await git(['rev-list', '--objects', ...filter, ...range], { at, signal });
  const large = new Set(listed.split('\n').flatMap((line) => (line.startsWith('~') ? [line.slice(1)] : [])));
  if (large.size === 0) return [];
  const named = await git(['rev-list', '--objects', ...range], { at, signal });
  const sizes: [string, number][] = [];
  for (const line of named.split('\n')) {
    const [object = '', path = ''] = [line.split(' ', 1)[0], line.slice(line.indexOf(' ') + 1)];
    if (large.has(object)) sizes.push([path, Number(await git(['cat-file', '-s', object], { at, signal }))]);
  }
  return sizes;
};
