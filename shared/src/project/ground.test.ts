import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { cacheEnvironment, openGround, setUp } from './project.ts';

let above = '';
beforeEach(() => {
  above = mkdtempSync(join(tmpdir(), 'nexus-ground-'));
});
afterEach(() => rmSync(above, { recursive: true, force: true }));

test('a clone without a manifest is not taken for a part of the project that lies above it', async () => {
  writeFileSync(join(above, 'package.json'), '{ "type": "module" }');
  const ground = join(above, '.nexus', 'gates');
  await openGround(ground, 0);
  await openGround(ground, 0);
  mkdirSync(join(ground, 'clone'));
  writeFileSync(join(ground, 'clone', 'a.js'), 'console.log(typeof require)');
  expect(execFileSync(process.execPath, ['a.js'], { cwd: join(ground, 'clone') }).toString()).toBe('function\n');
});

test('nothing begins on a full disk (DISK_FULL)', async () => {
  await expect(openGround(above, Number.MAX_SAFE_INTEGER)).rejects.toMatchObject({ code: 'DISK_FULL' });
});

test('the caches of all package managers lie in the home, and npm is told nothing that it does not know', () => {
  const found = cacheEnvironment('/home/of');
  expect(found).toMatchObject({ npm_config_cache: '/home/of/caches/npm', PNPM_HOME: '/home/of/caches/pnpm' });
  expect(found).not.toHaveProperty('npm_config_store_dir');
});

test('set-up ends with the first command that fails, or never does', async () => {
  const ran: string[] = [];
  const how = {
    folder: above,
    env: {},
    mark: `test-${process.pid}-set-up`,
    outputBytesMax: 1e6,
    signal: new AbortController().signal,
    onCommand: (command: string) => void ran.push(command),
  };
  const { failed, log } = await setUp({ ...how, commands: ['echo one', 'exit 9', 'echo two'], timeoutMs: 60_000 });
  expect(failed).toMatchObject({ command: 'exit 9', result: { exitCode: 9 } });
  expect(log).toBe('$ echo one\none\n\n$ exit 9\n\n');
  expect(ran).toEqual(['echo one', 'exit 9']);
  const { failed: late } = await setUp({ ...how, commands: ['sleep 300'], timeoutMs: 100 });
  expect(late?.result.timedOut).toBe(true);
});
