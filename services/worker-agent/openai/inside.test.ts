import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { link, mkdir, mkdtemp, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Inside, NotInside, openInside } from './inside.ts';

let base: string;
let root: string;
let inside: Inside;

beforeEach(async () => {
  base = await mkdtemp(join(tmpdir(), 'nexus-inside-'));
  root = join(base, 'clone');
  await mkdir(join(root, 'src/deep'), { recursive: true });
  await mkdir(join(root, '.git/hooks'), { recursive: true });
  await mkdir(join(base, 'outside'));
  await writeFile(join(base, 'outside/secret.txt'), 'a secret');
  await writeFile(join(root, 'src/größe.txt'), 'größer');
  inside = openInside(root);
});
afterEach(() => rm(base, { recursive: true, force: true }));

describe('inside the clone', () => {
  test('files are read and written, with the folders above them', async () => {
    expect(await inside.read('src/größe.txt', 100)).toEqual({ text: 'größer', size: 8 });
    await inside.write('a/b/c.txt', 'new');
    await inside.write('./src/../src/größe.txt', 'short');
    expect(await readFile(join(root, 'a/b/c.txt'), 'utf8')).toBe('new');
    expect(await readFile(join(root, 'src/größe.txt'), 'utf8')).toBe('short');
    expect(await inside.read(join(root, 'a/b/c.txt'), 2)).toEqual({ text: 'ne', size: 3 });
  });

  test('a link to what lies inside is followed, an absolute one too', async () => {
    await symlink('src', join(root, 'lib'));
    await symlink(join(root, 'src/größe.txt'), join(root, 'short.txt'));
    expect((await inside.read('lib/größe.txt', 100)).text).toBe('größer');
    expect((await inside.read('short.txt', 100)).text).toBe('größer');
    expect(await inside.resolve('lib/deep')).toBe('src/deep');
    expect(await inside.resolve('.')).toBe('.');
  });

  test('a folder is listed, links as links', async () => {
    await symlink('/etc', join(root, 'src/etc'));
    expect(await inside.list('src')).toEqual([
      { name: 'deep', kind: 'folder', size: 0 },
      { name: 'etc', kind: 'link', size: 0 },
      { name: 'größe.txt', kind: 'file', size: 8 },
    ]);
    expect((await inside.list('.')).map(({ name }) => name)).toEqual(['.git', 'src']);
  });

  test('a file that has another name elsewhere is written anew, and the other keeps what it has', async () => {
    await link(join(base, 'outside/secret.txt'), join(root, 'cached.txt'));
    await inside.write('cached.txt', 'mine');
    expect(await readFile(join(base, 'outside/secret.txt'), 'utf8')).toBe('a secret');
    expect(await readFile(join(root, 'cached.txt'), 'utf8')).toBe('mine');
  });
});

describe('outside the clone', () => {
  const ways: [string, (root: string) => Promise<unknown>][] = [
    ['../outside/secret.txt', async () => undefined],
    ['src/../../outside/secret.txt', async () => undefined],
    ['/etc/passwd', async () => undefined],
    ['way/secret.txt', (at) => symlink('../outside', join(at, 'way'))],
    ['way/secret.txt', (at) => symlink(join(at, '../outside'), join(at, 'way'))],
    ['way.txt', (at) => symlink('../outside/secret.txt', join(at, 'way.txt'))],
    [
      'src/one/secret.txt',
      async (at) => {
        await symlink('../two', join(at, 'src/one'));
        await symlink('../outside', join(at, 'two'));
      },
    ],
  ];
  test.each(ways)('nothing is read or written: %s', async (path, prepare) => {
    await prepare(root);
    await expect(inside.read(path, 100)).rejects.toThrow(NotInside);
    await expect(inside.write(path, 'overwritten')).rejects.toThrow(NotInside);
    await expect(inside.resolve(path)).rejects.toThrow(NotInside);
    expect(await readFile(join(base, 'outside/secret.txt'), 'utf8')).toBe('a secret');
  });

  test('nothing is made, either, by a link to what is not there', async () => {
    await symlink('../outside/new.txt', join(root, 'new.txt'));
    await expect(inside.write('new.txt', 'made')).rejects.toThrow(NotInside);
    expect(existsSync(join(base, 'outside/new.txt'))).toBe(false);
  });

  test('nothing is touched while a folder is swapped for a link again and again', async () => {
    await writeFile(join(root, 'src/secret.txt'), 'mine');
    const [here, kept] = [join(root, 'src'), join(root, 'kept')];
    let over = false;
    const swap = async () => {
      while (!over) {
        await rename(here, kept);
        await symlink('../outside', here).catch(() => undefined);
        // A write in between may have made a folder of that name.
        for (let back = false; !back; ) {
          await rm(here, { recursive: true, force: true }).catch(() => undefined);
          back = await rename(kept, here).then(
            () => true,
            () => false,
          );
        }
      }
    };
    const swapping = swap();
    for (let round = 0; round < 200; round++) {
      const { text } = await inside.read('src/secret.txt', 100).catch(() => ({ text: 'mine' }));
      expect(text).not.toBe('a secret');
      await inside.write('src/secret.txt', 'mine').catch(() => undefined);
    }
    over = true;
    await swapping;
    expect(await readFile(join(base, 'outside/secret.txt'), 'utf8')).toBe('a secret');
  });
});

test.each([
  ['.git/hooks/post-checkout', /git itself/],
  ['src', /not a file|is a folder/],
  ['nowhere.txt', /does not exist/],
  ['src/größe.txt/more', /not a folder/],
  ['pipe', /not a file/],
  ['binary', /not text/],
  ['round', /too many links/],
])('what cannot be read is said: %s', async (path, says) => {
  execFileSync('mkfifo', [join(root, 'pipe')]);
  await writeFile(join(root, 'binary'), Buffer.from([1, 0, 2]));
  await symlink('round', join(root, 'round'));
  await expect(inside.read(path, 100)).rejects.toThrow(says);
});
