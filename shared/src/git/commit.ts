/** Commits of what an agent left behind: the last one of an attempt, and checkpoints while it is still at work. */
import { randomUUID } from 'node:crypto';
import { copyFile, mkdir, open, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { untrackedFiles } from './look.ts';
import { git, partsOf, runGit } from './run-git.ts';
import { type LeftOut, takeIn } from './take-in.ts';

export type Author = { name: string; email: string };
export type Committed = {
  /** Null when there was nothing to commit (and, with `since`, nothing was committed since). */
  commit: string | null;
  /** Paths that differ from `since`, or from the commit before. */
  changed: string[];
  /** What could not be taken in; absent where all of it was. */
  left?: LeftOut[];
};
type CommitOptions = { message: string; author: Author; since?: string | undefined; signal?: AbortSignal | undefined };

/** Files larger than this are not searched for conflict markers: no merge of text made them. */
const searchedBytesMax = 5_000_000;

/**
 * Commits everything in the folder (but what .gitignore and `.nexus/` exclude), concluding a merge in progress. With
 * `since` commits that the agent made itself count too: `commit` is then the head, `changed` what differs from
 * `since`. For when nobody else works in the folder any more.
 */
export const commitAll = async (folder: string, options: CommitOptions): Promise<Committed> => {
  const { message, author, signal } = options;
  const at = { clone: folder };
  // A program that was killed in the middle of `git add` or `git commit` leaves these behind.
  for (const lock of ['index.lock', 'HEAD.lock']) await rm(join(folder, '.git', lock), { force: true });
  await setNestedRepositoriesAside(folder, signal);
  const left = leftOf(await takeIn(folder, { signal }));
  const before = await git(['rev-parse', 'HEAD'], { at, signal });
  const staged = await changedBetween(folder, ['--cached', before], signal);
  if (staged.length > 0 || (await isMerging(folder))) {
    const args = ['commit', '--quiet', '--no-verify', '--allow-empty', '--allow-empty-message', '--file=-'];
    await git(args, { at, signal, input: message, env: authorOf(author) });
  }
  const head = await git(['rev-parse', 'HEAD'], { at, signal });
  const since = options.since ?? before;
  if (head === since) return { commit: null, changed: [], ...left };
  return { commit: head, changed: await changedBetween(folder, [since, head], signal), ...left };
};

/**
 * The same as a commit beside the agent's back: head, index and work tree stay as they are. For checkpoints, so larger
 * files than `fileBytesMax` may stay out.
 */
export const snapshot = async (
  folder: string,
  options: CommitOptions & { fileBytesMax?: number | undefined },
): Promise<Committed> => {
  const { message, author, signal, fileBytesMax } = options;
  const at = { clone: folder };
  const index = join(folder, '.git', `nexus-index-${randomUUID()}`);
  const env = { GIT_INDEX_FILE: index };
  try {
    // With what the agent's index knows of times and sizes, only changed files are read.
    await copyFile(join(folder, '.git', 'index'), index).catch(() => {});
    const left = leftOf(await takeIn(folder, { env, signal, fileBytesMax }));
    const tree = await git(['write-tree'], { at, signal, env });
    const [head = '', headTree] = (await git(['rev-parse', 'HEAD', 'HEAD^{tree}'], { at, signal })).split('\n');
    const since = options.since ?? head;
    const merging = await isMerging(folder);
    if (tree === headTree && !merging) {
      const changed = await changedBetween(folder, [since, head], signal);
      return { commit: head === since ? null : head, changed, ...left };
    }
    const merged = merging ? (await git(['rev-parse', 'MERGE_HEAD'], { at, signal })).split('\n') : [];
    const parents = [head, ...merged].flatMap((parent) => ['-p', parent]);
    const args = ['commit-tree', tree, ...parents, '-F', '-'];
    const commit = await git(args, { at, signal, input: message, env: authorOf(author) });
    return { commit, changed: await changedBetween(folder, [since, commit], signal), ...left };
  } finally {
    await rm(index, { force: true });
    await rm(`${index}.lock`, { force: true });
  }
};

const leftOf = (left: LeftOut[]): { left?: LeftOut[] } => (left.length > 0 ? { left } : {});

/**
 * The changed files (since HEAD, or `since`) that hold a whole conflict: all three markers, in order, at line
 * starts.
 */
export const conflictMarkers = async (folder: string, since = 'HEAD', signal?: AbortSignal): Promise<string[]> => {
  const added = await untrackedFiles(folder, { signal });
  const changed = await changedBetween(folder, ['--diff-filter=d', since], signal);
  const found: string[] = [];
  for (const path of new Set([...changed, ...added])) {
    if (hasConflict(await readText(join(folder, path)))) found.push(path);
  }
  return found.sort();
};

/**
 * https://git-scm.com/docs/git-merge#_how_conflicts_are_presented, with the lines of diff3 between if there are
 * any.
 */
const hasConflict = (text: string): boolean =>
  /^<{7} [^\n]*\n(?:(?!<{7} |={7}\r?$)[^\n]*\n)*={7}\r?\n(?:(?!<{7} |>{7} )[^\n]*\n)*>{7} /m.test(text);

const readText = async (path: string): Promise<string> => {
  try {
    await using file = await open(path);
    const { size } = await file.stat();
    if (size > searchedBytesMax) return '';
    const text = await file.readFile('utf8');
    return text.includes('\0') ? '' : text;
  } catch {
    // A link that leads nowhere, or a file that is gone already, holds no conflict.
    return '';
  }
};

/** Every path on its own, as names are what reports and gates compare. */
const changedBetween = async (
  folder: string,
  what: readonly string[],
  signal: AbortSignal | undefined,
): Promise<string[]> => {
  const args = [
    'diff',
    '--name-only',
    '-z',
    '--no-renames',
    '--no-ext-diff',
    '--ignore-submodules=dirty',
    ...what,
    '--',
  ];
  return [...new Set(partsOf((await runGit(args, { at: { clone: folder }, signal })).stdout))];
};

const isMerging = (folder: string): Promise<boolean> =>
  stat(join(folder, '.git', 'MERGE_HEAD')).then(
    () => true,
    () => false,
  );

const authorOf = ({ name, email }: Author): Record<string, string> => ({
  GIT_AUTHOR_NAME: name,
  GIT_AUTHOR_EMAIL: email,
});

/**
 * Generators of projects like to run `git init` in what they make. Committed so, git would keep a reference and no
 * files; so their `.git` is moved to `.nexus/`, and what they made is committed as what it is: files.
 */
const setNestedRepositoriesAside = async (folder: string, signal: AbortSignal | undefined): Promise<void> => {
  for (let depth = 0; depth < 8; depth += 1) {
    const nested = (await untrackedFiles(folder, { signal })).filter((path) => path.endsWith('/'));
    if (nested.length === 0) return;
    const aside = join(folder, '.nexus', 'set-aside');
    await mkdir(aside, { recursive: true });
    for (const path of nested) {
      await rename(join(folder, path, '.git'), join(aside, `${path.replaceAll('/', '-')}${randomUUID()}.git`));
    }
  }
};
