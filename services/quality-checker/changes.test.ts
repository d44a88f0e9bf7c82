/** Which failing tests a candidate brought itself, in a real repository. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { Change } from '@nexus/shared/git';
import { afterAll, expect, test } from 'vitest';
import { ownTests } from './changes.ts';

const folder = mkdtempSync(join(tmpdir(), 'nexus-changes-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const git = (...args: string[]) => execFileSync('git', args, { cwd: folder, encoding: 'utf8' }).trim();

const commit = (files: Record<string, string>): string => {
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(join(folder, dirname(path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  }
  git('add', '-A');
  git('-c', 'user.name=t', '-c', 'user.email=t@t', 'commit', '-qm', 'c');
  return git('rev-parse', 'HEAD');
};

git('init', '-q');
const from = commit({ 'test/a.js': `test('old', (t) => t.same(1, 1));` });
const to = commit({
  'test/a.js': `test('old', (t) => t.same(1, 1));\ntest('newer', (t) => t.ok(0));`,
  'test/b.js': `test('fresh', (t) => t.ok(0, 'said'));`,
});
const changes: Change[] = [
  { path: 'test/a.js', how: 'changed' },
  { path: 'test/b.js', how: 'added' },
];
const ownOf = async (...failing: string[]) => [...(await ownTests({ folder, from, to, changes, failing }))];

test('tests of an added file, and new titles of a changed one, are its own', async () => {
  expect(await ownOf('test/b.js', 'test/b.js > fresh', 'test/a.js > newer')).toHaveLength(3);
  expect(await ownOf('test/a.js > old', 'test/a.js', 'test/c.js > newer')).toEqual([]);
});

test('where the runner made the title of an assertion, the test around it counts', async () => {
  expect(await ownOf('test/a.js > newer > should be truthy', 'fresh > should be truthy')).toHaveLength(2);
  expect(await ownOf('test/a.js > old > should be equivalent', 'old > should be equivalent')).toEqual([]);
});
