/**
 * Where a fleet keeps hubs, clones, logs and caches when NEXUS_HOME does not say so: outside of every installation.
 *
 * Node looks for packages in all folders above a file, and npm puts `node_modules/.bin` of all folders above into the
 * search path. Clones below our own checkout would find our packages, our Node and our compiler, and a repository
 * that forgot to declare a package would pass its checks here and fail everywhere else.
 */
import { createHash } from 'node:crypto';
import { accessSync, constants, existsSync, realpathSync, statSync } from 'node:fs';
import { homedir, tmpdir, userInfo } from 'node:os';
import { dirname, isAbsolute, join, resolve, sep } from 'node:path';
import { fail } from '@nexus/shared/errors';

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * `${XDG_STATE_HOME:-~/.local/state}/nexus/<short hash of the installation's folder>`: every checkout has its own. In
 * the folder for temporary files where neither of both can be written; `makeshiftWarning` says what that means.
 */
export const defaultHome = (environment: Environment, installation: string = ours): string => {
  const own = createHash('sha256').update(installation).digest('hex').slice(0, 8);
  const person = environment.HOME || homedir();
  const state = environment.XDG_STATE_HOME ?? '';
  // A relative XDG_STATE_HOME counts as none: so its specification says.
  const wanted = [
    ...(isAbsolute(state) ? [state] : []),
    ...(isAbsolute(person) && existsSync(person) ? [join(person, '.local', 'state')] : []),
  ];
  const parent = wanted.map((folder) => join(folder, 'nexus')).find((folder) => canBeMade(join(folder, own)));
  return join(parent ?? makeshift(), own);
};

/** What is to be said of a home that lies among temporary files; null of any other. */
export const makeshiftWarning = (home: string): string | null =>
  resolve(home).startsWith(`${makeshift()}${sep}`)
    ? `Neither XDG_STATE_HOME nor HOME can be written, so everything is kept in ${home}, which may not outlive a ` +
      'restart of this machine. Set NEXUS_HOME to keep it.'
    : null;

/** The nearest `node_modules` beside or above what lies in this folder, links followed; null if there is none. */
export const modulesAbove = (home: string): string | null => {
  for (let folder = realOf(resolve(home)); ; folder = dirname(folder)) {
    const modules = join(folder, 'node_modules');
    if (existsSync(modules)) return modules;
    if (folder === dirname(folder)) return null;
  }
};

/** Throws `HOME_BELOW_MODULES` where clones in this home would find packages that are not theirs. */
export const demandApart = (home: string): void => {
  const modules = modulesAbove(home);
  if (modules !== null) throw fail('HOME_BELOW_MODULES', { home, modules });
};

/** A folder of one's own: others of this machine have theirs. */
const makeshift = (): string => join(tmpdir(), `nexus-${process.getuid?.() ?? userInfo().username}`);

/** True where the folder exists and can be written, or can be made. */
const canBeMade = (folder: string): boolean => {
  const nearest = nearestOf(folder);
  try {
    accessSync(nearest, constants.W_OK | constants.X_OK);
    return statSync(nearest).isDirectory();
  } catch {
    return false;
  }
};

/** The path without links, as far as it exists. */
const realOf = (path: string): string => {
  const nearest = nearestOf(path);
  return join(realpathSync(nearest), path.slice(nearest.length));
};

const nearestOf = (path: string): string =>
  existsSync(path) || path === dirname(path) ? path : nearestOf(dirname(path));

const ours = resolve(import.meta.dirname, '../../..');
