/** Looking at what is there: refs, heads, differences. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { isUrl } from './refs.ts';
import { git, type Place, partsOf, runGit } from './run-git.ts';

export type RefEntry = { ref: string; commit: string };
export type DiffStat = {
  files: { path: string; added: number; removed: number }[];
  added: number;
  removed: number;
};

/** The refs of a hub (folder or URL) below a prefix, such as `refs/nexus/<task>/wip/`, by name. */
export const listRefs = async (hub: string, prefix: string, signal?: AbortSignal): Promise<RefEntry[]> => {
  if (isUrl(hub)) {
    const lines = await git(['ls-remote', '--refs', '--', hub, `${prefix}*`], { at: { nowhere: '/' }, signal });
    return entriesOf(lines).filter(({ ref }) => ref.startsWith(prefix));
  }
  const format = '--format=%(objectname)%09%(refname)';
  const lines = await git(['for-each-ref', format], { at: { bare: hub }, signal });
  return entriesOf(lines).filter(({ ref }) => ref.startsWith(prefix));
};

/** The commit of one ref of a hub (folder or URL), or null. */
export const readRef = async (hub: string, ref: string, signal?: AbortSignal): Promise<string | null> =>
  (await readRefs(hub, [ref], signal)).get(ref) ?? null;

/** The commits of several refs by one command; those that do not exist are absent. */
export const readRefs = async (
  hub: string,
  names: readonly string[],
  signal?: AbortSignal,
): Promise<Map<string, string>> => {
  const lines = isUrl(hub)
    ? await git(['ls-remote', '--', hub, ...names], { at: { nowhere: '/' }, signal })
    : await git(['for-each-ref', '--format=%(objectname)%09%(refname)', ...names], { at: { bare: hub }, signal });
  return new Map(
    entriesOf(lines)
      .filter(({ ref }) => names.includes(ref))
      .map(({ ref, commit }) => [ref, commit]),
  );
};

/** The commit that a clone stands on. */
export const headOf = (folder: string, signal?: AbortSignal): Promise<string> =>
  git(['rev-parse', '--verify', 'HEAD^{commit}'], { at: { clone: folder }, signal });

/** Files and lines that differ between two commits of a clone or a hub folder; binary files count 0 lines. */
export const diffStat = async (where: string, from: string, to: string, signal?: AbortSignal): Promise<DiffStat> => {
  const args = ['diff-tree', '-r', '-z', '--numstat', '--no-renames', from, to];
  const { stdout } = await runGit(args, { at: placeOf(where), signal });
  const files = partsOf(stdout).map((part) => {
    const [added = '', removed = '', ...path] = part.split('\t');
    return { path: path.join('\t'), added: Number(added) || 0, removed: Number(removed) || 0 };
  });
  const sum = (key: 'added' | 'removed') => files.reduce((total, file) => total + file[key], 0);
  return { files, added: sum('added'), removed: sum('removed') };
};

/** A folder is a clone if it has a `.git`, else a bare repository. */
export const placeOf = (folder: string): Place =>
  existsSync(join(folder, '.git')) ? { clone: folder } : { bare: folder };

const entriesOf = (lines: string): RefEntry[] =>
  lines
    .split('\n')
    .filter((line) => line.includes('\t'))
    .map((line) => line.split('\t'))
    .map(([commit = '', ref = '']) => ({ commit, ref }));
