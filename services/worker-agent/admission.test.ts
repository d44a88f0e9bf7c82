import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openAdmission, type Readings, readMachine } from './admission.ts';

const limits = { slots: 4, agentsMax: 0, memoryReserve: 500e6, diskReserve: 1e9, home: '/home/of' };
const plenty = { memory: 8e9, disk: 50e9, here: 0, elsewhere: 0 };
const admit = (given: Partial<typeof plenty>, limit: Partial<typeof limits> = {}) => {
  const now = { ...plenty, ...given };
  const readings: Readings = {
    memoryFree: () => now.memory,
    diskFree: () => now.disk,
    agentsHere: () => now.here,
    agentsElsewhere: () => now.elsewhere,
  };
  let at = 0;
  const admission = openAdmission({ ...limits, ...limit }, readings, () => at);
  const later = (change: Partial<typeof plenty>) => {
    Object.assign(now, change);
    at += 1000;
  };
  return { ...admission, now, later };
};

describe('a worker', () => {
  test('takes as many attempts as it has slots where there is room', () => {
    const { room, refuses } = admit({});
    expect([room(), refuses()]).toEqual([4, null]);
  });

  test('takes none while memory is short, says why, and takes some again when there is enough', () => {
    const { room, refuses, later } = admit({ memory: 400e6 });
    expect(room()).toBe(0);
    expect(refuses()).toBe('400 MB of memory are free; NEXUS_MEMORY_RESERVE keeps 500.');
    later({ memory: 600e6 });
    expect([room(), refuses()]).toEqual([4, null]);
  });

  test('takes none on a full disk', () => {
    const { room, refuses } = admit({ disk: 999e6 });
    expect(room()).toBe(0);
    expect(refuses()).toBe('/home/of has 999 MB free; NEXUS_DISK_RESERVE keeps 1000.');
  });

  test('takes no more than NEXUS_AGENTS_MAX of the machine, those of other workers counted, its own at once', () => {
    const { room, refuses, now, later } = admit({ elsewhere: 3 }, { agentsMax: 5 });
    expect(room()).toBe(2);
    now.here = 2;
    expect(room()).toBe(0);
    expect(refuses()).toBe('5 agents run on this machine; NEXUS_AGENTS_MAX is 5.');
    expect(admit({ elsewhere: 1 }, { agentsMax: 1 }).refuses()).toMatch(/^1 agent runs on this machine/);
    later({ elsewhere: 0 });
    expect(room()).toBe(3);
  });
});

describe('free memory and free disk', () => {
  let root = '';
  beforeEach(() => {
    root = `${mkdtempSync(join(tmpdir(), 'nexus-machine-'))}/`;
  });
  afterEach(() => rmSync(root, { recursive: true, force: true }));
  const file = (path: string, text: string) => {
    mkdirSync(join(root, path, '..'), { recursive: true });
    writeFileSync(join(root, path), text);
  };
  const none = { agentsHere: () => 0, agentsElsewhere: () => 0 };
  const free = () => readMachine('/', none, root).memoryFree();

  test('of memory: what the machine could give', () => {
    file('proc/meminfo', 'MemTotal:       8000000 kB\nMemAvailable:   3000000 kB\n');
    expect(free()).toBe(3_000_000 * 1024);
  });

  test('of memory: what a container may still take, its cached files counted as free', () => {
    file('proc/meminfo', 'MemAvailable:   3000000 kB\n');
    file('sys/fs/cgroup/memory.max', '1000000000\n');
    file('sys/fs/cgroup/memory.current', '900000000\n');
    file('sys/fs/cgroup/memory.stat', 'anon 1\ninactive_file 300000000\n');
    expect(free()).toBe(400_000_000);
    file('sys/fs/cgroup/memory.max', 'max\n');
    expect(free()).toBe(3_000_000 * 1024);
  });

  test('of memory: the same of an older kernel', () => {
    file('proc/meminfo', 'MemAvailable:   3000000 kB\n');
    file('sys/fs/cgroup/memory/memory.limit_in_bytes', '1000000000\n');
    file('sys/fs/cgroup/memory/memory.usage_in_bytes', '900000000\n');
    expect(free()).toBe(100_000_000);
  });

  test('are really there on this machine', () => {
    const here = readMachine('/', none);
    expect(here.memoryFree()).toBeGreaterThan(1e6);
    expect(here.diskFree()).toBeGreaterThan(1e6);
  });

  test('of disk: where clones lie, which may be one of its own, and before the first of them the home', () => {
    const home = mkdtempSync(join(tmpdir(), 'nexus-admission-'));
    const { diskFree } = readMachine(home, none);
    expect(diskFree()).toBeGreaterThan(0);
    // No disk is fuller than one that has no room at all.
    symlinkSync('/proc', join(home, 'workspaces'));
    expect(diskFree()).toBe(0);
    rmSync(home, { recursive: true });
  });
});
