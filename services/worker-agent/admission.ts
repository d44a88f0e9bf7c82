/**
 * Admission: how many attempts more this machine can hold just now, and why none.
 *
 * Asked before each read of the inbox. A worker that refuses goes on with what it runs; its messages wait, or go to
 * others.
 */
import { existsSync, readFileSync, statfsSync } from 'node:fs';
import { freemem } from 'node:os';
import { join } from 'node:path';

/** What is looked at: bytes that are free, and the agents that this worker and others run on this machine. */
export type Readings = {
  memoryFree(): number;
  diskFree(): number;
  agentsHere(): number;
  agentsElsewhere(): number;
};
type Limits = { slots: number; agentsMax: number; memoryReserve: number; diskReserve: number; home: string };

export type Admission = {
  room(): number;
  /** Why there is none: a sentence; null where there is. */
  refuses(): string | null;
  /** Another worker took a seat meanwhile: the next question looks again. */
  lookAgain(): void;
};

/** Finding the agents of other workers means reading every process of the machine. */
const keptMs = 500;

export const openAdmission = (
  limits: Limits,
  readings: Readings,
  now: () => number = () => performance.now(),
): Admission => {
  let last = { at: Number.NEGATIVE_INFINITY, elsewhere: 0 };
  const look = (): { agents: number; refuses: string | null } => {
    if (limits.agentsMax > 0 && now() - last.at >= keptMs) last = { at: now(), elsewhere: readings.agentsElsewhere() };
    const agents = last.elsewhere + readings.agentsHere();
    return { agents, refuses: whyFull({ memory: readings.memoryFree(), disk: readings.diskFree(), agents }, limits) };
  };
  return {
    room: () => {
      const { agents, refuses } = look();
      if (refuses !== null) return 0;
      return limits.agentsMax > 0 ? limits.agentsMax - agents : limits.slots;
    },
    refuses: () => look().refuses,
    lookAgain: () => {
      last = { ...last, at: Number.NEGATIVE_INFINITY };
    },
  };
};

const whyFull = (
  { memory, disk, agents }: { memory: number; disk: number; agents: number },
  { agentsMax, memoryReserve, diskReserve, home }: Limits,
): string | null => {
  if (memory < memoryReserve) {
    return `${megabytes(memory)} MB of memory are free; NEXUS_MEMORY_RESERVE keeps ${megabytes(memoryReserve)}.`;
  }
  if (disk < diskReserve) {
    return `${home} has ${megabytes(disk)} MB free; NEXUS_DISK_RESERVE keeps ${megabytes(diskReserve)}.`;
  }
  return agentsMax > 0 && agents >= agentsMax
    ? `${agents} ${agents === 1 ? 'agent runs' : 'agents run'} on this machine; NEXUS_AGENTS_MAX is ${agentsMax}.`
    : null;
};

/** The readings of this machine. `root` is where /proc and /sys lie. */
export const readMachine = (
  home: string,
  agents: Pick<Readings, 'agentsHere' | 'agentsElsewhere'>,
  root = '/',
): Readings => ({
  memoryFree: () => Math.min(machineFree(root), containerFree(root)),
  diskFree: () => diskFree(groundOf(home)),
  ...agents,
});

/** Where clones lie, which may be a disk of its own; before the first of them the home. */
export const groundOf = (home: string): string => {
  const ground = join(home, 'workspaces');
  return existsSync(ground) ? ground : home;
};

/** A folder that cannot be asked holds nothing. */
const diskFree = (folder: string): number => {
  try {
    const { bavail, bsize } = statfsSync(folder);
    return bavail * bsize;
  } catch {
    return 0;
  }
};

/** What the kernel could still give; `freemem` elsewhere. */
const machineFree = (root: string): number => {
  const found = /^MemAvailable:\s+(\d+) kB$/m.exec(textOf(`${root}proc/meminfo`))?.[1];
  return found === undefined ? freemem() : Number(found) * 1024;
};

/**
 * What a container may still take (cgroup v2, else v1); no limit: as much as there is. Cached files count as free:
 * the kernel drops them first. https://docs.kernel.org/admin-guide/cgroup-v2.html#memory-interface-files
 */
const containerFree = (root: string): number => {
  const group = `${root}sys/fs/cgroup/`;
  const limit = numberIn(`${group}memory.max`) ?? numberIn(`${group}memory/memory.limit_in_bytes`);
  const used = numberIn(`${group}memory.current`) ?? numberIn(`${group}memory/memory.usage_in_bytes`);
  if (limit === null || used === null) return Number.POSITIVE_INFINITY;
  const stat = textOf(`${group}memory.stat`) || textOf(`${group}memory/memory.stat`);
  const cached = Number(/^(?:total_)?inactive_file (\d+)$/m.exec(stat)?.[1] ?? 0);
  return Math.max(0, limit - used + cached);
};

/** `max` is no number. */
const numberIn = (file: string): number | null => {
  const text = textOf(file).trim();
  return /^\d+$/.test(text) ? Number(text) : null;
};

const textOf = (file: string): string => {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
};

const megabytes = (bytes: number): number => Math.floor(bytes / 1e6);
