/**
 * Sending at a pace, and measuring what arrives. Times are of the monotonic clock that all processes of a
 * machine share, so that a sender's stamp can be compared with a receiver's.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { quantile } from './figures.ts';

/** Milliseconds of the machine's monotonic clock. */
export const clockMs = (): number => {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * 1000 + nanoseconds / 1e6;
};

/** Resolves when whoever started this process says that its part is over. */
export const untilEnd = (): Promise<void> => new Promise((resolve) => process.once('message', () => resolve()));

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
  await Promise.all(Array.from({ length: Math.min(windowMax, count) }, lane));
};

/** How many are due after so long at so many a second: the first at once, never more than there are. */
export const dueBy = (elapsedMs: number, rate: number, count: number): number =>
  Math.min(count, Math.floor((elapsedMs / 1000) * rate) + 1);

/** Open loop: so many a second, whether answers come or not. */
export const paced = async (count: number, rate: number, send: (n: number) => Promise<unknown>): Promise<void> => {
  const began = performance.now();
  const flying: Promise<unknown>[] = [];
  for (let n = 0; n < count; ) {
    const due = dueBy(performance.now() - began, rate, count);
    while (n < due) flying.push(send(n++));
    await sleep(1);
  }
  await Promise.all(flying);
};

export type Arrivals = {
  /** Resolves when so many have arrived as were expected. */
  all: Promise<void>;
  /** One has arrived that was sent then (`clockMs`); 0: nobody asks how long it took. */
  met(sentAt: number): void;
  /** From `beganAt` if it is given, else from the first arrival, to the last. */
  report(beganAt?: number): { count: number; per_second: number; p50_ms: number; p99_ms: number };
};

/** Counts what arrives: how many a second, and how long each was under way, but for the first tenth, which warms up. */
export const arrivals = (expected: number): Arrivals => {
  const took: number[] = [];
  const warming = expected / 10;
  const all = Promise.withResolvers<void>();
  let [first, last, count] = [0, 0, 0];
  return {
    all: all.promise,
    met: (sentAt) => {
      last = clockMs();
      if (count === 0) first = last;
      count += 1;
      if (sentAt > 0 && count > warming) took.push(last - sentAt);
      if (count === expected) all.resolve();
    },
    report: (beganAt) => ({
      count,
      per_second: ((beganAt === undefined ? count - 1 : count) / (last - (beganAt ?? first))) * 1000,
      p50_ms: quantile(took, 0.5),
      p99_ms: quantile(took, 0.99),
    }),
  };
};

/**
 * Closed loop: so many are kept under way until all have been sent. Those that end in one tick are replaced in one
 * call of `send`, with the numbers from `first` on. Resolves when the last has ended.
 */
export const closedLoop = (count: number, inFlight: number, send: (first: number, many: number) => unknown) => {
  const all = Promise.withResolvers<void>();
  let [sent, ended, owed] = [0, 0, 0];
  const refill = (): void => {
    const many = Math.min(owed, count - sent);
    owed = 0;
    if (many === 0) return;
    sent += many;
    send(sent - many, many);
  };
  return {
    all: all.promise,
    begin: (): void => {
      owed = inFlight;
      refill();
    },
    ended: (): void => {
      ended += 1;
      if (ended === count) all.resolve();
      if (owed === 0) setImmediate(refill);
      owed += 1;
    },
  };
};
