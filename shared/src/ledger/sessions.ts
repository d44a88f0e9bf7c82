/**
 * Sessions in the ledger: each conversation of an agent, under its id. Written by workers alone.
 *
 *   session   hash: revision, doc            sessions   zset of all ids by when something last happened in them
 *
 * `active` is what its holder last wrote; whether the holder still lives is told by its claim, not by this.
 */
import type { Keys, LedgerWrite, Store } from '@nexus/shared/bus';
import { defineConfig, is, setting } from '@nexus/shared/config';
import { fail } from '@nexus/shared/errors';
import { agentId, cost, evidenceRef, sessionStatus, subtaskId, taskId } from '@nexus/shared/messages/domain';
import { z } from 'zod';

export const sessionConfig = defineConfig({
  sessionKeep: setting(
    'NEXUS_SESSION_KEEP',
    is.duration,
    'The conversation of an agent can be gone on with for so long after its attempt ended, then it is removed.',
    { default: '24h' },
  ),
});

const usage = z.object({
  input_tokens: z.int().nonnegative(),
  output_tokens: z.int().nonnegative(),
  cache_read_tokens: z.int().nonnegative(),
  cache_write_tokens: z.int().nonnegative(),
});

export const session = z.object({
  session_id: z.string(),
  runtime: z.string(),
  agent_id: agentId,
  task_id: taskId,
  subtask_id: subtaskId,
  attempt: z.int().positive(),
  status: sessionStatus,
  created_at: z.string(),
  last_activity: z.string(),
  /** The claim of whoever drives it; null: nobody does, and its process has ended. */
  holder: z.string().nullable(),
  instance_id: z.string(),
  host: z.string(),
  model: z.string().nullable(),
  login: z.string().nullable(),
  notional: z.boolean(),
  context: z.object({ used: z.int(), window: z.int().nullable() }).nullable(),
  cost,
  /** What it had cost in all when it was last told, with what it went on from. */
  usd_total: z.number().nonnegative(),
  /** What was booked for its attempt when that was told, in USD: what came since is its own, told or not. */
  usd_booked: z.number().nonnegative().default(0),
  /** The same of its tokens. */
  usage_total: usage.nullable().default(null),
  usage_booked: usage.nullable().default(null),
  turns: z.int().nonnegative(),
  tool_calls: z.int().nonnegative(),
  /** Where its transcript lies in the hub of its task. */
  transcript: evidenceRef.nullable(),
  forked_from: z.string().nullable(),
  /** When its attempt ended; null while that is open or put aside. */
  ended_at: z.string().nullable(),
  /** Why it stands as it does, for people; empty: nothing to say. */
  why: z.string().max(1000),
});

export type Session = z.infer<typeof session>;
export type SessionView = { revision: number; session: Session };

/** One session, or null. */
export const readSession = async (store: Store, keys: Keys, id: string): Promise<SessionView | null> => {
  const [view] = await readSessions(store, keys, [id]);
  return view ?? null;
};

/** The sessions in which something happened last, newest first. */
export const listSessions = async (
  store: Store,
  keys: Keys,
  options: { limit?: number; offset?: number; before?: number } = {},
): Promise<SessionView[]> => {
  const { limit = 100, offset = 0, before } = options;
  const range = before === undefined ? { newestFirst: true } : { to: before };
  const entries = await store.readIndex(keys.sessions, { ...range, limit, offset });
  return readSessions(
    store,
    keys,
    entries.map(({ member }) => member),
  );
};

const readSessions = async (store: Store, keys: Keys, ids: string[]): Promise<SessionView[]> => {
  const views = await Promise.all(
    ids.map(async (id): Promise<SessionView[]> => {
      const key = keys.session(id);
      const [revision, doc] = await store.readFields(key, ['revision', 'doc']);
      if (!revision || !doc) return [];
      const read = session.safeParse(JSON.parse(doc));
      if (read.success) return [{ revision: Number(revision), session: read.data }];
      const problem = read.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`).join('; ');
      throw fail('LEDGER_UNREADABLE', { key, problem: problem.slice(0, 500) });
    }),
  );
  return views.flat();
};

/** What it is by now: nobody writes down that time has passed. `keepMs` counts from the end of its attempt. */
export const statusNow = ({ status, ended_at }: Session, now: number, keepMs: number): Session['status'] =>
  status === 'idle' && ended_at !== null && Date.parse(ended_at) + keepMs <= now ? 'expired' : status;

/** Writes a session as a whole, decided on `revision` (0: it is new). */
export const writeSession = (keys: Keys, revision: number, doc: Session): LedgerWrite[] => [
  { op: 'patch', key: keys.session(doc.session_id), revision, set: { doc: JSON.stringify(doc) } },
  { op: 'index', key: keys.sessions, member: doc.session_id, score: Date.parse(doc.last_activity) },
];

/** Forgets a session. */
export const removeSession = (keys: Keys, id: string): LedgerWrite[] => [
  { op: 'remove', key: keys.session(id) },
  { op: 'unindex', key: keys.sessions, member: id },
];
