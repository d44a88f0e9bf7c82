/** Goal: a checkpoint holds all that an agent left, whatever state it left it in, and names what it cannot hold. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { cloneAt, commitAll, pushSideWork, snapshot } from '@nexus/shared/git';
import { expect, test } from 'vitest';
import { author, fresh, hubWith, plain, write } from '../../../test/tools/repositories.ts';

const cloned = async (files: Record<string, string>) => {
  const { hub, base } = await hubWith(files);
  const { folder } = await cloneAt({ hub, folder: fresh('clone'), commit: base });
  return {
    folder,
    base,
    save: (fileBytesMax?: number) => snapshot(folder, { message: 'Saved', author, fileBytesMax }),
  };
};
const held = (folder: string, commit: string | null) =>
  plain(folder, 'ls-tree', '-r', '--name-only', commit ?? '').split('\n');

test('untracked, staged, changed and deleted files are in a checkpoint, and the agent’s own index stays', async () => {
  const { folder, save } = await cloned({ 'a.txt': 'a\n', 'gone.txt': 'g\n', 'b.txt': 'b\n' });
  write(folder, { 'new/untracked.txt': 'n', 'staged.txt': 's', 'a.txt': 'changed\n' });
  plain(folder, 'add', 'staged.txt');
  rmSync(join(folder, 'gone.txt'));
  plain(folder, 'rm', '-q', '--cached', 'b.txt');
  const before = plain(folder, 'status', '--porcelain');
  const { commit, changed, left } = await save();
  expect(changed.sort()).toEqual(['a.txt', 'gone.txt', 'new/untracked.txt', 'staged.txt']);
  expect(left).toBeUndefined();
  expect(held(folder, commit)).toEqual(['a.txt', 'b.txt', 'new/untracked.txt', 'staged.txt']);
  expect(plain(folder, 'status', '--porcelain')).toBe(before);
});

test('a repository that the agent made inside comes in as its files, with or without commits of its own', async () => {
  const { folder, save } = await cloned({});
  write(folder, { 'app/main.js': 'run()', 'app/.gitignore': 'out/\n', 'app/out/x': 'x', 'bare/only.txt': 'o' });
  write(folder, { 'app/deep/er/file.txt': 'd' });
  for (const inside of ['app', 'bare', 'app/deep']) plain(join(folder, inside), 'init', '-q');
  symlinkSync('main.js', join(folder, 'app', 'link.js'));
  plain(join(folder, 'app'), 'add', 'main.js');
  plain(join(folder, 'app'), '-c', 'user.name=x', '-c', 'user.email=x@y', 'commit', '-qm', 'inside');
  const { commit, left } = await save();
  const files = ['app/.gitignore', 'app/deep/er/file.txt', 'app/link.js', 'app/main.js', 'bare/only.txt'];
  expect(held(folder, commit)).toEqual(files);
  expect(plain(folder, 'ls-tree', '-r', commit ?? '', 'app/link.js')).toMatch(/^120000/);
  expect(left).toBeUndefined();
  expect(existsSync(join(folder, 'app', '.git'))).toBe(true);
});

test('a file above the limit stays out of a checkpoint and is named; all else is saved', async () => {
  const { folder, save } = await cloned({ 'a.txt': 'a\n' });
  write(folder, { 'b.txt': 'b', 'huge.bin': '' });
  truncateSync(join(folder, 'huge.bin'), 3_000_000);
  const { changed, left } = await save(2_000_000);
  expect(changed).toEqual(['b.txt']);
  expect(left).toEqual([{ path: 'huge.bin', why: '3 MB, more than is saved' }]);
  expect((await save()).changed.sort()).toEqual(['b.txt', 'huge.bin']);
});

test('a name that git refuses is named, and keeps nothing else from being saved', async () => {
  const { folder, save } = await cloned({ 'a.txt': 'a\n' });
  write(folder, { 'w/.GIT/odd': 'o', 'b.txt': 'b' });
  const { changed, left } = await save();
  expect(changed).toEqual(['b.txt']);
  expect(left).toEqual([{ path: 'w/.GIT/odd', why: 'git cannot take it in' }]);
  expect(await commitAll(folder, { message: 'All', author })).toMatchObject({ changed: ['b.txt'], left });
});

test.runIf(process.getuid?.() === 0)('a file that cannot be read is named, and the rest is saved', async () => {
  const { folder } = await cloned({ 'a.txt': 'a\n' });
  write(folder, { 'secret.txt': 's', 'b.txt': 'b' });
  execFileSync('chmod', ['0000', join(folder, 'secret.txt')]);
  // Root reads everything, so somebody else has to save.
  const parents: string[] = [];
  for (let at = folder; at !== '/tmp' && at !== '/'; at = join(at, '..')) parents.push(at);
  execFileSync('chmod', ['a+rx', ...parents]);
  execFileSync('chown', ['-R', '65534:65534', folder]);
  const code = `
    const { snapshot } = await import(${JSON.stringify(import.meta.resolve('@nexus/shared/git'))});
    const made = await snapshot(${JSON.stringify(folder)}, { message: 'Saved', author: ${JSON.stringify(author)} });
    console.log(JSON.stringify(made));`;
  const answer = execFileSync(process.execPath, ['--input-type=module', '-e', code], {
    uid: 65_534,
    gid: 65_534,
    encoding: 'utf8',
  });
  expect(JSON.parse(answer)).toMatchObject({
    changed: ['b.txt'],
    left: [{ path: 'secret.txt', why: 'it cannot be read' }],
  });
});

test('work inside a submodule cannot be saved, and is named', async () => {
  const other = await cloned({ 'lib.txt': 'lib\n' });
  plain(other.folder, 'checkout', '-q', '-b', 'main');
  const { folder } = await cloned({ 'a.txt': 'a\n' });
  plain(folder, '-c', 'protocol.file.allow=always', 'submodule', '--quiet', 'add', other.folder, 'lib');
  await commitAll(folder, { message: 'With a submodule', author });
  const save = () => snapshot(folder, { message: 'Saved', author });
  expect((await save()).left).toBeUndefined();
  write(folder, { 'lib/lib.txt': 'changed', 'a.txt': 'b\n' });
  const { changed, left } = await save();
  expect(changed).toEqual(['a.txt']);
  expect(left).toEqual([{ path: 'lib', why: 'a submodule with changes of its own' }]);
});

test('locks that a killed git left behind keep neither a checkpoint nor the last commit', async () => {
  const { folder, save } = await cloned({ 'a.txt': 'a\n' });
  write(folder, { 'b.txt': 'b' });
  for (const lock of ['index.lock', 'HEAD.lock']) writeFileSync(join(folder, '.git', lock), '');
  expect((await save()).changed).toEqual(['b.txt']);
  expect((await commitAll(folder, { message: 'All', author })).changed).toEqual(['b.txt']);
});

test('what the project ignores stays out, and a folder of it too', async () => {
  const { folder, save } = await cloned({ '.gitignore': '*.log\nbuild/\n' });
  mkdirSync(join(folder, 'build'));
  write(folder, { 'a.log': 'l', 'build/x': 'x', 'b.txt': 'b' });
  expect((await save()).changed).toEqual(['b.txt']);
});

test('stashes and branches that the head does not hold are pushed beside it, once', async () => {
  const { hub, base } = await hubWith({ 'a.txt': 'a\n' });
  const { folder } = await cloneAt({ hub, folder: fresh('clone'), commit: base });
  write(folder, { 'a.txt': 'stashed\n' });
  plain(folder, 'stash');
  plain(folder, 'checkout', '-q', '-b', 'idea/one');
  write(folder, { 'b.txt': 'b' });
  plain(folder, 'add', '.');
  plain(folder, 'commit', '-qm', 'An idea');
  plain(folder, 'checkout', '-q', '--detach', base);
  plain(folder, 'branch', 'held', base);
  const prefix = 'refs/nexus/a-task-123456/wip/one/1-tok-side-';
  const push = () => pushSideWork({ folder, hub, held: base, prefix });
  const pushed = await push();
  expect(pushed.map(({ from }) => from)).toEqual(['idea/one', 'stash']);
  const [idea, stash] = pushed.map(({ ref }) => ref);
  expect(plain(hub, 'show', `${idea}:b.txt`)).toBe('b');
  expect(plain(hub, 'show', `${stash}:a.txt`)).toBe('stashed');
  expect(await push()).toEqual(pushed);
});
