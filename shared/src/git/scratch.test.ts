import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, onTestFinished, test } from 'vitest';
import { sweepScratch } from './scratch.ts';

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'nexus-scratch-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** A process that has a scratch folder and waits. */
const worker = async (what: string) => {
  const file = fileURLToPath(new URL('./scratch.ts', import.meta.url));
  const code = `import { makeScratch } from '${file}';
    console.log(await makeScratch('${what}'));
    setInterval(() => {}, 1e6);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', code], {
    env: { PATH: process.env.PATH, TMPDIR: folder },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const kill = async () => {
    child.kill('SIGKILL');
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  };
  onTestFinished(kill);
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  return { made: line.toString().trim(), kill };
};

test('the credentials of a process that was killed go, and those of one that lives stay', async () => {
  const [killed, alive] = await Promise.all([worker('secret'), worker('git')]);
  writeFileSync(join(killed.made, 'credentials'), 'https://me:hush@example.com\n');
  await killed.kill();
  expect(await sweepScratch({ folder })).toEqual([killed.made]);
  expect([killed.made, alive.made].map(existsSync)).toEqual([false, true]);
});

test('what another machine left goes after a day, and nothing else is touched', async () => {
  const names = ['nexus-git-elsewhere-1-abcdef', 'nexus-git-test-abcdef', 'nexus-release-abcdef'];
  for (const name of names) mkdirSync(join(folder, name));
  expect(await sweepScratch({ folder })).toEqual([]);
  expect(await sweepScratch({ folder, now: Date.now() + 25 * 3_600_000 })).toEqual([join(folder, names[0] ?? '')]);
});
