/** What is found in projects of every kind; files lie in a real folder. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { isTestFile } from './changes.ts';
import { loadChecks } from './define-check.ts';
import { detect } from './detect.ts';

const definitions = await loadChecks();
let folder = '';

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'nexus-detect-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

type Asked = { setup?: string[] | null; asked?: { name: string; command: string }[]; changed?: string[] };

const look = async (files: Record<string, string>, more: Asked = {}) => {
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), text);
  }
  const plan = await detect({
    folder,
    files: Object.keys(files),
    changed: [],
    setup: null,
    asked: [],
    definitions,
    ...more,
  });
  return { setup: plan.setup, commands: plan.checks.map(({ name, command }) => `${name}: ${command ?? '(none)'}`) };
};

const manifest = (scripts: Record<string, string>, more: object = {}): string => JSON.stringify({ scripts, ...more });
const needs = { devDependencies: { x: '1.0.0' } };

test('the scripts of a project are its checks: build first, then types, lint and tests', async () => {
  const scripts = { test: 'vitest run', lint: 'biome check', build: 'tsc', 'type-check': 'tsc --noEmit', start: 'x' };
  expect(await look({ 'package.json': manifest(scripts) })).toEqual({
    setup: [],
    commands: ['build: npm run build', 'types: npm run type-check', 'lint: npm run lint', 'tests: npm test'],
  });
});

test.each([
  [{ 'package-lock.json': '{}' }, 'npm ci', 'npm test'],
  [{ 'pnpm-lock.yaml': '' }, 'pnpm install --frozen-lockfile', 'pnpm test'],
  [{ 'yarn.lock': '__metadata:\n' }, 'yarn install --immutable', 'yarn test'],
  [{ 'yarn.lock': '# yarn lockfile v1\n' }, 'yarn install --frozen-lockfile', 'yarn test'],
  [{ 'bun.lock': '' }, 'bun install --frozen-lockfile', 'bun run test'],
  [{}, 'npm install --no-package-lock', 'npm test'],
] as [Record<string, string>, string, string][])(
  'the lock file decides the set-up: %o',
  async (lock, setup, command) => {
    const found = await look({ 'package.json': manifest({ test: 'x' }, needs), ...lock });
    expect(found).toEqual({ setup: [setup], commands: [`tests: ${command}`] });
  },
);

test('the set-up of the task takes the place of the lock file’s', async () => {
  const files = { 'package.json': manifest({ test: 'x' }, needs), 'package-lock.json': '{}' };
  expect((await look(files, { setup: ['make deps'] })).setup).toEqual(['make deps']);
});

test('a project without dependencies is not installed, one with an install script is', async () => {
  expect((await look({ 'package.json': manifest({ test: 'x' }), 'package-lock.json': '{}' })).setup).toEqual([]);
  expect((await look({ 'package.json': manifest({ prepare: 'x' }), 'package-lock.json': '{}' })).setup).toEqual([
    'npm ci',
  ]);
});

test('what npm init writes as a test declares none', async () => {
  const scripts = { test: 'echo "Error: no test specified" && exit 1' };
  expect((await look({ 'package.json': manifest(scripts) })).commands).toEqual(['tests: (none)']);
});

test.each(['a.test.js', 'lib/b-test.mjs', 'c_test.cjs', 'test-d.ts', 'lib/test.js'])(
  'without a manifest, %s is run by node --test',
  async (path) => expect((await look({ [path]: '' })).commands).toEqual(['tests: node --test']),
);

test('in a folder called test only what uses node’s own runner is a test', async () => {
  expect((await look({ 'test/a.js': 'fixture()' })).commands).toEqual(['tests: (none)']);
  expect((await look({ 'pkg/test/a.js': `require('node:test')` })).commands).toEqual(['tests: node --test']);
  expect((await look({ 'web/package.json': '{}', 'web/a.test.js': 'it()' })).commands).toEqual(['tests: (none)']);
});

test('without a lock file the manifest may name its package manager', async () => {
  const project = { 'package.json': manifest({ test: 'x' }, { ...needs, packageManager: 'pnpm@10.1.0' }) };
  expect(await look(project)).toEqual({ setup: ['pnpm install'], commands: ['tests: pnpm test'] });
});

test.each(['a.js', 'testing.js', 'contest.js', 'test.md', 'types.test.d.ts'])('%s is not', async (path) =>
  expect((await look({ [path]: '' })).commands).toEqual(['tests: (none)']),
);

test('with a manifest that names no runner, only tests for node’s own runner are run by it', async () => {
  const project = { 'package.json': manifest({}) };
  expect((await look({ ...project, 'a.test.js': `import test from 'node:test'` })).commands).toEqual([
    'tests: node --test',
  ]);
  expect((await look({ ...project, 'a.test.js': `describe('x')` })).commands).toEqual(['tests: (none)']);
});

test('the checks of the task come first, and none runs twice', async () => {
  const asked = [
    { name: 'tests', command: 'make check' },
    { name: 'mine', command: 'npm run lint' },
  ];
  const files = { 'package.json': manifest({ test: 'x', lint: 'y' }) };
  const { commands } = await look(files, { asked });
  expect(commands).toEqual(['tests: make check', 'mine: npm run lint', 'tests-2: npm test']);
});

test('only where nothing else could fail, what changed is parsed', async () => {
  const files = { 'a b.js': '', 'c.json': '{}', 'tsconfig.json': '{ // why', 'd.md': '' };
  const { commands } = await look(files, { changed: Object.keys(files) });
  expect(commands[1]).toMatch(
    /^syntax: s=0; node --check '\.\/a b\.js' \|\| s=1; node -e .* \.\/c\.json \|\| s=1; exit \$s$/,
  );
  expect((await look({ ...files, 'a.test.js': '' }, { changed: ['a b.js'] })).commands).toEqual(['tests: node --test']);
});

test('a manifest that cannot be read is none', async () => {
  expect(await look({ 'package.json': '{ "scripts": ', 'a.test.js': "import 'node:test'" })).toMatchObject({
    setup: [],
    commands: ['tests: node --test'],
  });
});

test('files of tests are known by their names', () => {
  for (const path of [
    'a.test.ts',
    'src/b.spec.jsx',
    '__tests__/c.js',
    'test/fixtures/d.json',
    'tests/e.py',
    'f_test.mjs',
  ]) {
    expect(isTestFile(path), path).toBe(true);
  }
  for (const path of ['src/testing.ts', 'latest.js', 'contest.js', 'README.md'])
    expect(isTestFile(path), path).toBe(false);
});

test('a task that asks for no set-up gets none, whatever its project declares', async () => {
  const files = { 'package.json': manifest({ test: 'x' }, needs), 'package-lock.json': '{}' };
  expect((await look(files)).setup).toEqual(['npm ci']);
  expect((await look(files, { setup: [] })).setup).toEqual([]);
});
