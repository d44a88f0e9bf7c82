import { expect, test } from 'vitest';
import { decidesSetup, packageManagerOf, readManifest, setUpCacheOf } from './project.ts';

const needs = { devDependencies: { tape: '5' } };

const of = (manifest: object | null, files: Record<string, string> = {}) =>
  packageManagerOf(
    manifest === null ? null : readManifest(JSON.stringify(manifest)),
    (name) => name in files,
    async (path) => files[path] ?? '',
  );

test.each([
  [{ 'package-lock.json': '' }, 'npm run', 'npm ci'],
  [{ 'npm-shrinkwrap.json': '' }, 'npm run', 'npm ci'],
  [{ 'pnpm-lock.yaml': '' }, 'pnpm run', 'pnpm install --frozen-lockfile'],
  [{ 'yarn.lock': '# yarn lockfile v1\n' }, 'yarn run', 'yarn install --frozen-lockfile'],
  [{ 'yarn.lock': '__metadata:\n' }, 'yarn run', 'yarn install --immutable'],
  [{ 'bun.lock': '' }, 'bun run', 'bun install --frozen-lockfile'],
  [{}, 'npm run', 'npm install --no-package-lock'],
])('%j is run by `%s` and installed by `%s`', async (files, runner, command) => {
  expect(await of(needs, files)).toEqual({ runner, setup: [command] });
});

test('without a lock file the manifest may name the manager', async () => {
  const named = { ...needs, packageManager: 'pnpm@10.1.0+sha512.abc' };
  expect(await of(named)).toEqual({ runner: 'pnpm run', setup: ['pnpm install'] });
});

test('what depends on nothing is not installed, unless a script says what to do', async () => {
  expect((await of({ scripts: { test: 'node --test' } }, { 'package-lock.json': '' })).setup).toEqual([]);
  expect((await of({ scripts: { prepare: 'make' } })).setup).toEqual(['npm install --no-package-lock']);
  expect((await of(null, { 'package-lock.json': '' })).setup).toEqual([]);
});

test('a manifest that cannot be read is none, and only texts are scripts', () => {
  for (const text of ['', '{ "a": ', '[]', 'null', '7']) expect(readManifest(text)).toBeNull();
  expect(readManifest('{"scripts": {"a": "x", "b": 1}}')?.scripts).toEqual({ a: 'x' });
});

test('manifests, lock files and the settings of managers decide set-up, wherever they lie', () => {
  for (const path of ['package.json', 'web/package.json', 'bun.lockb', 'a/pnpm-lock.yaml', '.npmrc', '.yarnrc.yml']) {
    expect(decidesSetup(path)).toBe(true);
  }
  for (const path of ['my-package.json', 'src/package.json.ts', 'lock']) expect(decidesSetup(path)).toBe(false);
});

test('set-ups are kept unless that is switched off or has no room', () => {
  const settings = { home: '/home', setupCache: true, setupCacheMax: 10, diskReserve: 5 };
  expect(setUpCacheOf(settings)).toEqual({ folder: '/home/caches/set-ups', bytesMax: 10, diskReserve: 5 });
  expect(setUpCacheOf({ ...settings, setupCache: false })).toBeNull();
  expect(setUpCacheOf({ ...settings, setupCacheMax: 0 })).toBeNull();
});
