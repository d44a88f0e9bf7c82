/** Scripts of other modules run on the fabric's Redis, whole, and on its keys alone. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Bus } from '@nexus/shared/bus';
import { expect, onTestFinished, test } from 'vitest';
import { testFabric } from '../../tools/redis.ts';

const folderWith = (files: Record<string, string>): URL => {
  const folder = mkdtempSync(join(tmpdir(), 'nexus-side-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  for (const [name, lua] of Object.entries(files)) writeFileSync(join(folder, name), lua);
  return pathToFileURL(`${folder}/`);
};

const openWithSwap = async (): Promise<Bus> => {
  const bus = await testFabric().open('worker-agent');
  const swap = "local was = redis.call('GET', KEYS[1]) redis.call('SET', KEYS[1], ARGV[1]) return was";
  const folder = folderWith({ 'swap-1.lua': swap, 'notes.txt': 'no script' });
  bus.side.register('mine', folder);
  bus.side.register('mine', folder);
  return bus;
};

test('a registered script runs by its module and verb, and a read sees what it wrote', async () => {
  const { side, keys } = await openWithSwap();
  const key = `${keys.prefix}:mine:x`;
  expect(await side.run('mine/swap', [key], ['one'])).toBe(null);
  expect(await side.run('mine/swap', [key], ['two'])).toBe('one');
  expect(await side.command('GET', key)).toBe('two');
});

test('many reads go at once and answer in their order, and one that fails is told', async () => {
  const { side, keys } = await openWithSwap();
  const [one, two] = [`${keys.prefix}:mine:one`, `${keys.prefix}:mine:two`];
  await side.run('mine/swap', [one], ['1']);
  await side.run('mine/swap', [two], ['2']);
  expect(
    await side.read([
      ['GET', two],
      ['HGETALL', `${keys.prefix}:mine:none`],
      ['GET', one],
    ]),
  ).toEqual(['2', [], '1']);
  expect(await side.read([])).toEqual([]);
  await expect(
    side.read([
      ['GET', one],
      ['ZCARD', two],
    ]),
  ).rejects.toThrow(/WRONGTYPE/);
});

test('a script runs again after the server has forgotten all scripts', async () => {
  const fabric = testFabric();
  const { side, keys } = await fabric.open('worker-agent');
  side.register('mine', folderWith({ 'say-1.lua': 'return ARGV[1]' }));
  expect(await side.run('mine/say', [`${keys.prefix}:x`], ['before'])).toBe('before');
  await fabric.redis.script('FLUSH');
  expect(await side.run('mine/say', [`${keys.prefix}:x`], ['after'])).toBe('after');
});

test('keys of others, unknown scripts, a wrong number of keys and writing commands are bugs', async () => {
  const { side, keys } = await openWithSwap();
  const key = `${keys.prefix}:mine:x`;
  const bug = (says: RegExp) => expect.objectContaining({ code: 'BUG', message: expect.stringMatching(says) });
  await expect(side.run('mine/swap', ['elsewhere'], ['x'])).rejects.toEqual(bug(/no key of the fabric/));
  await expect(side.run('mine/other', [key], [])).rejects.toEqual(bug(/no script is registered/));
  await expect(side.run('mine/swap', [key, key], ['x'])).rejects.toEqual(bug(/takes 1 keys, not 2/));
  await expect(side.command('DEL' as 'GET', key)).rejects.toEqual(bug(/only reads/));
  await expect(side.read([['EXISTS', 'elsewhere']])).rejects.toEqual(bug(/no key of the fabric/));
  await expect(side.read([['DEL' as 'GET', key]])).rejects.toEqual(bug(/only reads/));
  expect(await side.command('EXISTS', key)).toBe(0);
});
