import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { leaveOut } from '../../../test/tools/machine.ts';
import { type Limits, listMarked, probeSandbox, run } from './process.ts';

const root = mkdtempSync(join(tmpdir(), 'nexus-limits-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const { usable, says: whatSandbox } = await probeSandbox();
leaveOut('the sandbox', usable ? null : whatSandbox);
const linux = process.platform === 'linux';
let count = 0;

describe.each([
  ['as it is', false],
  ['in the sandbox', true],
])('limits of a tree %s', (_, boxed) => {
  const possible = linux && (!boxed || usable);
  const start = (command: string, limits: Limits) => {
    count += 1;
    const folder = mkdtempSync(join(root, 'work-'));
    const mark = `limits-${process.pid}-${count}`;
    const result = run({
      ...{ command, folder, mark, limits, leashed: true, timeoutMs: 20_000, outputBytesMax: 1_000_000, graceMs: 200 },
      ...(boxed ? { sandbox: { writable: [], hidden: [], network: false } } : {}),
    });
    return { result, folder, left: () => listMarked().filter((found) => found.mark === mark) };
  };
  const node = (code: string) => `'${process.execPath}' -e "${code}"`;

  test.runIf(possible)('processor time of all of it together', async () => {
    const spin = `while true; do :; done`;
    const { result, left } = start(`(${spin}) & (${spin}) & wait`, { cpuMs: 1000 });
    expect(await result).toMatchObject({ limit: 'cpu', timedOut: false, aborted: false });
    expect(left()).toEqual([]);
  });

  test.runIf(possible)('memory of all of it together', async () => {
    const hold = node('const held = Buffer.alloc(60e6, 1); setInterval(() => held.length, 1000)');
    const { result, left } = start(`${hold} & ${hold} & ${hold} & wait`, { memoryBytes: 150e6 });
    expect(await result).toMatchObject({ limit: 'memory' });
    expect(left()).toEqual([]);
  });

  test.runIf(possible)('processes at a time', async () => {
    const bomb = 'i=0; while [ $i -lt 60 ]; do sleep 60 & i=$((i+1)); done; wait';
    const { result, left } = start(bomb, { processes: 40 });
    expect(await result).toMatchObject({ limit: 'processes' });
    expect(left()).toEqual([]);
  });

  test.runIf(possible)('the size of a file', async () => {
    const { result, folder } = start('exec head -c 3000000 /dev/zero > large', { fileBytes: 1_000_000 });
    expect(await result).toMatchObject({ limit: 'file' });
    expect(statSync(join(folder, 'large')).size).toBeLessThanOrEqual(1_000_448);
  });

  test.runIf(possible)('a program within its limits is left alone', async () => {
    const { result } = start('head -c 900000 /dev/zero > large; sleep 1.2; echo done', {
      ...{ cpuMs: 60_000, memoryBytes: 1e9, processes: 20, fileBytes: 1_000_000 },
    });
    expect(await result).toMatchObject({ limit: null, exitCode: 0, stdout: 'done\n' });
  });
});
