/** What a message that died leaves to whoever waits for its answer, so that nothing waits for ever. */
import { AppError } from '@nexus/shared/errors';
import { type Death, entryOf, isKind, type Kind } from '@nexus/shared/messages';
import type { Envelope } from './envelope.ts';
import type { Outcome } from './outcome.ts';

type Cause = Extract<Outcome, { is: 'dead' }>;

/** The dead letter, as it is kept for people: the message, what it died of, when and with whom, and what to do. */
export const letterOf = (
  envelope: Envelope,
  { code, says, causes }: Cause,
  by: { service: string; instance_id: string },
) => ({
  ...{ id: envelope.message_id, died_at: new Date().toISOString(), ...by, code, says, causes },
  ...{ operator: new AppError(code).entry.operator, envelope },
});

/**
 * The message that is sent instead of an answer; null where nobody waits for one. `readable`: the message fits its
 * schema. One that does not may still name its subtask, and that is told of the end of its attempt; but a whole board
 * never ends by something that may be a slip of somebody's pen.
 */
export const lastWordsOf = (
  { type, payload }: Envelope,
  readable: boolean,
  death: Death,
): { type: Kind; payload: unknown } | null => {
  if (!isKind(type)) return null;
  const { died, ledgerOnly } = entryOf(type);
  if (died === undefined || (!readable && ledgerOnly)) return null;
  const word = died(payload ?? {}, death);
  if (!isKind(word.type) || !entryOf(word.type).payload.safeParse(word.payload).success) return null;
  return { type: word.type, payload: word.payload };
};
