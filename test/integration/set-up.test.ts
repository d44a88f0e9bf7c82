/** Set-ups and their cache, with the real npm and packages that need no network. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { listMarked } from '@nexus/shared/process';
import { type SetUpCache, setUp } from '@nexus/shared/project';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { evict } from '../../shared/src/project/set-up-cache.ts';
import { eventually } from '../tools/eventually.ts';
import { plain, write } from '../tools/repositories.ts';

type Files = Record<string, string>;

const program = '#!/usr/bin/env node\nconsole.log("q");\n';

let root = '';
let project: Files = {};
let tarball = Buffer.alloc(0);
let count = 0;

/** A package in a tarball, and the lock file that pins it. */
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'nexus-set-up-'));
  const source = join(root, 'source');
  write(source, { 'package.json': '{"name":"q","version":"1.0.0","bin":"q.js"}', 'q.js': program });
  execFileSync('npm', ['pack', '--silent'], { cwd: source });
  tarball = readFileSync(join(source, 'q-1.0.0.tgz'));
  const folder = join(root, 'locked');
  const manifest = { name: 'p', version: '1.0.0', dependencies: { q: 'file:q-1.0.0.tgz' } };
  write(folder, { 'package.json': JSON.stringify(manifest) });
  writeFileSync(join(folder, 'q-1.0.0.tgz'), tarball);
  execFileSync('npm', ['install', '--package-lock-only', '--offline', '--silent'], { cwd: folder });
  project = Object.fromEntries(
    ['package.json', 'package-lock.json'].map((n) => [n, readFileSync(join(folder, n), 'utf8')]),
  );
});
afterAll(() => rm(root, { recursive: true, force: true }));

const cacheOf = (): SetUpCache => ({ folder: join(root, `cache-${++count}`), bytesMax: 1e9, diskReserve: 0 });

/** A checkout of the project with these files more or else. */
const checkout = (more: Files = {}): string => {
  const folder = join(root, `checkout-${++count}`);
  write(folder, { '.gitignore': 'node_modules\n', ...project, ...more });
  writeFileSync(join(folder, 'q-1.0.0.tgz'), tarball);
  plain(folder, 'init', '-q');
  plain(folder, 'add', '-A');
  plain(folder, 'commit', '-qm', 'first');
  return folder;
};

const options = (folder: string, cache: SetUpCache | null, env: Record<string, string> = {}) => ({
  ...{ folder, cache, commands: ['npm ci'], mark: `set-up-${process.pid}-${++count}` },
  env: { npm_config_cache: join(root, 'npm'), npm_config_offline: 'true', ...env },
  ...{ timeoutMs: 60_000, outputBytesMax: 1_000_000, signal: new AbortController().signal, onCommand: () => {} },
});
const installed = async (folder: string, cache: SetUpCache | null, env: Record<string, string> = {}) => {
  const { failed, copied } = await setUp(options(folder, cache, env));
  expect(failed).toBeNull();
  expect(readFileSync(join(folder, 'node_modules/q/q.js'), 'utf8')).toBe(program);
  return copied ? 'copied' : 'run';
};
const all = ({ folder }: SetUpCache): string[] => (existsSync(folder) ? readdirSync(folder) : []);
const kept = (cache: SetUpCache): string[] => all(cache).filter((name) => !name.startsWith('.'));
const manifestWith = (more: object): string =>
  JSON.stringify({ ...JSON.parse(project['package.json'] ?? ''), ...more });

test('what a set-up made is copied into the next clone, and what one edits is nobody else’s', async () => {
  const cache = cacheOf();
  const [one, two, three] = [checkout(), checkout({ 'other.js': 'x' }), checkout()];
  expect(await installed(one, cache)).toBe('run');
  writeFileSync(join(one, 'node_modules/q/q.js'), 'poison');
  expect(await installed(two, cache)).toBe('copied');
  expect(execFileSync(join(two, 'node_modules/.bin/q'), { encoding: 'utf8' })).toBe('q\n');
  writeFileSync(join(two, 'node_modules/q/q.js'), 'poison');
  expect(await installed(three, cache)).toBe('copied');
});

test('another lock file, Node, npm setting or uncommitted change is another set-up', async () => {
  const cache = cacheOf();
  expect(await installed(checkout(), cache)).toBe('run');
  const newer = (project['package-lock.json'] ?? '').replace('"name": "p"', '"name": "other"');
  expect(await installed(checkout({ 'package-lock.json': newer }), cache)).toBe('run');
  expect(await installed(checkout({ '.npmrc': 'fund=false\n' }), cache)).toBe('run');
  expect(await installed(checkout(), cache, { npm_config_omit: 'dev' })).toBe('run');
  const dirty = checkout({ 'a.js': 'x' });
  writeFileSync(join(dirty, 'a.js'), 'y');
  expect(await installed(dirty, cache)).toBe('run');
  expect(await installed(checkout({ 'b.js': 'x' }), cache)).toBe('copied');
});

test('a lock file that does not fit its manifest fails, whatever is kept', async () => {
  const cache = cacheOf();
  await installed(checkout(), cache);
  const more = checkout({ 'package.json': manifestWith({ dependencies: { q: 'file:q-1.0.0.tgz', r: '^1.0.0' } }) });
  expect((await setUp(options(more, cache))).failed).toMatchObject({ command: 'npm ci' });
});

test('where the project runs scripts of its own at set-up, only the very same tree is the same set-up', async () => {
  const cache = cacheOf();
  const script = manifestWith({ scripts: { postinstall: 'cp seen.txt node_modules/seen.txt' } });
  const seen = (text: string) => checkout({ 'package.json': script, 'seen.txt': text });
  expect(await installed(seen('one'), cache)).toBe('run');
  const other = seen('two');
  expect(await installed(other, cache)).toBe('run');
  expect(readFileSync(join(other, 'node_modules/seen.txt'), 'utf8')).toBe('two');
  const same = seen('one');
  expect(await installed(same, cache)).toBe('copied');
  expect(readFileSync(join(same, 'node_modules/seen.txt'), 'utf8')).toBe('one');
});

test.each([
  ['a file beside node_modules', 'touch made.txt'],
  ['a tracked file', 'echo more >> .gitignore'],
  ['the settings of the clone', 'git config core.hooksPath .husky'],
  ['the place it was made in', 'pwd > node_modules/place.txt'],
])('a set-up that also wrote %s is not kept', async (_, script) => {
  const cache = cacheOf();
  const files = { 'package.json': manifestWith({ scripts: { prepare: script } }) };
  expect(await installed(checkout(files), cache)).toBe('run');
  expect(kept(cache)).toEqual([]);
});

test('commands that a person named are run each time', async () => {
  const cache = cacheOf();
  const { copied } = await setUp({ ...options(checkout(), cache), commands: ['npm ci', 'true'] });
  expect(copied).toBe(false);
  expect(kept(cache)).toEqual([]);
});

test('of several set-ups at once one is run, and the others wait for it and copy what it made', async () => {
  const cache = cacheOf();
  const ended = await Promise.all([1, 2, 3, 4].map(() => installed(checkout(), cache)));
  expect(ended.sort()).toEqual(['copied', 'copied', 'copied', 'run']);
  expect(kept(cache)).toHaveLength(1);
  expect(await installed(checkout(), cache)).toBe('copied');
});

test('where nothing of the first is kept, the others run side by side: nobody waits twice', async () => {
  const cache = cacheOf();
  const file = join(root, 'met.txt');
  // The second and the third each wait for the other: one after the other they would never end.
  const wait = `until test $(wc -l < ${file}) = 3; do sleep 0.05; done`;
  const meet = `echo . >> ${file}; test $(wc -l < ${file}) = 1 || ${wait}`;
  const files = { 'package.json': manifestWith({ scripts: { prepare: `touch made.txt; ${meet}` } }) };
  const ended = await Promise.all([1, 2, 3].map(() => installed(checkout(files), cache)));
  expect(ended).toEqual(['run', 'run', 'run']);
});

test('who waits for a set-up that is killed makes it, and the next waits for that', async () => {
  const cache = cacheOf();
  const began = join(root, 'building');
  // Only the first hangs.
  const hang = `test -e ${began} || { touch ${began}; exec sleep 600; }`;
  const files = { 'package.json': manifestWith({ scripts: { preinstall: hang } }) };
  const { child, asked } = elsewhere(options(checkout(files), cache));
  await eventually('the first is under way', () => existsSync(began));
  const others = [1, 2].map(() => installed(checkout(files), cache));
  child.kill('SIGKILL');
  expect((await Promise.all(others)).sort()).toEqual(['copied', 'run']);
  await eventually('the first has ended', () => !listMarked().some(({ mark }) => mark === asked.mark));
});

test('an entry that cannot be copied whole is no entry: the set-up runs, and nothing of the copy is left', async () => {
  const cache = cacheOf();
  await installed(checkout(), cache);
  const bin = fakeCopy('for to; do :; done; mkdir -p "$to/node_modules/half"; echo no space left >&2; exit 1');
  const folder = checkout();
  expect(await installed(folder, cache, { PATH: `${bin}${delimiter}${process.env.PATH}` })).toBe('run');
  expect(existsSync(join(folder, 'node_modules/half'))).toBe(false);
});

test('kill -9 while an entry is being made leaves no entry, ends the copy, and the next one makes it', async () => {
  const cache = cacheOf();
  const began = join(root, 'copying');
  const bin = fakeCopy(`touch ${began}; exec sleep 600`);
  const asked = options(checkout(), cache, { PATH: `${bin}${delimiter}${process.env.PATH}` });
  const { child } = elsewhere(asked);
  await eventually('the copy has begun', () => existsSync(began));
  child.kill('SIGKILL');
  await once(child, 'exit');
  await eventually('the copy has ended', () => !listMarked().some(({ mark }) => mark === asked.mark));
  expect(kept(cache)).toEqual([]);
  expect(await installed(checkout(), cache)).toBe('run');
  expect(await installed(checkout(), cache)).toBe('copied');
  await evict(cache, Date.now() + 2 * 3_600_000);
  expect(all(cache)).toHaveLength(1);
});

test('what was used least lately goes first when it becomes too much', async () => {
  const cache = cacheOf();
  const entry = (name: string, bytes: number, ageMs: number) => {
    const file = join(cache.folder, name, 'entry.json');
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, JSON.stringify({ paths: [], bytes }));
    utimesSync(file, (Date.now() - ageMs) / 1000, (Date.now() - ageMs) / 1000);
  };
  entry('old', 400, 3000);
  entry('new', 400, 1000);
  entry('older', 400, 9000);
  await evict({ ...cache, bytesMax: 1000 }, Date.now());
  expect(kept(cache).sort()).toEqual(['new', 'old']);
  await evict({ ...cache, bytesMax: 100 }, Date.now());
  expect(kept(cache)).toEqual([]);
});

test('a set-up larger than the cache, or than what the disk can spare, is not kept', async () => {
  for (const limit of [{ bytesMax: 1 }, { diskReserve: Number.MAX_SAFE_INTEGER }]) {
    const cache = { ...cacheOf(), ...limit };
    expect(await installed(checkout(), cache)).toBe('run');
    expect(kept(cache)).toEqual([]);
  }
});

/** A folder with a program `cp` that does this instead. */
const fakeCopy = (script: string): string => {
  const bin = join(root, `bin-${++count}`);
  write(bin, { cp: `#!/bin/sh\n${script}\n` });
  chmodSync(join(bin, 'cp'), 0o755);
  return bin;
};

/** A set-up in a process of its own, which a test can kill. */
const elsewhere = (asked: ReturnType<typeof options>) => {
  const { signal: _, onCommand: __, ...plainOptions } = asked;
  const code = `import { setUp } from '@nexus/shared/project';
    await setUp({ ...${JSON.stringify(plainOptions)}, signal: new AbortController().signal, onCommand: () => {} });`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', code], {
    cwd: dirname(fileURLToPath(new URL('../../package.json', import.meta.url))),
    stdio: 'inherit',
  });
  return { child, asked };
};
