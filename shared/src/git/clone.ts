/**
 * Private clones (rule 26): copies of all objects, neither alternates nor hard links. So nothing that happens elsewhere
 * can break one, and nothing that is done in one, down to its object files, reaches the hub or another.
 */
import { mkdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { isFailure } from '@nexus/shared/errors';
import { isUrl, located } from './refs.ts';
import { fetching, git, initialise, nexusIdentity, runGit } from './run-git.ts';

export type Workspace = { folder: string; commit: string };

type CloneOptions = {
  hub: string;
  folder: string;
  commit: string;
  mirror?: string | undefined;
  signal?: AbortSignal | undefined;
};

/**
 * Makes a private clone of the hub in `folder` (which must not exist), detached at `commit`, wherever in the hub that
 * commit lies. Files are copied from a hub or `mirror` on this machine. `.nexus/` is excluded, hooks are off, an
 * identity is set, no remote is left. With `mirror` (a bare repository on this machine, made if absent) the
 * hub is asked only for what the mirror lacks. Throws `GIT_FAILED`; then the folder is gone again.
 */
export const cloneAt = async (options: CloneOptions): Promise<Workspace> => {
  const { hub, commit, mirror, signal } = options;
  const folder = resolve(options.folder);
  await mkdir(dirname(folder), { recursive: true });
  // Only what this call makes may be removed by it.
  await mkdir(folder);
  try {
    if (mirror) await refreshMirror(mirror, hub, commit, signal);
    const source = mirror ?? hub;
    if (isUrl(source)) await initialise(folder, 'clone', commit);
    else await copyFrom(source, folder, commit, signal);
    await settle(folder);
    await checkOut(folder, source, commit, signal);
    return { folder, commit };
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
};

/** Brings commits that a clone lacks from the hub into it; does nothing for those that it has. */
export const fetchCommits = async (options: {
  folder: string;
  hub: string;
  commits: string[];
  signal?: AbortSignal | undefined;
}): Promise<void> => {
  const { folder, hub, commits, signal } = options;
  const at = { clone: folder };
  const input = `${commits.join('\n')}\n`;
  const found = await git(['cat-file', '--batch-check=%(objectname) %(objecttype)'], { at, input, signal });
  const missing = commits.filter((commit) => !found.includes(`${commit} commit`));
  if (missing.length > 0) await fetchInto(at, hub, missing, signal);
};

/**
 * `clone --local` takes the whole folder of objects, so also what only `refs/nexus/` names. It fails if a push beside
 * it moves its temporary files away under its hands; then it is tried again, and at last copied by transport.
 */
const copyFrom = async (
  source: string,
  folder: string,
  commit: string,
  signal: AbortSignal | undefined,
): Promise<void> => {
  const args = ['clone', '--quiet', '--no-tags', '--no-checkout', '--template='];
  // What shares an inode with the hub is written to through every one of its names, whatever its mode says.
  const whole = ['--local', '--no-hardlinks'];
  const at = { nowhere: dirname(folder) };
  // Without branches in the source git 2.39 does not see which kind of names it has.
  const env = commit.length === 64 ? { GIT_DEFAULT_HASH: 'sha256' } : {};
  for (let attempt = 1; attempt <= 3; attempt += 1) {
    try {
      await git([...args, ...whole, '--', located(source), folder], { at, signal, env });
      return;
    } catch (error) {
      if (!isFailure(error, 'GIT_FAILED')) throw error;
      await rm(folder, { recursive: true, force: true });
      await mkdir(folder);
    }
  }
  await git([...args, '--no-local', '--', located(source), folder], { at, signal, env });
};

/** Writes what a clone must know, and takes away the remote: what a worker pushes, it pushes by the hub's location. */
const settle = async (folder: string): Promise<void> => {
  const configFile = join(folder, '.git', 'config');
  const made = (await readFile(configFile, 'utf8')).replaceAll(/^\[(remote|branch) [^\n]*\n(?:[ \t][^\n]*\n)*/gm, '');
  const ours = [
    `[user]\n\tname = ${nexusIdentity.name}\n\temail = ${nexusIdentity.email}`,
    '[core]\n\thooksPath = /dev/null\n\tquotePath = false',
    '[commit]\n\tgpgSign = false',
    '[gc]\n\tauto = 0',
    '[maintenance]\n\tauto = false',
    '[advice]\n\tdetachedHead = false',
    '',
  ];
  await writeFile(configFile, `${made}${ours.join('\n')}`);
  await mkdir(join(folder, '.git', 'info'), { recursive: true });
  await writeFile(join(folder, '.git', 'info', 'exclude'), '.nexus/\n');
};

const checkOut = async (
  folder: string,
  source: string,
  commit: string,
  signal: AbortSignal | undefined,
): Promise<void> => {
  const at = { clone: folder };
  const args = ['checkout', '--quiet', '--force', '--detach', commit];
  const first = await runGit(args, { at, signal, answers: [0, 1, 128] });
  if (first.exitCode === 0) return;
  // A shallow source, or one behind a URL, was not copied as a whole.
  await fetchInto(at, source, [commit], signal);
  await git(args, { at, signal });
};

const fetchInto = (
  at: { clone: string } | { bare: string },
  hub: string,
  commits: string[],
  signal: AbortSignal | undefined,
): Promise<string> => git([...fetching, '--', located(hub), ...commits], { at, signal });

/**
 * The mirror is made beside and renamed, so a crash or a second worker leaves no half one. Its refs keep what was
 * fetched.
 */
const refreshMirror = async (
  mirror: string,
  hub: string,
  commit: string,
  signal: AbortSignal | undefined,
): Promise<void> => {
  if (!(await exists(join(mirror, 'HEAD')))) {
    const making = `${mirror}.making-${process.pid}-${Math.random().toString(36).slice(2)}`;
    await mkdir(dirname(mirror), { recursive: true });
    await initialise(making, 'bare', commit);
    await rename(making, mirror).catch(() => rm(making, { recursive: true, force: true }));
  }
  const at = { bare: mirror };
  const known = await runGit(['cat-file', '-e', `${commit}^{commit}`], { at, signal, answers: [0, 1, 128] });
  if (known.exitCode !== 0) await fetchInto(at, hub, [`${commit}:refs/mirror/${commit}`], signal);
};

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );
