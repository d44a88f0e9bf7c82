import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { lockOnMachine } from './machine-lock.ts';

const soon = { waitMs: 20_000 };
const now = { waitMs: 0 };

/** A process that holds the lock, and says so. */
const holder = async (name: string) => {
  const door = fileURLToPath(new URL('./machine-lock.ts', import.meta.url));
  const code = `const { lockOnMachine } = await import(${JSON.stringify(door)});
    const release = await lockOnMachine(${JSON.stringify(name)}, { waitMs: 0 });
    console.log(release === null ? 'taken' : 'held');
    setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', code], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [says] = await once(createInterface(child.stdout), 'line');
  return { child, says };
};

test('one has the lock, others are told so or wait for it, and names do not meet', async () => {
  const name = randomUUID();
  const release = await lockOnMachine(name, now);
  expect(release).not.toBeNull();
  expect(await lockOnMachine(name, now)).toBeNull();
  const other = await lockOnMachine(randomUUID(), now);
  expect(other).not.toBeNull();
  other?.();
  const next = lockOnMachine(name, soon);
  release?.();
  (await next)?.();
  const again = await lockOnMachine(name, now);
  expect(again).not.toBeNull();
  again?.();
});

test('of many that ask at once exactly one has it at a time', async () => {
  const name = randomUUID();
  let [inside, most] = [0, 0];
  const work = async () => {
    const release = await lockOnMachine(name, soon);
    inside += 1;
    most = Math.max(most, inside);
    await new Promise(setImmediate);
    inside -= 1;
    release?.();
  };
  await Promise.all(Array.from({ length: 20 }, work));
  expect(most).toBe(1);
});

test('the lock of a process that was killed is free at once', async () => {
  const name = randomUUID();
  const { child, says } = await holder(name);
  expect(says).toBe('held');
  expect(await lockOnMachine(name, now)).toBeNull();
  const next = lockOnMachine(name, soon);
  child.kill('SIGKILL');
  expect(await next).not.toBeNull();
  (await next)?.();
});

test('who waits for it can be stopped', async () => {
  const name = randomUUID();
  const release = await lockOnMachine(name, now);
  const abort = new AbortController();
  const waiting = lockOnMachine(name, { ...soon, signal: abort.signal });
  abort.abort(new Error('enough'));
  await expect(waiting).rejects.toThrow('enough');
  release?.();
});
