/**
 * How this process stands with Redis: what `/health` says, and the two log lines of an outage.
 */
import type { Log } from '@nexus/shared/telemetry';
import { beatMs } from './claims.ts';
import { shownUrl } from './redis.ts';

export type BusHealth = { ok: boolean; says: string; since: string };

/** Trouble with Redis is said once when it begins and once when it is over. */
export const makeTroubles = (log: Log, url: string) => {
  let since: Date | null = null;
  let says = '';
  let wellSince = new Date();
  return {
    met: (error: Error): void => {
      says = error.message || 'connection refused';
      if (since !== null) return;
      since = new Date();
      log.warn({ reason: says }, `Redis at ${shownUrl(url)} does not answer; what is due waits`);
    },
    over: (): void => {
      if (since === null) return;
      log.info({ seconds: Math.round((Date.now() - since.getTime()) / 1000) }, 'Redis answers again');
      since = null;
      wellSince = new Date();
    },
    health: (sinceBeatMs: number, sinceTurnMs: number): BusHealth => {
      const before = (ms: number): string => new Date(Date.now() - ms).toISOString();
      if (since !== null) return { ok: false, says: `Redis does not answer: ${says}`, since: since.toISOString() };
      if (sinceBeatMs > 5 * beatMs)
        return { ok: false, says: 'Redis has answered no beat', since: before(sinceBeatMs) };
      if (sinceTurnMs > 10_000) return { ok: false, says: 'Nothing has been read', since: before(sinceTurnMs) };
      return { ok: true, says: 'Redis answers', since: wellSince.toISOString() };
    },
  };
};
