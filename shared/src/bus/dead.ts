/**
 * Stage 8: dead letters. A message that cannot be handled is kept with its cause until a person decides:
 * read, replay, drop. They lie in a plain hash, so `redis-cli HGETALL '{nexus}:dead'` shows them.
 */
import { AppError, fail } from '@nexus/shared/errors';
import { serviceName } from '@nexus/shared/messages/domain';
import { type Envelope, encodeEnvelope, envelopeSchema, readEnvelope } from './envelope.ts';
import type { Keys } from './keys.ts';
import { journalText } from './publish.ts';
import { callScript, type Redis } from './redis.ts';

export type Letter = {
  id: string;
  died_at: string;
  service: string;
  instance_id: string;
  code: string;
  says: string;
  causes: string[];
  operator: string;
  envelope: Envelope;
};

export type DeadLetters = {
  /** Newest first. */
  list(options?: { limit?: number; offset?: number }): Promise<{ letters: Letter[]; total: number }>;
  /** Throws LETTER_UNKNOWN. */
  show(id: string): Promise<Letter>;
  /** Puts it back into its inbox, as a first attempt with its history. Throws LETTER_UNKNOWN, LETTER_UNREADABLE. */
  replay(id: string, actor: string): Promise<void>;
  /** Throws LETTER_UNKNOWN. */
  drop(id: string): Promise<void>;
};

export const makeDeadLetters = (redis: Redis, keys: Keys, journalMax: number): DeadLetters => {
  const show = async (id: string): Promise<Letter> => {
    const text = await redis.hget(keys.dead, id);
    if (text === null) throw fail('LETTER_UNKNOWN', { id });
    return { ...(JSON.parse(text) as Letter), id };
  };
  const remove = async (letter: Letter, json: string, short: string): Promise<void> => {
    const service = serviceName.safeParse(letter.service);
    const inbox = keys.inbox(service.data ?? 'orchestrator', letter.envelope.priority);
    const names = [keys.dead, keys.deadOrder, inbox, keys.journal];
    const found = await callScript(redis, 'nexusReplay', names, [letter.id, json, short || json, journalMax]);
    if (found !== 1) throw fail('LETTER_UNKNOWN', { id: letter.id });
  };
  return {
    list: async ({ limit = 100, offset = 0 } = {}) => {
      const ids = await redis.zrevrange(keys.deadOrder, offset, offset + limit - 1);
      const texts = ids.length === 0 ? [] : await redis.hmget(keys.dead, ...ids);
      const letters = texts.flatMap((text, at) =>
        text === null ? [] : [{ ...(JSON.parse(text) as Letter), id: ids[at] ?? '' }],
      );
      return { letters, total: await redis.zcard(keys.deadOrder) };
    },
    show,
    replay: async (id, actor) => {
      const letter = await show(id);
      const envelope = revive(letter, actor);
      const json = encodeEnvelope(envelope);
      await remove(letter, json, journalText(envelope, json));
    },
    drop: async (id) => remove(await show(id), '', ''),
  };
};

/** The message as it goes back: first attempt again, with what happened before in its history. */
const revive = (letter: Letter, actor: string): Envelope => {
  const whole = envelopeSchema.safeParse(letter.envelope);
  if (!whole.success) throw fail('LETTER_UNREADABLE', { id: letter.id, problem: 'its envelope cannot be read' });
  try {
    const service = serviceName.parse(letter.service);
    readEnvelope(JSON.stringify(whole.data), service, letter.id);
  } catch (error) {
    const problem = error instanceof AppError ? error.message : 'it was addressed to no service';
    throw fail('LETTER_UNREADABLE', { id: letter.id, problem }, { cause: error });
  }
  const past = {
    at: letter.died_at,
    instance_id: letter.instance_id,
    code: letter.code,
    says: letter.says.slice(0, 500),
  };
  const history = [...(whole.data.history ?? []), past].slice(-20);
  return { ...whole.data, attempt: 1, actor, history };
};
