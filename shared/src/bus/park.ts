/**
 * Stage 6: messages that wait for a time lie in the park, settled, as whole envelopes. BullMQ holds only their
 * ids: an alarm that is lost costs seconds, for a sweep finds what is due (rule 15).
 */
import type { Keys } from './keys.ts';
import { callScript, type Redis } from './redis.ts';

/** How long before the n-th retry: exponential ×2 with full jitter, at most five minutes. */
export const retryDelayMs = (attempt: number, baseMs: number, random: () => number = Math.random): number =>
  Math.round(random() * Math.min(300_000, baseMs * 2 ** (attempt - 1))) + 1;

/** Moves these messages to their inboxes if they are due; without ids whatever is due. Returns how many moved. */
export const release = async (redis: Redis, keys: Keys, ids: string[] = [], limit = 500): Promise<number> =>
  Number(await callScript(redis, 'nexusRelease', [keys.parked, keys.due, keys.journal], [limit, ...ids]));

/** How many messages are parked now. */
export const countParked = (redis: Redis, keys: Keys): Promise<number> => redis.zcard(keys.due);
