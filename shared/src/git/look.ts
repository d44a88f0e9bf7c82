/** Looking at what is there: refs, heads, differences, files. */
import { isFailure } from '@nexus/shared/errors';
import { isUrl } from './refs.ts';
import { git, type Place, partsOf, runGit } from './run-git.ts';
import { isScratch } from './scratch.ts';

export type RefEntry = { ref: string; commit: string };
/** A file that differs between two commits; one that was moved is changed, under its new name. */
export type Change = { path: string; how: 'added' | 'changed' | 'deleted' };
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

/** The files that differ between two commits of a clone or a hub folder, and how. */
export const changesBetween = async (
  where: string,
  from: string,
  to: string,
  signal?: AbortSignal,
): Promise<Change[]> => {
  const args = ['diff', '--name-status', '-z', '-M', '--no-ext-diff', from, to, '--'];
  const fields = partsOf((await runGit(args, { at: placeOf(where), signal })).stdout);
  const changes: Change[] = [];
  while (fields.length > 1) {
    const status = fields.shift() ?? '';
    if (/^[RC]/.test(status)) fields.shift();
    changes.push({ path: fields.shift() ?? '', how: hows[status.charAt(0)] ?? 'changed' });
  }
  return changes;
};

const hows: Record<string, Change['how']> = { A: 'added', D: 'deleted' };

/** The difference between two commits of a clone or a hub folder as a patch: its first `bytesMax`. */
export const patchBetween = async (
  where: string,
  from: string,
  to: string,
  options: { bytesMax: number; signal?: AbortSignal | undefined },
): Promise<string> => {
  const args = ['diff', '--no-color', '--no-ext-diff', '--no-textconv', from, to, '--'];
  const { bytesMax: outputBytesMax, signal } = options;
  return (await runGit(args, { at: placeOf(where), outputBytesMax, signal })).stdout;
};

/** The text of a file (its first `bytesMax`, default 16 MB) at a commit or ref of a clone or a hub folder, or null. */
export const readFileAt = async (
  where: string,
  commit: string,
  path: string,
  options: { bytesMax?: number | undefined; signal?: AbortSignal | undefined } = {},
): Promise<string | null> => {
  const { bytesMax: outputBytesMax = 16_000_000, signal } = options;
  const args = ['cat-file', 'blob', `${commit}:${path}`];
  const result = await runGit(args, { at: placeOf(where), signal, outputBytesMax, answers: [0, 128] });
  return result.exitCode === 128 ? null : result.stdout;
};

/** The tracked files of a clone. */
export const trackedFiles = async (folder: string, signal?: AbortSignal): Promise<string[]> =>
  partsOf(await git(['ls-files', '-z'], { at: { clone: folder }, signal }));

/**
 * The files of a clone that are neither tracked nor excluded. A repository inside it is one path that ends in `/`; with
 * `folders` so is every folder in which nothing is tracked. With `ignored`: those that a .gitignore names instead, or
 * with `all` also those that the clone itself excludes.
 */
export const untrackedFiles = async (
  folder: string,
  options: { folders?: boolean; ignored?: boolean | 'all'; signal?: AbortSignal | undefined } = {},
): Promise<string[]> => {
  const by = options.ignored === true ? '--exclude-per-directory=.gitignore' : '--exclude-standard';
  const which = options.ignored ? ['--ignored', by] : [by];
  const args = ['ls-files', '--others', ...which, '-z', ...(options.folders ? ['--directory'] : [])];
  return partsOf(await git(args, { at: { clone: folder }, signal: options.signal }));
};

/** Looking through a large repository takes a while. */
const wholeMs = 300_000;

/** Whether git can still use a clone: all that its heads name is there. */
export const isWhole = async (folder: string): Promise<boolean> => {
  const look = ['fsck', '--connectivity-only', '--no-dangling', '--no-progress'];
  try {
    await git(look, { at: { clone: folder }, timeoutMs: wholeMs });
    return true;
  } catch (thrown) {
    if (isFailure(thrown, 'GIT_FAILED')) return false;
    throw thrown;
  }
};

export type TreeState = {
  /** The tree of its commit. */
  tree: string;
  /** Tracked files. */
  files: string[];
  /** A tracked file differs from it. */
  changed: boolean;
  /** What lies beside tracked files, ignored or not: whole folders end in `/`. `.nexus/` is ours. */
  beside: string[];
};

/** How a clone differs from the commit that it stands on. */
export const stateOfTree = async (folder: string, signal?: AbortSignal): Promise<TreeState> => {
  const at = { clone: folder };
  const [tree, files, changed, others] = await Promise.all([
    git(['rev-parse', '--verify', 'HEAD^{tree}'], { at, signal }),
    trackedFiles(folder, signal),
    git(['status', '--porcelain', '--untracked-files=no'], { at, signal }),
    git(['ls-files', '--others', '--directory', '--no-empty-directory', '-z'], { at, signal }),
  ]);
  const beside = partsOf(others).filter((path) => path !== '.nexus/');
  return { tree, files, changed: changed !== '', beside };
};

/** A hub or a clone, by its name: what lies in a clone is the agent's to say. */
export const placeOf = (folder: string): Place =>
  folder.endsWith('.git') || isScratch(folder) ? { bare: folder } : { clone: folder };

const entriesOf = (lines: string): RefEntry[] =>
  lines
    .split('\n')
    .filter((line) => line.includes('\t'))
    .map((line) => line.split('\t'))
    .map(([commit = '', ref = '']) => ({ commit, ref }));
