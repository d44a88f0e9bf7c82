/**
 * Waiting for facts, not for time.
 */
import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Asks again until the answer is neither undefined, null nor false, and gives it; fails after `withinMs` with what
 * was waited for. The pause between two questions is short and decides nothing.
 */
export const eventually = async <T>(
  what: string,
  ask: () => T | Promise<T>,
  withinMs = 20_000,
): Promise<NonNullable<Exclude<T, false>>> => {
  const until = performance.now() + withinMs;
  let last: unknown;
  for (;;) {
    try {
      const answer = await ask();
      if (answer !== undefined && answer !== null && answer !== false) return answer as NonNullable<Exclude<T, false>>;
      last = answer;
    } catch (error) {
      last = error;
    }
    if (performance.now() > until) throw new Error(`it did not come to pass: ${what}`, { cause: last });
    await sleep(10);
  }
};

/** A promise with its ends outside: to hold a handler until the test lets it go. */
export const deferred = <T = void>(): { promise: Promise<T>; resolve(value: T): void; reject(error: unknown): void } =>
  Promise.withResolvers<T>();

/** Waits for the end of a signal; one that is aborted already would tell nobody of it again. */
export const untilAborted = (signal: AbortSignal): Promise<unknown> =>
  new Promise((resolve) => (signal.aborted ? resolve(null) : signal.addEventListener('abort', resolve)));
