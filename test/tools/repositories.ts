/** What the tests of git share: temporary folders, hubs, clones, and repositories as people have them. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { cloneAt, commitAll, createHub, pushRef, refs } from '@nexus/shared/git';
import { afterAll } from 'vitest';

/** A folder of this test file, gone when it ends. */
export const root = realpathSync(mkdtempSync(join(tmpdir(), 'nexus-git-test-')));
afterAll(() => rmSync(root, { recursive: true, force: true }));

export const author = { name: 'Aria', email: 'aria@nexus.local' };
export const task = 'a-task-123456';
export const names = refs(task);
export const branch = `nexus/${task}`;

let count = 0;
/** A path that nobody used yet. */
export const fresh = (name: string): string => join(root, `${count++}`, name);

/** Git as a person calls it. */
export const plain = (folder: string, ...args: string[]): string =>
  execFileSync('git', ['-C', folder, '-c', 'user.name=P', '-c', 'user.email=p@p', ...args], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  }).trim();

export const write = (folder: string, files: Record<string, string>): void => {
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  }
};

/** A hub whose integration holds these files, made without a person's repository. */
export const hubWith = async (files: Record<string, string>): Promise<{ hub: string; base: string }> => {
  const hub = fresh(`${task}.git`);
  const { baseCommit } = await createHub({ hub, repository: null, base: null });
  if (Object.keys(files).length === 0) return { hub, base: baseCommit };
  const { folder, commit } = await change(hub, baseCommit, files);
  await pushRef({ folder, hub, commit, ref: names.integration, lease: baseCommit });
  return { hub, base: commit };
};

/** A clone of the hub in which these files were changed and committed. */
export const change = async (
  hub: string,
  from: string,
  files: Record<string, string>,
): Promise<{ folder: string; commit: string }> => {
  const { folder } = await cloneAt({ hub, folder: fresh('clone'), commit: from });
  write(folder, files);
  const { commit } = await commitAll(folder, { message: 'Change', author });
  if (commit === null) throw new Error('nothing changed');
  return { folder, commit };
};

/** A person's repository with two commits on main, and a tag with a message on the first. */
export const personal = (...initArgs: string[]): { repository: string; first: string; second: string } => {
  const repository = fresh('person');
  mkdirSync(repository, { recursive: true });
  plain(repository, 'init', '-q', '-b', 'main', ...initArgs);
  write(repository, { 'a.txt': 'one\n' });
  plain(repository, 'add', '.');
  plain(repository, 'commit', '-q', '-m', 'First');
  plain(repository, 'tag', '-a', '-m', 'A tag', 'v1');
  const first = plain(repository, 'rev-parse', 'HEAD');
  write(repository, { 'a.txt': 'two\n' });
  plain(repository, 'commit', '-q', '-a', '-m', 'Second');
  return { repository, first, second: plain(repository, 'rev-parse', 'HEAD') };
};

/** A hub of a repository in which one more commit was made: the result. */
export const worked = async (repository: string | null): Promise<{ hub: string; commit: string; base: string }> => {
  const hub = fresh(`${task}.git`);
  const { baseCommit: base } = await createHub({ hub, repository, base: null });
  const { folder, commit } = await change(hub, base, { 'result.txt': 'result\n' });
  await pushRef({ folder, hub, commit, ref: names.integration, lease: base });
  return { hub, commit, base };
};
