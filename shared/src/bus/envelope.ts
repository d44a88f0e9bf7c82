/**
 * The envelope, protocol 1.0: what every message wears. On a stream it is one field, `m`, of JSON, so
 * that `redis-cli XRANGE` shows a readable message.
 *
 * Three ways in: `makeEnvelope` for our own messages, `followUpEnvelope` for what a settlement publishes
 * (its id follows from the cause, so the same settlement twice is the same message), and `readEnvelope`
 * for whatever lies on a stream, which also takes the field names that people write by hand.
 */
import { hash, randomUUID } from 'node:crypto';
import { fail } from '@nexus/shared/errors';
import { entryOf, isKind, type Kind, kindsTo, type PayloadOf } from '@nexus/shared/messages';
import { type Priority, priority, priorityAlias, type ServiceName, serviceName } from '@nexus/shared/messages/domain';
import { childTraceparent, newTraceparent } from '@nexus/shared/telemetry';
import { z } from 'zod';
import type { FollowUp } from './outcome.ts';

export const protocolVersion = '1.0';
/** Larger things travel by reference (rule 14). */
const envelopeBytesMax = 64_000;

const party = z.object({ service: z.string(), agent_id: z.string().optional(), instance_id: z.string().optional() });

/** A dead letter that went back: its attempts are counted on, its retries anew. */
const replayed = z.object({ times: z.int(), at: z.string(), by: z.string(), after_attempt: z.int() });

/** One earlier try of a message, kept when it is parked, for the dead letter and for people. */
const pastTry = z.object({ at: z.string(), instance_id: z.string(), code: z.string(), says: z.string() });

export const envelopeSchema = z
  .object({
    protocol_version: z.string().default(protocolVersion),
    message_id: z.string().min(1).max(128),
    timestamp: z.string(),
    type: z.string().min(1).max(128),
    from: party,
    to: party,
    actor: z.string().max(256),
    priority,
    conversation_thread: z.string().max(128),
    response_to: z.string().optional(),
    requires_ack: z.boolean(),
    timeout_ms: z.number().nonnegative(),
    attempt: z.int().positive(),
    traceparent: z.string(),
    history: z.array(pastTry).max(20).optional(),
    replayed: replayed.optional(),
    payload: z.unknown(),
  })
  .meta({ id: 'Envelope' });

export type Envelope = z.infer<typeof envelopeSchema>;
export type Message<K extends Kind = Kind> = Envelope & { type: K; payload: PayloadOf<K> };

export type EnvelopeOptions = {
  from: { service: ServiceName; instance_id: string };
  thread: string;
  actor: string;
  priority?: Priority | undefined;
  messageId?: string | undefined;
  traceparent?: string | undefined;
};

/**
 * Wraps a payload. The payload is parsed by the catalog's schema; throws `MESSAGE_INVALID`.
 * The id is a uuid v7 unless one is given.
 */
export const makeEnvelope = <K extends Kind>(type: K, payload: unknown, options: EnvelopeOptions): Message<K> => {
  const entry = entryOf(type);
  const now = Date.now();
  return {
    protocol_version: protocolVersion,
    message_id: options.messageId ?? uuidV7(now),
    timestamp: isoTime(now),
    type,
    from: options.from,
    to: { service: entry.to },
    actor: options.actor,
    priority: options.priority ?? 'NORMAL',
    conversation_thread: options.thread,
    requires_ack: true,
    timeout_ms: entry.timeoutMs,
    attempt: 1,
    traceparent: options.traceparent ?? newTraceparent(),
    payload: parsePayload(type, payload) as PayloadOf<K>,
  };
};

/** The time as ISO 8601; written out once for all that is sent in a millisecond. */
const isoTime = (nowMs: number): string => {
  if (nowMs !== written.ms) written = { ms: nowMs, text: new Date(nowMs).toISOString() };
  return written.text;
};
let written = { ms: -1, text: '' };

/** The message that a settlement publishes: same thread, actor and trace as its cause; id by rule 13. */
export const followUpEnvelope = (
  cause: Envelope,
  from: { service: ServiceName; instance_id: string },
  next: FollowUp,
): Envelope => ({
  ...makeEnvelope(next.type, next.payload, {
    from,
    // A message written by hand may lack its thread; what follows from it names its task.
    thread: (next.payload as { task_id?: string }).task_id ?? cause.conversation_thread,
    actor: cause.actor,
    priority: next.priority ?? cause.priority,
    messageId: uuidV8(`${cause.message_id}\n${next.type}\n${next.key}`),
    traceparent: childTraceparent(cause.traceparent),
  }),
  response_to: cause.message_id,
});

/** The task that a message belongs to: what it says itself; else its thread, which people may use as they like. */
export const taskOf = (message: Envelope): string => {
  const { task_id: named } = message.payload as { task_id?: unknown };
  return typeof named === 'string' ? named : message.conversation_thread;
};

/** JSON of an envelope, refused with `MESSAGE_TOO_LARGE` beyond 64 kB. */
export const encodeEnvelope = (envelope: Envelope): string => {
  const text = JSON.stringify(envelope);
  if (text.length > envelopeBytesMax / 3 && Buffer.byteLength(text) > envelopeBytesMax) {
    throw fail('MESSAGE_TOO_LARGE', { bytes: Buffer.byteLength(text), bytesMax: envelopeBytesMax });
  }
  return text;
};

/**
 * Reads what lies on a stream. Throws `MESSAGE_MALFORMED`, `PROTOCOL_UNKNOWN`, `MESSAGE_UNKNOWN` or
 * `MESSAGE_INVALID`; `entryId` stands in for an id where a person wrote none.
 */
export const readEnvelope = (text: string, service: ServiceName, entryId: string): Message => {
  if (text.startsWith(withoutField)) throw fail('MESSAGE_MALFORMED', { problem: 'the entry has no field "m"' });
  const raw = parseJson(text);
  const envelope = isPlain(raw) ? raw : parseEnvelope(isOurs(raw) ? raw : fromHand(raw, service, entryId));
  if (envelope.protocol_version !== protocolVersion)
    throw fail('PROTOCOL_UNKNOWN', { version: envelope.protocol_version });
  if (!isKind(envelope.type) || entryOf(envelope.type).to !== service) {
    throw fail('MESSAGE_UNKNOWN', { type: envelope.type, service, known: knownTo(service) });
  }
  envelope.payload = parsePayload(envelope.type, envelope.payload);
  return envelope as Message;
};

/** How often a message was tried since it was sent, or since it went back as a dead letter. */
export const triesOf = ({ attempt, replayed: again }: Envelope): number => attempt - (again?.after_attempt ?? 0);

/** How a message that cannot be read is called: by the entry it came in. */
export const unreadableId = (entryId: string): string => `unreadable-${entryId}`;

/** The best that can be read of an envelope that `readEnvelope` refused: for its dead letter. */
export const salvageEnvelope = (text: string, service: ServiceName, entryId: string): Envelope => {
  let raw: unknown = null;
  try {
    raw = JSON.parse(text);
  } catch {
    // What is not JSON is kept as text, below.
  }
  const handwritten = envelopeSchema.safeParse(
    isRecord(raw) ? (isOurs(raw) ? raw : fromHand(raw, service, entryId)) : null,
  );
  if (handwritten.success) return handwritten.data;
  return {
    protocol_version: protocolVersion,
    message_id: unreadableId(entryId),
    timestamp: new Date().toISOString(),
    type: isRecord(raw) && typeof raw.type === 'string' ? raw.type.slice(0, 128) : 'unreadable',
    from: { service: 'unknown' },
    to: { service },
    actor: 'unknown',
    priority: 'NORMAL',
    conversation_thread: '',
    requires_ack: true,
    timeout_ms: 0,
    attempt: 1,
    traceparent: newTraceparent(),
    payload: { text: text.slice(0, 16_000) },
  };
};

/** How the body of an entry without the field `m` begins; its other fields follow as JSON, so that nothing is lost. */
export const withoutField = 'no field m: ';

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/**
 * True for an envelope as `makeEnvelope` made it, and no more than that: what `envelopeSchema` would pass as it is. It
 * stands for nearly every message, and costs a tenth.
 */
const isPlain = (raw: Record<string, unknown>): raw is Envelope & Record<string, unknown> =>
  isText(raw.protocol_version) &&
  isText(raw.message_id, 128) &&
  raw.message_id !== '' &&
  isText(raw.timestamp) &&
  isText(raw.type, 128) &&
  raw.type !== '' &&
  isPlainParty(raw.from) &&
  isPlainParty(raw.to) &&
  isText(raw.actor, 256) &&
  (priorities as unknown[]).includes(raw.priority) &&
  isText(raw.conversation_thread, 128) &&
  (raw.response_to === undefined || isText(raw.response_to)) &&
  typeof raw.requires_ack === 'boolean' &&
  typeof raw.timeout_ms === 'number' &&
  raw.timeout_ms >= 0 &&
  Number.isSafeInteger(raw.attempt) &&
  (raw.attempt as number) > 0 &&
  isText(raw.traceparent) &&
  raw.history === undefined &&
  raw.replayed === undefined;
const priorities = priority.options;

const isText = (value: unknown, lengthMax = Number.POSITIVE_INFINITY): boolean =>
  typeof value === 'string' && value.length <= lengthMax;

const isPlainParty = (value: unknown): boolean =>
  isRecord(value) &&
  isText(value.service) &&
  value.agent_id === undefined &&
  (value.instance_id === undefined || isText(value.instance_id));

const isOurs = (raw: unknown): boolean => isRecord(raw) && typeof raw.from === 'object' && 'traceparent' in raw;

const parseJson = (text: string): Record<string, unknown> => {
  let raw: unknown;
  try {
    raw = JSON.parse(text);
  } catch (error) {
    throw fail('MESSAGE_MALFORMED', { problem: `not JSON: ${(error as Error).message}` }, { cause: error });
  }
  if (!isRecord(raw)) throw fail('MESSAGE_MALFORMED', { problem: 'not a JSON object' });
  return raw;
};

const parseEnvelope = (raw: unknown): Envelope => {
  const whole = envelopeSchema.safeParse(raw);
  if (!whole.success) throw fail('MESSAGE_MALFORMED', { problem: problemsOf(whole.error) });
  return whole.data;
};

const parsePayload = (type: Kind, payload: unknown): unknown => {
  const read = entryOf(type).payload.safeParse(payload);
  if (!read.success) throw fail('MESSAGE_INVALID', { type, problem: problemsOf(read.error) });
  return read.data;
};

const problemsOf = (error: z.ZodError): string =>
  error.issues
    .flatMap((issue) => deepest(issue))
    .slice(0, 8)
    .map(({ path, message }) => `${path.join('.') || '(whole)'}: ${message}`)
    .join('; ');

type Problem = { path: PropertyKey[]; message: string };

/** Of the ways that a union may be read, the one that came furthest says what is wrong. */
const deepest = (issue: z.core.$ZodIssue): Problem[] => {
  if (issue.code !== 'invalid_union') return [{ path: issue.path, message: issue.message }];
  const ways = issue.errors.map((way) =>
    way.flatMap((inner) => deepest({ ...inner, path: [...issue.path, ...inner.path] })),
  );
  const depth = (way: Problem[]): number => Math.max(0, ...way.map(({ path }) => path.length));
  return ways.sort((a, b) => depth(b) - depth(a))[0] ?? [{ path: issue.path, message: issue.message }];
};

const knownTo = (service: ServiceName): string => handledBy.get(service) ?? (kindsTo(service).join(', ') || 'nothing');
const handledBy = new Map<string, string>();
/** Told once at start by the consumer: what a service handles, for the sentence of MESSAGE_UNKNOWN. */
export const nameHandled = (service: ServiceName, kinds: readonly string[]): void => {
  handledBy.set(service, kinds.join(', '));
};

/**
 * A message that a person or a foreign system wrote: other field names are taken, and what is missing is
 * filled in. Our own envelopes never pass here.
 */
const fromHand = (raw: unknown, service: ServiceName, entryId: string): unknown => {
  if (!isRecord(raw)) return raw;
  const payload = raw.payload ?? raw.content ?? raw.data ?? {};
  const written = raw.priority;
  const seconds = Number(raw.timeout_seconds);
  const named = raw.conversation_thread ?? raw.task_id ?? (isRecord(payload) ? payload.task_id : undefined);
  const thread = typeof named === 'string' ? named : '';
  return {
    protocol_version: versionOf(raw.protocol_version ?? raw.version ?? protocolVersion),
    message_id: raw.message_id ?? uuidV8(`by hand\n${entryId}`),
    timestamp: raw.timestamp ?? new Date().toISOString(),
    type: raw.type ?? raw.message_type,
    from: partyFrom(raw.from ?? raw.from_agent, 'person'),
    to: partyFrom(raw.to ?? raw.to_agent, service),
    actor: raw.actor ?? 'by hand',
    priority: typeof written === 'string' ? priorityAlias(written) : (written ?? 'NORMAL'),
    conversation_thread: thread,
    ...(raw.response_to === undefined || raw.response_to === null ? {} : { response_to: String(raw.response_to) }),
    requires_ack: raw.requires_ack ?? raw.response_expected ?? true,
    timeout_ms: raw.timeout_ms ?? (Number.isFinite(seconds) ? seconds * 1000 : 0),
    attempt: raw.attempt ?? 1,
    traceparent: raw.traceparent ?? newTraceparent(),
    payload,
  };
};

/** In JSON 1.0 and 1 are one number: both are our version. */
const versionOf = (written: unknown): string => {
  const text = typeof written === 'string' ? written.trim() : JSON.stringify(written);
  return Number(text) === Number(protocolVersion) ? protocolVersion : text;
};

const partyFrom = (written: unknown, otherwise: string): unknown => {
  if (isRecord(written)) return written;
  if (typeof written !== 'string') return { service: otherwise };
  return serviceName.safeParse(written).success ? { service: written } : { service: otherwise, agent_id: written };
};

/** A time-ordered uuid (RFC 9562 §5.7): the random digits are those of a random uuid, whose variant they keep. */
export const uuidV7 = (nowMs: number): string => {
  if (nowMs !== timeOf.ms) {
    const digits = nowMs.toString(16).padStart(12, '0');
    timeOf = { ms: nowMs, digits: `${digits.slice(0, 8)}-${digits.slice(8)}-7` };
  }
  return timeOf.digits + randomUUID().slice(15);
};
/** Within a millisecond many are made. */
let timeOf = { ms: -1, digits: '' };

/** A uuid that follows from its text (RFC 9562 §5.8, SHA-256): the same cause gives the same id. */
export const uuidV8 = (text: string): string => {
  const digest = hash('sha256', text, 'hex');
  return uuidOf(`${digest.slice(0, 12)}8${digest.slice(13, 16)}`, digest.slice(16, 32));
};

/** Sixteen digits of which the thirteenth is the version, and sixteen of which the first becomes the variant. */
const uuidOf = (high: string, low: string): string => {
  const variant = '89ab'.charAt(Number.parseInt(low.charAt(0), 16) & 3);
  return `${high.slice(0, 8)}-${high.slice(8, 12)}-${high.slice(12)}-${variant}${low.slice(1, 4)}-${low.slice(4)}`;
};
