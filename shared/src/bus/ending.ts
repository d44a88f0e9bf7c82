/**
 * Ends that do not wait for ever. Without Redis, parts of a close have to do without their answer: what is left
 * open then is safe, for claims lapse and alarms that are lost are swept. It is only named, once.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from './redis.ts';

/** Even the last step gets a moment: most need none. */
const leastMs = 100;

/** Steps that share one limit: each gets what is left of it. `left` names those that did not come to their end. */
export const makeEnding = (limitMs: number) => {
  const until = performance.now() + limitMs;
  const left: string[] = [];
  return {
    left: left as readonly string[],
    /** Waits for a step; never throws. */
    step: async (name: string, ended: Promise<unknown> | undefined): Promise<void> => {
      if (!(await endedWithin(ended, Math.max(leastMs, until - performance.now())))) left.push(name);
    },
  };
};
export type StepwiseEnding = ReturnType<typeof makeEnding>;

/** True if it ended well within so many milliseconds; false if it failed or still goes on. */
export const endedWithin = async (ended: Promise<unknown> | undefined, limitMs: number): Promise<boolean> => {
  const late = new AbortController();
  const timeout = sleep(limitMs, false, { signal: late.signal }).catch(() => false);
  const well = Promise.resolve(ended).then(
    () => true,
    () => false,
  );
  const inTime = await Promise.race([well, timeout]);
  late.abort();
  return inTime;
};

/**
 * Ends a connection and fails whatever still waits for an answer on it. Between two tries to connect, ioredis
 * itself would leave that waiting for ever: a try that is called off at once clears it away.
 */
export const endConnection = (redis: Redis): void => {
  redis.disconnect();
  if (redis.status !== 'reconnecting') return;
  redis.connect().catch(() => undefined);
  redis.disconnect();
};
