/**
 * Stage 1: a message enters the fabric. All publications of one tick go in one script call (rule 14), on a
 * connection of their own kind: never the one that blocks in reads.
 *
 * Only this door is the edge: here what was sent before is recognised, and what is too much is refused.
 * Follow-ups are published by settlements and are never refused.
 */
import { type AppError, fail, toAppError } from '@nexus/shared/errors';
import type { Kind, PayloadInput } from '@nexus/shared/messages';
import type { Priority, ServiceName } from '@nexus/shared/messages/domain';
import { type Envelope, encodeEnvelope, makeEnvelope } from './envelope.ts';
import type { Keys } from './keys.ts';
import { callScript, type Redis } from './redis.ts';
import type { Confirm } from './replicas.ts';
import { redisFailure } from './troubles.ts';

export type Draft<K extends Kind = Kind> = {
  type: K;
  payload: PayloadInput<K>;
  /** The task that the message belongs to. */
  thread: string;
  /** Who caused it: a token, a CLI user, a service. */
  actor: string;
  priority?: Priority;
  messageId?: string;
  /** Parked first, and released so many milliseconds later. */
  delayMs?: number;
  /** The same key within 24 hours publishes nothing. */
  idempotencyKey?: string;
  /** Given back to whoever comes with the same key. */
  remember?: string;
  /** Refuse with BUS_FULL where so many tasks are in flight. */
  tasksMax?: number;
  /** Remember the thread for 24 hours, so that a task is known before its first handler ran. */
  accept?: boolean;
  /** Texts that are too large for an envelope, stored with it. */
  attach?: { key: string; text: string }[];
};

/** `stored` is what the first call with the same Idempotency-Key asked to remember. */
export type Published = { message_id: string; duplicate: boolean; stored: string | null };

export type Publisher = { publish<K extends Kind>(draft: Draft<K>): Promise<Published>; flushed(): Promise<void> };

export type PublisherOptions = {
  redis: Redis;
  keys: Keys;
  from: { service: ServiceName; instance_id: string };
  journalMax: number;
  seenSeconds: number;
  confirm: Confirm;
};

type Waiting = {
  inbox: string;
  json: string;
  /** What the script has to know besides; null for a message that goes into its inbox, and that is all. */
  more: (string | number)[] | null;
  bytes: number;
  id: string;
  draft: Draft;
  resolve(result: Published): void;
  reject(error: unknown): void;
};

const bytesMax = 256_000;
const messagesMax = 100;

/** Opens the publishing side. `publish` resolves once Redis has the message; throws BUS_FULL, BUS_UNCONFIRMED,
 * MESSAGE_*, or what Redis says of itself. */
export const makePublisher = (options: PublisherOptions): Publisher => {
  let waiting: Waiting[] = [];
  let flight: Promise<void> = Promise.resolve();
  let scheduled = false;

  const flush = (): void => {
    scheduled = false;
    while (waiting.length > 0) {
      const batch = batchOf(waiting);
      waiting = waiting.slice(batch.length);
      flight = send(options, batch);
    }
  };

  return {
    publish: (draft) =>
      new Promise<Published>((resolve, reject) => {
        try {
          waiting.push(prepare(options, draft as Draft, resolve, reject));
        } catch (error) {
          reject(error);
          return;
        }
        if (!scheduled) {
          scheduled = true;
          setImmediate(flush);
        }
      }),
    flushed: async () => {
      flush();
      await flight;
    },
  };
};

/** A journal line may hold two kilobytes of a message; beyond, its payload is left out. */
export const journalText = (envelope: Envelope, json: string): string =>
  json.length <= 2600 ? '' : JSON.stringify({ ...envelope, payload: { left_out_bytes: json.length } });

const prepare = (
  options: PublisherOptions,
  draft: Draft,
  resolve: Waiting['resolve'],
  reject: Waiting['reject'],
): Waiting => {
  const { keys } = options;
  const envelope = makeEnvelope(draft.type, draft.payload, {
    from: options.from,
    thread: draft.thread,
    actor: draft.actor,
    priority: draft.priority,
    messageId: draft.messageId,
  });
  const json = encodeEnvelope(envelope);
  const inbox = keys.inbox(envelope.to.service as ServiceName, envelope.priority);
  const more = moreOf(options, draft, envelope.message_id, journalText(envelope, json));
  const bytes = (draft.attach ?? []).reduce((sum, { text }) => sum + text.length, json.length);
  return { inbox, json, more, bytes, id: envelope.message_id, draft, resolve, reject };
};

const moreOf = ({ keys }: PublisherOptions, draft: Draft, id: string, short: string): Waiting['more'] => {
  const { delayMs, tasksMax, idempotencyKey, accept, attach = [] } = draft;
  const asked = delayMs !== undefined || tasksMax !== undefined || idempotencyKey !== undefined || accept === true;
  if (!asked && short === '' && attach.length === 0) return null;
  return [
    short,
    id,
    delayMs ?? '',
    tasksMax ?? '',
    idempotencyKey === undefined ? '' : keys.seen(`key:${idempotencyKey}`),
    draft.remember ?? '',
    accept ? keys.seen(`task:${draft.thread}`) : '',
    attach.length,
    ...attach.flatMap(({ key, text }) => [key, text]),
  ];
};

const batchOf = (waiting: Waiting[]): Waiting[] => {
  let bytes = 0;
  let count = 0;
  for (const { bytes: more } of waiting) {
    if (count > 0 && (count >= messagesMax || bytes + more > bytesMax)) break;
    bytes += more;
    count += 1;
  }
  return waiting.slice(0, count);
};

const send = async (options: PublisherOptions, batch: Waiting[]): Promise<void> => {
  const { redis, keys, confirm } = options;
  const sets = setsOf(batch);
  const values: (string | number)[] = [options.journalMax, options.seenSeconds, keys.parked, sets.length];
  for (const set of sets) {
    const [{ inbox, more, json }] = set as [Waiting];
    if (more === null) values.push(inbox, set.length);
    else values.push(inbox, 0, json, ...more);
    if (more === null) for (const one of set) values.push(one.json);
  }
  const begun = confirm.begin();
  try {
    const results = (await callScript(
      redis,
      'nexusPublish',
      [keys.journal, keys.openTasks, keys.due],
      values,
    )) as string[];
    const fresh = results.includes('ok');
    if (fresh || results.some((result) => result.startsWith('seen ')))
      await confirm.done(begun, { what: 'the message', again, fresh });
    for (const [at, set] of sets.entries()) for (const one of set) answer(one, results[at] ?? '');
  } catch (error) {
    for (const one of batch) one.reject(publishFailure(error));
  }
};

/** Messages for one inbox that are no more than that go together; the order within an inbox stays. */
const setsOf = (batch: readonly Waiting[]): Waiting[][] => {
  const sets: Waiting[][] = [];
  for (const one of batch) {
    const last = sets.at(-1);
    const [of] = last ?? [];
    if (last && of && one.more === null && of.more === null && of.inbox === one.inbox) last.push(one);
    else sets.push([one]);
  }
  return sets;
};

const again = 'Sending it again with the same Idempotency-Key is safe.';

const answer = (one: Waiting, result: string): void => {
  if (result === 'ok') one.resolve({ message_id: one.id, duplicate: false, stored: null });
  else if (result.startsWith('seen ')) one.resolve({ message_id: one.id, duplicate: true, stored: result.slice(5) });
  else if (result.startsWith('type '))
    one.reject(fail('BUS_KEY_TYPE', { key: result.slice(5), found: 'nothing can be written there' }));
  else one.reject(fail('BUS_FULL', { count: Number(result.slice(5)), countMax: one.draft.tasksMax ?? 0 }));
};

const publishFailure = (error: unknown): AppError =>
  redisFailure(error, 'redis://the-configured-address') ?? toAppError(error);
