/**
 * What is not to be lost by a failover is confirmed by replicas (rule 29): a new task before its 202, and a STOP.
 *
 * WAIT waits for the last write of its own connection. So whoever writes asks on that same connection, and a
 * connection that broke in between confirms nothing.
 */
import { fail } from '@nexus/shared/errors';
import type { Keys } from './keys.ts';
import type { Redis } from './redis.ts';

export type Confirm = {
  /** Before the write. */
  begin(): number;
  /**
   * After it: resolves once the replicas have it. `again` says whether it may be asked for again; `fresh` is false
   * where nothing was written this time, for it had been written before. Throws BUS_UNCONFIRMED.
   */
  done(begun: number, write: { what: string; again: string; fresh: boolean }): Promise<void>;
};

export type ReplicaLimits = { countMin: number; waitMs: number };

export const makeConfirm = (redis: Redis, keys: Keys, { countMin, waitMs }: ReplicaLimits): Confirm => {
  let breaks = 0;
  redis.on('close', () => {
    breaks += 1;
  });
  return {
    begin: () => breaks,
    done: async (begun, { what, again, fresh }) => {
      if (countMin === 0) return;
      const unconfirmed = (count: number, cause?: unknown) =>
        fail('BUS_UNCONFIRMED', { count, countMin, what, waitMs, again }, { cause });
      try {
        // An earlier write may have come by another connection: what is written now stands behind it.
        if (!fresh) await redis.set(keys.confirm, what, 'EX', 60);
        const count = await redis.wait(countMin, waitMs);
        if (count < countMin || breaks !== begun) throw unconfirmed(breaks === begun ? count : 0);
      } catch (error) {
        throw error instanceof Error && error.name === 'AppError' ? error : unconfirmed(0, error);
      }
    },
  };
};
