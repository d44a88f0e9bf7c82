/**
 * What stays out of the commits of a clone, beside what the project's own .gitignore names.
 *
 * What a package manager puts there is never work. What set-up made is not the agent's work, as long as the agent
 * leaves it alone: files that set-up left untracked are kept out one by one, and the first change lets one in.
 */
import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { untrackedFiles } from '@nexus/shared/git';

type Made = { path: string; size: number; changedAt: number };

/** What may lie in a clone, yet is never work. */
const neverWork = ['node_modules/', '.venv/', '__pycache__/'];

/** Above this, whole folders are kept out instead of files: git compares every pattern with every path. */
const filesMax = 2000;

/** Keeps out what is never work. What git already tracks stays tracked. */
export const excludeFor = (folder: string): Promise<void> =>
  changeExcluded(folder, (lines) => [...lines, ...neverWork]);

/** Keeps out what lies untracked in the clone now: called after set-up, before the agent. */
export const keepOut = async (folder: string): Promise<void> => {
  const files = await untracked(folder, false);
  if (files.length > filesMax) {
    const folders = await untracked(folder, true);
    return changeExcluded(folder, (lines) => [...lines, ...folders.map(patternOf)]);
  }
  const made = (await Promise.all(files.map((path) => look(folder, path)))).filter((one) => one !== null);
  await writeFile(recordOf(folder), JSON.stringify(made));
  return changeExcluded(folder, (lines) => [...lines, ...made.map(({ path }) => patternOf(path))]);
};

/** Lets in what was changed since: called before every commit. */
export const letIn = async (folder: string): Promise<void> => {
  const text = await readFile(recordOf(folder), 'utf8').catch(() => '[]');
  const made = JSON.parse(text) as Made[];
  const now = await Promise.all(made.map(({ path }) => look(folder, path)));
  const isChanged = (one: Made, at: number) => now[at] && JSON.stringify(now[at]) !== JSON.stringify(one);
  const changed = made.filter(isChanged);
  if (changed.length === 0) return;
  const patterns = new Set(changed.map(({ path }) => patternOf(path)));
  await changeExcluded(folder, (lines) => lines.filter((line) => !patterns.has(line)));
  await writeFile(recordOf(folder), JSON.stringify(made.filter((one) => !changed.includes(one))));
};

/** What lies in a clone that the project's own .gitignore names, whole folders as one. */
export const ignoredFiles = async (folder: string): Promise<string[]> =>
  (await untrackedFiles(folder, { folders: true, ignored: true })).filter(
    (path) => !neverWork.some((name) => path.endsWith(name)),
  );

const recordOf = (folder: string): string => join(folder, '.git', 'nexus-set-up.json');

const look = async (folder: string, path: string): Promise<Made | null> => {
  const found = await stat(join(folder, path)).catch(() => null);
  return found && { path, size: found.size, changedAt: found.mtimeMs };
};

/** A pattern is a line, so a name with a line end in it cannot be one. */
const untracked = async (folder: string, folders: boolean): Promise<string[]> =>
  (await untrackedFiles(folder, { folders })).filter((path) => !path.includes('\n'));

/** https://git-scm.com/docs/gitignore: anchored, and taken literally. */
const patternOf = (path: string): string => `/${path.replaceAll(/[\\*?[\]!# ]/g, '\\$&')}`;

const changeExcluded = async (folder: string, change: (lines: string[]) => string[]): Promise<void> => {
  const file = join(folder, '.git', 'info', 'exclude');
  const before = await readFile(file, 'utf8').catch(() => '');
  await mkdir(dirname(file), { recursive: true });
  const lines = before.split('\n').filter((line) => line !== '');
  await writeFile(file, `${change(lines).join('\n')}\n`);
};
