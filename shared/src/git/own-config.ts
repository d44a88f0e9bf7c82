/**
 * A clone without its configuration: git works in it by settings of ours alone.
 *
 * What works in a clone can write its `.git/config`, and dozens of settings run programs (filters, drivers, promisor
 * remotes) or lead elsewhere (`url.….insteadOf`); as many more as git learns. So git is told that what clones have in
 * common lies in a folder of ours, whose configuration we write, and whose objects and refs are links to the clone's
 * (https://git-scm.com/docs/gitrepository-layout). Nobody can change it while git runs: it is made for one command.
 */
import { readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { makeScratch } from './scratch.ts';

export type OwnConfig = { env: Record<string, string>; forget(): Promise<void> };

/** What clones have in common, and git needs or makes. */
const shared = ['objects', 'refs', 'packed-refs', 'shallow', 'info', 'logs'];

/** Of what stands in the clone's own configuration, this says how its file system and its names are. */
const facts = ['filemode', 'symlinks', 'ignorecase', 'precomposeunicode'];

export const ownConfig = async (clone: string): Promise<OwnConfig> => {
  const theirs = join(clone, '.git');
  const text = await readFile(join(theirs, 'config'), 'utf8').catch(() => '');
  const folder = await makeScratch('config');
  await writeFile(join(folder, 'config'), configOf(text));
  for (const name of shared) await symlink(join(theirs, name), join(folder, name));
  return {
    env: { GIT_COMMON_DIR: folder },
    forget: () => rm(folder, { recursive: true, force: true }),
  };
};

const configOf = (theirs: string): string => {
  const isSha256 = /^\s*objectformat\s*=\s*sha256\s*$/im.test(theirs);
  const told = facts.flatMap((name) => {
    const value = new RegExp(`^\\s*${name}\\s*=\\s*(true|false)\\s*$`, 'im').exec(theirs)?.[1];
    return value === undefined ? [] : [`\t${name} = ${value}`];
  });
  const core = ['[core]', `\trepositoryformatversion = ${isSha256 ? 1 : 0}`, '\tbare = false', ...told];
  return [...core, ...(isSha256 ? ['[extensions]', '\tobjectformat = sha256'] : []), ''].join('\n');
};
