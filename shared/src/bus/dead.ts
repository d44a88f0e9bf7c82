/**
 * Stage 8: dead letters. A message that cannot be handled is kept with its cause until a person decides: read,
 * edit, replay, drop; one, or all that fit. In a plain hash, so `redis-cli HGET '{nexus}:dead' <id>` shows one.
 *
 *   dead ─ edit ──→ dead, validated by the catalog first; what it carried when it died is kept
 *     │ ─ replay ─→ back in its inbox, unless what it belongs to has ended; its history and attempt number go on
 *     └ ─ drop ───→ gone
 *
 * Each decision is made on the letter that was read: whoever comes second finds that it was changed or decided
 * meanwhile. A record of the decision stays for a while, so that a second replay is told when the first was.
 */
import { AppError, type ErrorCode, fail } from '@nexus/shared/errors';
import { entryOf, isKind } from '@nexus/shared/messages';
import { endedSubtask, endedTask, serviceName, subtaskState, taskStatus } from '@nexus/shared/messages/domain';
import { z } from 'zod';
import { type Envelope, encodeEnvelope, envelopeSchema, readEnvelope } from './envelope.ts';
import type { Keys } from './keys.ts';
import { applyEdit, type LetterEdit } from './letter-edit.ts';
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
  /** Who changed it since it died, the latest last. */
  edited?: { at: string; by: string }[];
  /** What it was when it died, once it was changed. */
  original?: { type: string; payload: unknown };
};

/** What a letter has to be; every field that is given has to fit. */
export type LetterFilter = {
  code?: string | undefined;
  type?: string | undefined;
  task?: string | undefined;
  service?: string | undefined;
  olderThanMs?: number | undefined;
};

/** What was done with a letter. `entry` is the stream entry that a replay became. */
export type Decision = {
  id: string;
  what: 'replayed' | 'dropped';
  at: string;
  by: string;
  message_id: string;
  entry: string | null;
};

/** What a decision about many letters came to. `refused` names the first hundred; `left` fit and were not reached. */
export type Sweep = {
  matched: number;
  done: string[];
  refused: { id: string; code: string; says: string }[];
  refused_count: number;
  left: number;
};

export type DeadLetters = {
  /** Newest first. `total` counts all that fit. */
  list(options?: {
    limit?: number;
    offset?: number;
    filter?: LetterFilter;
  }): Promise<{ letters: Letter[]; total: number }>;
  /**
   * Throws LETTER_UNKNOWN, or LETTER_DECIDED where it was there and somebody decided; LETTER_AMBIGUOUS where several
   * that were decided begin so.
   */
  show(id: string): Promise<Letter>;
  /** Why a replay would be refused now; null if it would not. */
  refusal(letter: Letter): Promise<AppError | null>;
  /** Whether an edit could make one replayable that nobody can handle as it is. */
  mendable(letter: Letter): Promise<boolean>;
  /** Puts it back into its inbox with its history. Throws what `show` and `refusal` do, and LETTER_CHANGED. */
  replay(id: string, actor: string): Promise<Decision>;
  /** Throws what `show` does, and LETTER_CHANGED. */
  drop(id: string, actor: string): Promise<Decision>;
  /** Changes what it carries. Throws LETTER_EDIT_INVALID before anything changes, what `show` does, LETTER_CHANGED. */
  edit(id: string, edit: LetterEdit, actor: string): Promise<Letter>;
  /** Decides about all that fit, the oldest first, until so many are done. */
  sweep(what: 'replay' | 'drop', filter: LetterFilter, actor: string, limit: number): Promise<Sweep>;
};

type Options = { redis: Redis; keys: Keys; journalMax: number; recordMs: number };

/** What is kept for people to read is bounded. */
const editsMax = 20;
const refusedMax = 100;
const pageSize = 200;
const dropsAtOnce = 50;

export const makeDeadLetters = (options: Options): DeadLetters => {
  const { redis, keys } = options;
  const read = async (id: string): Promise<{ letter: Letter; text: string }> => {
    const text = await redis.hget(keys.dead, id);
    if (text === null) throw await missing(options, id);
    return { letter: letterIn(id, text), text };
  };
  const refusal = (letter: Letter) => refusalOf(options, letter);
  const replay = async (id: string, actor: string): Promise<Decision> => {
    const { letter, text } = await read(id);
    const reason = await refusal(letter);
    if (reason !== null) throw reason;
    return decide(options, letter, text, { what: 'replayed', actor });
  };
  const drop = async (id: string, actor: string): Promise<Decision> => {
    const { letter, text } = await read(id);
    return decide(options, letter, text, { what: 'dropped', actor });
  };
  return {
    list: async ({ limit = 100, offset = 0, filter = {} } = {}) => {
      if (Object.values(filter).every((value) => value === undefined)) {
        // In one go: a page that does not fit its total would look like letters that are gone.
        const read = redis
          .pipeline()
          .zrevrange(keys.deadOrder, offset, offset + limit - 1)
          .zcard(keys.deadOrder);
        const [ids, total] = ((await read.exec()) ?? []).map(([error, value]) => {
          if (error !== null) throw error;
          return value;
        }) as [string[], number];
        return { letters: await lettersOf(options, ids), total };
      }
      const found = await matching(options, filter);
      const ids = found.reverse().slice(offset, offset + limit);
      return { letters: await lettersOf(options, ids), total: found.length };
    },
    show: async (id) => (await read(id)).letter,
    refusal,
    mendable: (letter) => isMendable(options, letter),
    replay,
    drop,
    edit: async (id, edit, actor) => {
      const { letter, text } = await read(id);
      const { type, payload } = letter.envelope;
      const edited: Letter = {
        ...letter,
        ...applyEdit(letter, edit),
        original: letter.original ?? { type, payload },
        edited: [...(letter.edited ?? []), { at: new Date().toISOString(), by: actor }].slice(-editsMax),
      };
      encodeEnvelope(edited.envelope);
      const changed = await callScript(redis, 'nexusEdit', [keys.dead], [id, text, JSON.stringify(edited)]);
      if (changed !== 1) throw fail('LETTER_CHANGED', { id });
      return edited;
    },
    sweep: async (what, filter, actor, limit) => {
      const ids = await matching(options, filter);
      const swept: Sweep = { matched: ids.length, done: [], refused: [], refused_count: 0, left: 0 };
      // What was sent one after the other goes back so; what is dropped has no order.
      const width = what === 'replay' ? 1 : dropsAtOnce;
      let at = 0;
      while (at < ids.length && swept.done.length < limit) {
        const next = ids.slice(at, at + Math.min(width, limit - swept.done.length));
        at += next.length;
        const results = await Promise.all(
          next.map((id) => (what === 'replay' ? replay : drop)(id, actor).catch(refused)),
        );
        for (const [n, result] of results.entries()) {
          const id = next[n] ?? '';
          if (!(result instanceof AppError)) swept.done.push(id);
          else if (swept.refused_count++ < refusedMax) {
            swept.refused.push({ id, code: result.code, says: result.message });
          }
        }
      }
      return { ...swept, left: ids.length - at };
    },
  };
};

/** A refusal is an answer here; a failure of ours is not. */
const refused = (error: unknown): AppError => {
  if (error instanceof AppError && error.entry.http < 500) return error;
  throw error;
};

// --- reading -----------------------------------------------------------------------------------

/** What stands in the hash. What no letter can be read of can still be shown and dropped. */
const letterIn = (id: string, text: string): Letter => {
  try {
    const stored = JSON.parse(text) as Partial<Letter> | null;
    if (isLetter(stored)) return { ...stored, id };
  } catch {
    // Below.
  }
  const code: ErrorCode = 'LETTER_UNREADABLE';
  const error = fail(code, { id, problem: 'somebody else wrote it, or a newer NEXUS did' });
  const envelope = { message_id: id, type: 'unreadable', conversation_thread: '', payload: { text } };
  return {
    id,
    died_at: new Date(0).toISOString(),
    service: 'unknown',
    instance_id: 'unknown',
    code,
    says: error.message,
    causes: [],
    operator: error.entry.operator,
    envelope: envelope as unknown as Envelope,
  };
};

/** By hand, for a filter looks at all of them; zod takes ten times as long. */
const isLetter = (stored: Partial<Letter> | null): stored is Letter => {
  const { died_at, code, says, service, envelope } = stored ?? {};
  const texts = [died_at, code, says, service, envelope?.type, envelope?.conversation_thread];
  return texts.every((text) => typeof text === 'string');
};

const lettersOf = async ({ redis, keys }: Options, ids: string[]): Promise<Letter[]> => {
  const texts = ids.length === 0 ? [] : await redis.hmget(keys.dead, ...ids);
  return texts.flatMap((text, at) => (text === null ? [] : [letterIn(ids[at] ?? '', text)]));
};

/** The ids of all that fit, the oldest first. Read in pages: a letter may be as large as a message. */
const matching = async (options: Options, filter: LetterFilter): Promise<string[]> => {
  const { redis, keys } = options;
  const until = filter.olderThanMs === undefined ? '+inf' : String(Date.now() - filter.olderThanMs);
  const all = await redis.zrangebyscore(keys.deadOrder, '-inf', until);
  const found: string[] = [];
  for (let at = 0; at < all.length; at += pageSize) {
    const letters = await lettersOf(options, all.slice(at, at + pageSize));
    found.push(...letters.filter((letter) => fits(letter, filter)).map(({ id }) => id));
  }
  return found;
};

const fits = (letter: Letter, { code, type, task, service }: LetterFilter): boolean =>
  (code === undefined || letter.code === code) &&
  (type === undefined || letter.envelope.type === type) &&
  (task === undefined || taskOfLetter(letter) === task) &&
  (service === undefined || letter.service === service);

/** The task that a letter belongs to: what it says itself, else its thread; null if it belongs to none. */
export const taskOfLetter = ({ envelope }: Pick<Letter, 'envelope'>): string | null =>
  subjectOf(envelope).task_id ?? (envelope.conversation_thread || null);

const subjectOf = ({ payload }: Pick<Envelope, 'payload'>) => subject.safeParse(payload).data ?? {};
const subject = z.object({
  task_id: z.string().optional(),
  subtask_id: z.string().optional(),
  attempt: z.number().optional(),
});

/** Of a letter that is not there the record says what became of it, for as long as it is kept. */
const missing = async ({ redis, keys }: Options, given: string): Promise<AppError> => {
  const isWhole = (await redis.exists(keys.decided(given))) === 1;
  const [id = given, ...others] = isWhole ? [given] : await decidedFrom({ redis, keys }, given);
  const { what, at, by, message_id, entry } = await redis.hgetall(keys.decided(id));
  if (what === undefined || at === undefined || by === undefined) return fail('LETTER_UNKNOWN', { id });
  if (others.length > 0) {
    const some = await Promise.all(
      [id, ...others.slice(0, namedMax - 1)].map((one) => howDecided({ redis, keys }, one)),
    );
    const more = others.length < namedMax ? '' : `, and ${others.length - namedMax + 1} more`;
    return fail('LETTER_AMBIGUOUS', { id: given, count: others.length + 1, which: `${some.join(', ')}${more}` });
  }
  return fail('LETTER_DECIDED', { id, what, at, by, as: entry ? `, as message ${message_id} in ${entry}` : '' });
};

/** So many are named of those that begin alike. */
const namedMax = 8;

const howDecided = async ({ redis, keys }: Pick<Options, 'redis' | 'keys'>, id: string): Promise<string> => {
  const [what, at, by] = await redis.hmget(keys.decided(id), 'what', 'at', 'by');
  return `${id} (${what} at ${at} by ${by})`;
};

/** People cut ids short: the records that begin so. */
const decidedFrom = async ({ redis, keys }: Pick<Options, 'redis' | 'keys'>, given: string): Promise<string[]> => {
  if (!/^[\w-]{4,}$/.test(given)) return [];
  const found = new Set<string>();
  let cursor = '0';
  do {
    const [next, some] = await redis.scan(cursor, 'MATCH', `${escaped(keys.decided(given))}*`, 'COUNT', 1000);
    for (const key of some) found.add(key.slice(keys.decided('').length));
    cursor = next;
  } while (cursor !== '0');
  return [...found].sort();
};

/** A prefix of keys has braces, which mean nothing in a pattern, but may hold what does. */
const escaped = (text: string): string => text.replaceAll(/[*?[\]\\^]/g, '\\$&');

// --- whether it may be replayed ----------------------------------------------------------------

/** What begins a task or clears it away. The catalog says what else is work for a task that has ended. */
const whateverTheTask = new Set([
  'task.submitted',
  'deletion.requested',
  'hub.discarded',
  'board.discarded',
  'board.cancelled',
]);
/** Work of one attempt: replayed later, nobody would wait for what it comes to. */
const work = new Set(['subtask.dispatched', 'candidate.submitted', 'merge.requested']);

const refusalOf = async ({ redis, keys }: Options, letter: Letter): Promise<AppError | null> => {
  const problem = unreadable(letter);
  if (problem !== null) return problem;
  const { type, payload } = letter.envelope;
  const task = taskOfLetter(letter);
  if (task === null || whateverTheTask.has(type)) return null;
  const late = (state: string) => fail('LETTER_LATE', { id: letter.id, state });
  const status = await redis.hget(keys.task(task), 'status');
  if (status === null) return late(`task ${task} was deleted`);
  const afterEnd = isKind(type) && entryOf(type).afterEnd?.(payload) === true;
  if (endedTask(taskStatus.parse(status)) && !afterEnd) return late(`task ${task} is ${status}`);
  const { subtask_id, attempt } = subjectOf({ payload });
  if (subtask_id === undefined) return null;
  const part = boardPart.safeParse(JSON.parse((await redis.hget(keys.board(task), `s:${subtask_id}`)) ?? 'null')).data;
  const name = `subtask ${subtask_id} of ${task}`;
  if (part === undefined) return late(`${name} is not there any more`);
  if (endedSubtask(part.state)) return late(`${name} is ${part.state}`);
  if (attempt !== undefined && attempt < part.attempt) return late(`${name} is at attempt ${part.attempt} already`);
  const rests = part.state === 'parked' || part.state === 'waiting_for_person';
  return work.has(type) && rests ? late(`${name} is ${part.state}; it goes on with an attempt of its own`) : null;
};
const boardPart = z.object({ state: subtaskState, attempt: z.number() });

/** What is wrong itself can be mended, but not what nobody can read at all, or what comes too late when mended. */
const isMendable = async ({ redis, keys }: Options, letter: Letter): Promise<boolean> => {
  if (letter.code === 'LETTER_UNREADABLE' || unreadable(letter) === null) return false;
  const task = taskOfLetter(letter);
  const status = task === null ? null : await redis.hget(keys.task(task), 'status');
  return status === null || !endedTask(taskStatus.parse(status));
};

/** LETTER_UNREADABLE where nobody could handle it as it is. */
const unreadable = ({ id, service, envelope }: Letter): AppError | null => {
  try {
    const whole = envelopeSchema.parse(envelope);
    readEnvelope(JSON.stringify(whole), serviceName.parse(service), id);
    return null;
  } catch (error) {
    const problem = error instanceof AppError ? error.message : 'its envelope cannot be read';
    return fail('LETTER_UNREADABLE', { id, problem }, { cause: error });
  }
};

// --- deciding ----------------------------------------------------------------------------------

const decide = async (
  { redis, keys, journalMax, recordMs }: Options,
  letter: Letter,
  text: string,
  { what, actor }: { what: Decision['what']; actor: string },
): Promise<Decision> => {
  const { id } = letter;
  const at = new Date().toISOString();
  const envelope = what === 'replayed' ? revive(letter, actor, at) : null;
  const json = envelope === null ? '' : encodeEnvelope(envelope);
  const inbox = keys.inbox(
    serviceName.safeParse(letter.service).data ?? 'orchestrator',
    envelope?.priority ?? 'NORMAL',
  );
  const names = [keys.dead, keys.deadOrder, inbox, keys.journal, keys.decided(id)];
  const short = envelope === null ? '' : journalText(envelope, json) || json;
  const values = [id, text, json, short, journalMax, Math.ceil(recordMs / 1000)];
  const record = ['what', what, 'at', at, 'by', actor, 'message_id', letter.envelope.message_id];
  const answer = String(await callScript(redis, 'nexusReplay', names, [...values, ...record]));
  if (answer === 'changed') throw fail('LETTER_CHANGED', { id });
  if (answer === 'gone') throw await missing({ redis, keys, journalMax, recordMs }, id);
  return { id, what, at, by: actor, message_id: letter.envelope.message_id, entry: envelope === null ? null : answer };
};

/** The message as it goes back: the next attempt, with what happened before in its history and its retries anew. */
const revive = (letter: Letter, actor: string, at: string): Envelope => {
  const { envelope, died_at, instance_id, code, says } = letter;
  const past = { at: died_at, instance_id, code, says: says.slice(0, 500) };
  return {
    ...envelope,
    attempt: envelope.attempt + 1,
    history: [...(envelope.history ?? []), past].slice(-20),
    replayed: { times: (envelope.replayed?.times ?? 0) + 1, at, by: actor, after_attempt: envelope.attempt },
  };
};
