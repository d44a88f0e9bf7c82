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

/** So much of everything goes by before it counts: a service runs for days, and its code is long compiled. */
const warmShare = 0.2;

export type Arrivals = {
  /** Resolves when so many have arrived as were expected. */
  all: Promise<void>;
  /** One has arrived that was sent then (`clockMs`); 0: nobody asks how long it took. */
  met(sentAt: number): void;
  /** Rate and times of those that came after the first fifth, which warms up. */
  report(): { count: number; per_second: number; p50_ms: number; p99_ms: number };
};

/** Counts what arrives: how many a second, and how long each was under way. */
export const arrivals = (expected: number): Arrivals => {
  const took: number[] = [];
  const warming = Math.max(1, Math.floor(expected * warmShare));
  const all = Promise.withResolvers<void>();
  let [warm, last, count] = [0, 0, 0];
  return {
    all: all.promise,
    met: (sentAt) => {
      last = clockMs();
      count += 1;
      if (count === warming) warm = last;
      else if (count > warming && sentAt > 0) took.push(last - sentAt);
      if (count === expected) all.resolve();
    },
    report: () => ({
      count,
      per_second: ((count - warming) / (last - warm)) * 1000,
      p50_ms: quantile(took, 0.5),
      p99_ms: quantile(took, 0.99),
    }),
  };
};

/**
 * Closed loop: so many are kept under way until all have been sent. Those that end in one tick are replaced in one
 * call of `send`, with the numbers from `first` on. `all` resolves when the last has ended.
 */
export const closedLoop = (count: number, inFlight: number, send: (first: number, many: number) => unknown) => {
  const ends = arrivals(count);
  let [sent, owed] = [0, 0];
  const refill = (): void => {
    const many = Math.min(owed, count - sent);
    owed = 0;
    if (many === 0) return;
    sent += many;
    send(sent - many, many);
  };
  return {
    all: ends.all,
    begin: (): void => {
      owed = inFlight;
      refill();
    },
    ended: (): void => {
      ends.met(0);
      if (owed === 0) setImmediate(refill);
      owed += 1;
    },
    perSecond: (): number => ends.report().per_second,
  };
};
