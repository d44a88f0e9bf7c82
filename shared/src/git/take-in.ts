/**
 * What a commit takes in of a folder: everything that git can hold and nothing excludes, and by name what it cannot.
 *
 * `git add --all` alone would keep a reference where an agent made a repository inside the folder, and give up at the
 * first file that cannot be read. So such a repository comes in as the files it holds, and whatever stays out is
 * said: nothing that an agent left is silently missing.
 */
import { constants } from 'node:fs';
import { access, lstat, readdir, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { untrackedFiles } from './look.ts';
import { type GitOptions, git, partsOf, runGit } from './run-git.ts';

/** A path that stayed out, and why: part of a sentence. */
export type LeftOut = { path: string; why: string };

type How = { env?: Readonly<Record<string, string>> | undefined; signal?: AbortSignal | undefined };

/** How many levels of repositories in repositories are looked into. */
const depthMax = 8;

/**
 * Puts all of the folder into the index (that of `env`, else its own). Files above `fileBytesMax`, files that cannot be
 * read, names that git refuses and work inside submodules stay out and are returned.
 */
export const takeIn = async (
  folder: string,
  how: How & { fileBytesMax?: number | undefined } = {},
): Promise<LeftOut[]> => {
  const { env, signal, fileBytesMax = Number.POSITIVE_INFINITY } = how;
  const at: Pick<GitOptions, 'at' | 'env' | 'signal'> = { at: { clone: folder }, env, signal };
  const untracked = await untrackedFiles(folder, { signal });
  const nested = untracked.filter((path) => path.endsWith('/'));
  const changed = await changedEntries(at);
  const left: LeftOut[] = changed
    .filter(({ isSubmodule }) => isSubmodule)
    .map(({ path }) => ({ path, why: 'a submodule with changes of its own' }));
  const plain = [...untracked, ...changed.filter(({ isSubmodule }) => !isSubmodule).map(({ path }) => path)];
  left.push(
    ...(await unfit(
      folder,
      plain.filter((path) => !path.endsWith('/')),
      fileBytesMax,
    )),
  );
  left.push(...(await add(at, [...nested, ...left.map(({ path }) => path)])));
  const files = (await Promise.all(nested.map((path) => filesOf(folder, path, signal)))).flat();
  const unfitFiles = await unfit(folder, files, fileBytesMax);
  const out = new Set(unfitFiles.map(({ path }) => path));
  await addFiles(
    folder,
    files.filter((path) => !out.has(path)),
    at,
  );
  return [...left, ...unfitFiles];
};

/** Tracked paths that differ from the index: https://git-scm.com/docs/git-diff-files#_raw_output_format */
const changedEntries = async (
  at: Pick<GitOptions, 'at' | 'env' | 'signal'>,
): Promise<{ path: string; isSubmodule: boolean }[]> => {
  const args = ['diff-files', '--raw', '-z', '--no-renames', '--ignore-submodules=none'];
  const fields = partsOf((await runGit(args, at)).stdout);
  const entries: { path: string; isSubmodule: boolean }[] = [];
  for (let index = 0; index + 1 < fields.length; index += 2) {
    const [before, after] = (fields[index] ?? '').slice(1).split(' ');
    entries.push({ path: fields[index + 1] ?? '', isSubmodule: before === '160000' && after === '160000' });
  }
  return entries;
};

/** Those of the paths that are there and must stay out. */
const unfit = async (folder: string, paths: readonly string[], fileBytesMax: number): Promise<LeftOut[]> => {
  const looked = await Promise.all(
    paths.map(async (path): Promise<LeftOut | null> => {
      const found = await lstat(join(folder, path)).catch(() => null);
      if (!found?.isFile()) return null;
      if (found.size > fileBytesMax) return { path, why: `${Math.ceil(found.size / 1e6)} MB, more than is saved` };
      const readable = await access(join(folder, path), constants.R_OK).then(
        () => true,
        () => false,
      );
      return readable ? null : { path, why: 'it cannot be read' };
    }),
  );
  return looked.filter((one) => one !== null);
};

const add = async (at: Pick<GitOptions, 'at' | 'env' | 'signal'>, without: readonly string[]): Promise<LeftOut[]> => {
  const patterns = ['.', ...without.map((path) => `:(exclude,top,literal)${path.replace(/\/$/, '')}`)];
  const args = ['add', '--all', '--ignore-errors', '--pathspec-from-file=-', '--pathspec-file-nul'];
  const result = await runGit(args, { ...at, input: `${patterns.join('\0')}\0`, answers: [0, 1] });
  if (result.exitCode === 0) return [];
  const refused = [...result.stderr.matchAll(/^error: (?:unable to (?:add|index)(?: file)?|open\() ?[`'"](.+?)['"]/gm)];
  const paths = [...new Set(refused.map(([, path = '']) => path))];
  return (paths.length > 0 ? paths : ['(a path that git does not name)']).map((path) => ({
    path,
    why: 'git cannot take it in',
  }));
};

/** The files of a repository inside the folder, as paths of the folder; what it ignores itself stays out. */
const filesOf = async (folder: string, path: string, signal: AbortSignal | undefined, depth = 0): Promise<string[]> => {
  const inside = join(folder, path);
  const args = ['ls-files', '--cached', '--others', '--exclude-standard', '-z'];
  const listed = await runGit(args, { at: { clone: inside }, signal, answers: [0, 128] });
  const names = listed.exitCode === 0 ? partsOf(listed.stdout) : await everyFile(inside);
  const found = await Promise.all(
    [...new Set(names)].map((name) => {
      if (!name.endsWith('/')) return [`${path}${name}`];
      return depth < depthMax ? filesOf(folder, `${path}${name}`, signal, depth + 1) : [];
    }),
  );
  return found.flat();
};

/** For a repository that is broken. */
const everyFile = async (folder: string): Promise<string[]> => {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => !entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length).replace(/^\//, ''))
    .filter((name) => !/(^|\/)\.git(\/|$)/.test(name));
};

/** Files one by one, since git adds nothing of a folder that is a repository itself. */
const addFiles = async (
  folder: string,
  paths: readonly string[],
  at: Pick<GitOptions, 'at' | 'env' | 'signal'>,
): Promise<void> => {
  const rows: string[] = [];
  const regular: { path: string; mode: string }[] = [];
  for (const path of paths) {
    const found = await lstat(join(folder, path)).catch(() => null);
    if (found?.isSymbolicLink()) {
      const input = await readlink(join(folder, path));
      rows.push(`120000 ${await git(['hash-object', '-w', '--stdin'], { ...at, input })}\t${path}`);
    } else if (found?.isFile() && !path.includes('\n')) {
      regular.push({ path, mode: found.mode & 0o111 ? '100755' : '100644' });
    }
  }
  if (regular.length > 0) {
    const input = `${regular.map(({ path }) => path).join('\n')}\n`;
    const names = (await git(['hash-object', '-w', '--no-filters', '--stdin-paths'], { ...at, input })).split('\n');
    rows.push(...regular.map(({ path, mode }, index) => `${mode} ${names[index]}\t${path}`));
  }
  if (rows.length === 0) return;
  await git(['update-index', '--add', '-z', '--index-info'], { ...at, input: `${rows.join('\0')}\0` });
};
