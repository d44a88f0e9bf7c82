/**
 * Sending at a pace, and measuring what arrives.
 */
import { setTimeout as sleep } from 'node:timers/promises';

/** As fast as it goes, with at most so many under way. */
export const windowed = async (
  count: number,
  windowMax: number,
  send: (n: number) => Promise<unknown>,
): Promise<void> => {
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < count) await send(next++);
  };
  await Promise.all(Array.from({ length: windowMax }, lane));
};

/** Open loop: so many a second, whether answers come or not. */
export const paced = async (count: number, rate: number, send: (n: number) => Promise<unknown>): Promise<void> => {
  const began = performance.now();
  const flying: Promise<unknown>[] = [];
  for (let n = 0; n < count; ) {
    const due = Math.min(count, Math.ceil(((performance.now() - began) / 1000) * rate));
    while (n < due) flying.push(send(n++));
    await sleep(1);
  }
  await Promise.all(flying);
};

/** Counts arrivals: rate from the first to the last, and the time each took since it was sent (wall clock, ms). */
export const latencies = (expected: number) => {
  const took: number[] = [];
  let first = 0;
  let last = 0;
  let count = 0;
  const all = Promise.withResolvers<void>();
  return {
    all: all.promise,
    met: (sentAt: number): void => {
      last = performance.now();
      if (count === 0) first = last;
      count += 1;
      if (sentAt > 0) took.push(performance.timeOrigin + last - sentAt);
      if (count === expected) all.resolve();
    },
    report: (): Record<string, unknown> => {
      took.sort((a, b) => a - b);
      const at = (share: number): number => took[Math.min(took.length - 1, Math.floor(took.length * share))] ?? 0;
      return { count, per_second: ((count - 1) / (last - first)) * 1000, p50_ms: at(0.5), p99_ms: at(0.99) };
    },
  };
};
