import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect, test } from 'vitest';
import { eventually } from '../../test/tools/eventually.ts';
import { cpuMsOf, descendantsOf, memoryOf, readCpuMs, readMemory } from './process-cost.ts';

test('memory is read from a rollup: the fair share, and what is nobody else’s', () => {
  const rollup = `559d-7ffe ---p 00000000 00:00 0 [rollup]
Rss:              117000 kB
Pss:               60000 kB
Pss_Anon:          50000 kB
Private_Clean:      1000 kB
Private_Dirty:     49000 kB
Anonymous:         50000 kB
`;
  expect(readMemory(rollup)).toEqual({ pss: 61.44, own: 51.2, anonymous: 51.2 });
  expect(readMemory('').pss).toBeNaN();
});

test('CPU time is read behind the name, whatever the name is', () => {
  expect(readCpuMs('42 (a) b (c)) S 1 42 42 0 -1 4194304 9 0 0 0 150 25 0 0 20 0 11 0 77 1 1 1')).toBe(1750);
});

test.runIf(process.platform === 'linux')('a process can look at itself', () => {
  expect(memoryOf(process.pid).pss).toBeGreaterThan(10);
  expect(cpuMsOf(process.pid)).toBeGreaterThan(0);
});

test.runIf(process.platform === 'linux')(
  'what descends from a process is found, children of children too',
  async () => {
    const shell = spawn('sh', ['-c', 'sh -c "echo; sleep 60; :"; :'], { stdio: ['ignore', 'pipe', 'ignore'] });
    const ended = once(shell, 'exit');
    await once(shell.stdout, 'data');
    // It says so before it sleeps.
    const below = await eventually('it sleeps', () => {
      const seen = descendantsOf(shell.pid ?? 0);
      return seen.some(({ name }) => name === 'sleep') && seen;
    });
    const found = descendantsOf(process.pid);
    for (const { pid } of below.toReversed()) process.kill(pid, 'SIGKILL');
    shell.kill('SIGKILL');
    await ended;
    expect(found).toContainEqual({ pid: shell.pid, name: 'sh' });
    expect(below.map(({ name }) => name)).toContain('sh');
    expect(found).toEqual(expect.arrayContaining(below));
  },
);
