/**
 * Stage 6: messages that wait for a time lie in the park, settled, as whole envelopes. BullMQ holds only their
 * ids: an alarm that is lost costs seconds, for a sweep finds what is due (rule 15).
 */
import { type Envelope, uuidV8 } from './envelope.ts';
import type { Keys } from './keys.ts';
import type { FollowUp, LedgerWrite } from './outcome.ts';
import { callScript, type Redis } from './redis.ts';

/** How long before the n-th retry: exponential ×2 with full jitter, at most five minutes. */
export const retryDelayMs = (attempt: number, baseMs: number, random: () => number = Math.random): number =>
  Math.round(random() * Math.min(300_000, baseMs * 2 ** (attempt - 1))) + 1;

/** Moves these messages to their inboxes if they are due; without ids whatever is due. Returns how many moved. */
export const release = async (redis: Redis, keys: Keys, ids: string[] = [], limit = 500): Promise<number> =>
  Number(await callScript(redis, 'nexusRelease', [keys.parked, keys.due, keys.journal], [limit, ...ids]));

/** How many messages are parked now. */
export const countParked = (redis: Redis, keys: Keys): Promise<number> => redis.zcard(keys.due);

/** The id that a follow-up of this message has, in the park, too: known before it is settled (rule 13). */
export const followUpId = (
  { message_id }: Pick<Envelope, 'message_id'>,
  next: Pick<FollowUp, 'type' | 'key'>,
): string => uuidV8(`${message_id}\n${next.type}\n${next.key}`);

/** Takes a message out of the park, by its id: nobody waits for it any more. No write where it is not there. */
export const unpark = (keys: Keys, id: string): LedgerWrite[] => [
  { op: 'unset', key: keys.parked, field: id },
  { op: 'unindex', key: keys.due, member: id },
];
