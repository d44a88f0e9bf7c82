import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { fillCodeCache } from './code-cache.ts';

const openFolder = () => {
  const folder = mkdtempSync(join(tmpdir(), 'nexus-cache-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
};

test('the code of the files is compiled once, and a second start finds it', async () => {
  const folder = openFolder();
  const cache = join(folder, 'cache');
  const script = join(folder, 'one.mjs');
  writeFileSync(
    script,
    "import { appendFileSync } from 'node:fs';\nappendFileSync(import.meta.filename + '.log', '.');",
  );
  await fillCodeCache(cache, [script], []);
  await fillCodeCache(cache, [script], []);
  expect(readdirSync(folder)).toContain('one.mjs.log');
  expect(readdirSync(cache).filter((name) => name.startsWith(`${process.version}-`))).toHaveLength(1);
  rmSync(`${script}.log`);
  await fillCodeCache(cache, [script], []);
  expect(readdirSync(folder)).not.toContain('one.mjs.log');
});

test('a folder that cannot be written and code that cannot be loaded are no reason not to start', async () => {
  const folder = openFolder();
  writeFileSync(join(folder, 'file'), '');
  await fillCodeCache(join(folder, 'file', 'cache'), [join(folder, 'missing.mjs')], []);
  await fillCodeCache(join(folder, 'cache'), [join(folder, 'missing.mjs')], []);
  expect(readdirSync(folder)).toContain('cache');
});
