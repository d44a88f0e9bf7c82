/** What a part of the reliability benchmark is given and gives; and a fleet of real processes to measure by. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { openRealFleet, type RealFleet } from '../../test/chaos/fleet.ts';
import type { Measured } from './part.ts';

export type ReliabilityBench = {
  /** The sizes that the figures are about; else small ones, which show that it works. */
  full: boolean;
  /** How long memory is watched. */
  minutes: number;
  say(line: string): void;
  signal: AbortSignal;
};

export type ReliabilityPart = (bench: ReliabilityBench) => Promise<Measured>;

export type MeasuredFleet = RealFleet & {
  /** Lines that agents have written into `told`, each as its words. */
  lines(): string[][];
  told: string;
};

type Settings = { counts?: Record<string, number>; settings?: Record<string, string>; redisSettings?: string[] };

/** Opens a fleet, uses it, and ends it with all that it left, whatever happens. */
export const withRealFleet = async <T>(
  { signal }: ReliabilityBench,
  { counts = {}, settings = {}, redisSettings = [] }: Settings,
  use: (fleet: MeasuredFleet) => Promise<T>,
): Promise<T> => {
  const folder = mkdtempSync(join(tmpdir(), 'nexus-reliability-'));
  const told = join(folder, 'told');
  const lines = (): string[][] => {
    const text = tried(() => readFileSync(told, 'utf8')) ?? '';
    // A line that is being written is not there yet.
    return text
      .split('\n')
      .slice(0, -1)
      .map((line) => line.split(' '));
  };
  const fleet = await openRealFleet({ folder, counts, settings, redisSettings });
  try {
    await fleet.ready(signal);
    return await use({ ...fleet, told, lines });
  } finally {
    await fleet.stop(3000);
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  }
};

const tried = <T>(read: () => T): T | null => {
  try {
    return read();
  } catch {
    return null;
  }
};

/** Looks every few milliseconds until the answer is there; throws after `withinMs` with what was waited for. */
export const until = async <T>(
  what: string,
  look: () => T | Promise<T>,
  { signal, withinMs = 120_000, everyMs = 5 }: { signal: AbortSignal; withinMs?: number; everyMs?: number },
): Promise<NonNullable<Exclude<T, false>>> => {
  for (const began = performance.now(); performance.now() - began < withinMs; await sleep(everyMs)) {
    signal.throwIfAborted();
    const answer = await look();
    if (answer !== undefined && answer !== null && answer !== false) return answer as NonNullable<Exclude<T, false>>;
  }
  throw new Error(`it did not come to pass within ${withinMs / 1000} s: ${what}`);
};
