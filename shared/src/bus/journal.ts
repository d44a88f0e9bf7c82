/**
 * The journal: the capped copy of all traffic and events that observers read. Live events are only told, never
 * acknowledged: they are collected for a tenth of a second, and beyond a thousand the oldest are dropped and counted.
 */
import type { Log } from '@nexus/shared/telemetry';
import type { Envelope } from './envelope.ts';
import type { Keys } from './keys.ts';
import type { Redis } from './redis.ts';

export type LiveEvent = {
  /** Such as `agent.output`, `agent.note`, `subtask.changed`, `check.started`, `check.finished`, `task.changed`. */
  event: string;
  task_id: string;
  subtask_id?: string;
  attempt?: number;
  agent_id?: string;
  text?: string;
  data?: unknown;
};

/** `message`: an envelope that was published. `settled`: how a delivery ended. `event`: something told live. */
export type JournalEntry = { id: string; at: number; kind: 'message' | 'settled' | 'event'; body: unknown };

const waitingMax = 1000;
const textMax = 2000;

export type Teller = { tell(event: LiveEvent): void; close(): Promise<void> };

/** Opens the telling side of a process. */
export const makeTeller = (redis: Redis, keys: Keys, journalMax: number, log: Log): Teller => {
  let waiting: string[] = [];
  let dropped = 0;
  let timer: NodeJS.Timeout | undefined;
  const flush = async (): Promise<void> => {
    timer = undefined;
    const lines = waiting;
    waiting = [];
    if (lines.length === 0) return;
    if (dropped > 0) log.debug({ dropped }, 'Live events were dropped');
    dropped = 0;
    const fields = lines.flatMap((line) => ['e', line]);
    await redis.xadd(keys.journal, 'MAXLEN', '~', journalMax, '*', ...fields).catch(() => undefined);
  };
  return {
    tell: (event) => {
      const text = event.text === undefined ? {} : { text: event.text.slice(0, textMax) };
      waiting.push(JSON.stringify({ at: Date.now(), ...event, ...text }));
      if (waiting.length > waitingMax) {
        waiting.shift();
        dropped += 1;
      }
      timer ??= setTimeout(() => void flush(), 100);
      timer.unref();
    },
    close: async () => {
      clearTimeout(timer);
      await flush();
    },
  };
};

const kinds = { p: 'message', s: 'settled', e: 'event' } as const;

/**
 * Follows the journal from after `after` (an entry id; without it from now on) until the signal aborts. Entries of
 * one Redis entry share its id with a running number behind it, so any of them can be resumed from.
 */
export async function* follow(
  redis: Redis,
  keys: Keys,
  options: { after?: string | undefined; signal: AbortSignal },
): AsyncGenerator<JournalEntry> {
  const [afterId = '', afterPart = ''] = (options.after ?? '').split('.');
  let last = /^\d+-\d+$/.test(afterId) ? afterId : await newest(redis, keys);
  let skip = Number(afterPart || -1);
  if (skip >= 0) last = before(last);
  const stop = (): void => redis.disconnect();
  options.signal.addEventListener('abort', stop, { once: true });
  try {
    while (!options.signal.aborted) {
      const reply = await redis.xread('COUNT', 200, 'BLOCK', 5000, 'STREAMS', keys.journal, last).catch(() => null);
      for (const [id, fields] of reply?.[0]?.[1] ?? []) {
        last = id;
        for (const [part, entry] of entriesOf(id, fields).entries()) {
          if (id === afterId && part <= skip) continue;
          yield entry;
        }
        if (id !== afterId) skip = -1;
      }
    }
  } finally {
    options.signal.removeEventListener('abort', stop);
    redis.disconnect();
  }
}

/** The id just before, so that a half-read entry is read again. */
const before = (id: string): string => {
  const [ms = '0', sequence = '0'] = id.split('-');
  return Number(sequence) > 0 ? `${ms}-${Number(sequence) - 1}` : `${Number(ms) - 1}-18446744073709551615`;
};

const newest = async (redis: Redis, keys: Keys): Promise<string> => {
  const [entry] = await redis.xrevrange(keys.journal, '+', '-', 'COUNT', 1);
  return entry?.[0] ?? '0-0';
};

const entriesOf = (id: string, fields: string[]): JournalEntry[] => {
  const at = Number(id.split('-')[0]);
  const entries: JournalEntry[] = [];
  for (let field = 0; field < fields.length; field += 2) {
    const kind = kinds[fields[field] as keyof typeof kinds];
    if (!kind) continue;
    const text = fields[field + 1] ?? 'null';
    // A settlement tells of all that it ended in one field, a line each.
    for (const line of kind === 'settled' ? text.split('\n') : [text])
      entries.push({ id: `${id}.${entries.length}`, at, kind, body: parsed(line) });
  }
  return entries;
};

const parsed = (text: string): unknown => {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
};

/** What the journal says of a delivery's end. Written out, for it is written for every message. */
export const settledLine = (of: Envelope, instanceId: string, what: string, ms: number, code?: string): string => {
  const [id, type, task] = [quoted(of.message_id), quoted(of.type), quoted(of.conversation_thread)];
  const reason = code === undefined ? '' : `,"code":"${code}"`;
  const about = `"id":${id},"type":${type},"task":${task},"outcome":"${what}"${reason}`;
  return `{${about},"ms":${ms.toFixed(1)},"by":"${instanceId}"}`;
};

/** As JSON.stringify, at a third of its price for what needs no escape. */
const quoted = (text: string): string => (/^[\w.:-]*$/.test(text) ? `"${text}"` : JSON.stringify(text));
