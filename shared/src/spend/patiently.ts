/** Redis may be away for a while: what is reserved and booked is asked until it answers. */
import { setTimeout as sleep } from 'node:timers/promises';
import { isConnectionError } from '@nexus/shared/bus';
import { toAppError } from '@nexus/shared/errors';

/** So long what was used is tried to be booked while its attempt is ended already. */
const lastTriesMs = 10_000;

/**
 * Asks until Redis answers: every script here can be asked again. Ends with the signal, or, for what has to be told
 * `evenSo`, a little later.
 */
export const patiently = async <T>(ask: () => Promise<T>, signal: AbortSignal, evenSo = false): Promise<T> => {
  let abortedAt: number | null = null;
  for (let pauseMs = 50; ; pauseMs = Math.min(1000, 2 * pauseMs)) {
    try {
      return await ask();
    } catch (thrown) {
      if (!isConnectionError(thrown)) throw toAppError(thrown);
      if (signal.aborted) abortedAt ??= performance.now();
      if (abortedAt !== null && (!evenSo || performance.now() - abortedAt > lastTriesMs)) throw toAppError(thrown);
      await sleep(pauseMs);
    }
  }
};
