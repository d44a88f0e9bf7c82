/**
 * Looks at settlements from outside, at the connection: the bus itself has no place for a stopwatch that only a
 * benchmark reads. Both functions change how ioredis defines the settling script in this process, for connections
 * that are opened afterwards.
 */
import { Redis } from 'ioredis';

type Call = (...parts: (string | number)[]) => Promise<unknown>;
type Definition = { numberOfKeys: number; lua: string };

/** Group, consumer, length of the journal; then the number of sets (settle-7.lua). */
const headerLength = 3;
/** Inbox, epoch and deliveries that the entries of a set have in common, the ids and lines of those that only end. */
const commonLength = 5;

/** Tells of each settlement that Redis has acknowledged, and how many deliveries it held: they end in order. */
export const watchSettlements = (acknowledged: (deliveries: number) => void): void =>
  replaceSettle((call, keys) => async (...parts) => {
    const results = await call(...parts);
    const setAt = keys + headerLength + 1;
    const ids = String(parts[setAt + 3]);
    acknowledged((ids === '' ? 0 : ids.split(' ').length) + Number(parts[setAt + commonLength]));
    return results;
  });

/** Holds settlements back until one call settles at least so many deliveries. */
export const gatherSettlements = (deliveries: number): void =>
  replaceSettle((call, keys) => {
    const setsAt = keys + headerLength;
    const countAt = setsAt + 1 + commonLength;
    let held: { parts: (string | number)[]; resolve(results: unknown): void; reject(error: unknown): void }[] = [];
    const send = async (): Promise<void> => {
      const batch = held;
      held = [];
      const counts = batch.map(({ parts }) => Number(parts[countAt]));
      const head = batch[0]?.parts.slice(0, countAt) ?? [];
      // All that a benchmark settles lies in one inbox, so it is one set, and all of it writes.
      if (batch.some(({ parts }) => parts[setsAt] !== 1 || parts[setsAt + 4] !== ''))
        throw new Error('a settlement of several sets, or of what only ends');
      const entries = batch.flatMap(({ parts }) => parts.slice(countAt + 1));
      try {
        const [plain, ...results] = (await call(...head, counts.reduce(sum, 0), ...entries)) as string[];
        for (const [at, { resolve }] of batch.entries()) resolve([plain, ...results.splice(0, counts[at])]);
      } catch (error) {
        for (const { reject } of batch) reject(error);
      }
    };
    return (...parts) =>
      new Promise((resolve, reject) => {
        held.push({ parts, resolve, reject });
        const waiting = held.map((one) => Number(one.parts[countAt])).reduce(sum, 0);
        if (waiting >= deliveries) void send();
      });
  });

const sum = (one: number, other: number): number => one + other;

const replaceSettle = (replace: (call: Call, keys: number) => Call): void => {
  const define = Redis.prototype.defineCommand;
  Redis.prototype.defineCommand = function (this: Redis, name: string, definition: Definition) {
    define.call(this, name, definition);
    if (name !== 'nexusSettle') return;
    const scripts = this as unknown as { nexusSettle: Call };
    scripts.nexusSettle = replace(scripts.nexusSettle.bind(this), definition.numberOfKeys);
  } as typeof define;
};
