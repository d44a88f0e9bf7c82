import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { openSeats } from './seats.ts';

let home = '';
let alive: string[] = [];
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'nexus-seats-'));
  alive = [];
});
afterEach(() => rmSync(home, { recursive: true, force: true }));

const worker = (seatsMax = 3) => openSeats({ home, prefix: '{test}', seatsMax, tokensAlive: () => alive });
const tokens = (count: number, of: string) => Array.from({ length: count }, (_, at) => `${of}.${at}`);

test('of many workers that ask at the same moment exactly as many get a seat as there are', async () => {
  const workers = [worker(), worker(), worker(), worker()];
  const asked = workers.flatMap(({ take }, at) => tokens(5, `worker-${at}`).map((token) => take(token)));
  const got = (await Promise.all(asked)).filter((release) => release !== null);
  expect(got).toHaveLength(3);
  expect(await worker().take('late')).toBeNull();
  got[0]?.();
  expect(await worker().take('later')).not.toBeNull();
  expect(await worker().take('latest')).toBeNull();
});

test('a worker sees the seats of others, and its own not', async () => {
  const [one, other] = [worker(), worker()];
  const release = await one.take('one.1');
  expect([...one.elsewhere()]).toEqual([]);
  expect([...other.elsewhere()]).toEqual(['one.1']);
  release?.();
  expect([...other.elsewhere()]).toEqual([]);
});

test('what runs without a seat counts as well, and the same claim only once', async () => {
  alive = ['left.1', 'one.1'];
  const one = worker();
  expect(await one.take('one.1')).not.toBeNull();
  expect(await one.take('one.2')).not.toBeNull();
  expect(await one.take('one.3')).toBeNull();
  expect([...one.elsewhere()]).toEqual(['left.1']);
});

test('the seat of a worker that was killed is free as soon as its agent has ended, and not before', async () => {
  const door = fileURLToPath(new URL('./seats.ts', import.meta.url));
  const asked = JSON.stringify({ home, prefix: '{test}', seatsMax: 1 });
  const code = `const { openSeats } = await import(${JSON.stringify(door)});
    const release = await openSeats({ ...${asked}, tokensAlive: () => [] }).take('gone.1');
    console.log(release === null ? 'none' : 'taken');
    setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', code], { stdio: ['ignore', 'pipe', 'inherit'] });
  expect(await once(createInterface(child.stdout), 'line')).toEqual(['taken']);
  expect(await worker(1).take('next')).toBeNull();
  child.kill('SIGKILL');
  await once(child, 'exit');
  alive = ['gone.1'];
  expect(await worker(1).take('next')).toBeNull();
  alive = [];
  expect(await worker(1).take('next')).not.toBeNull();
  const folder = join(home, 'agents', readdirSync(join(home, 'agents'))[0] ?? '');
  expect(readdirSync(folder)).toHaveLength(1);
});
