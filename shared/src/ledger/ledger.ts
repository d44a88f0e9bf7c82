/**
 * The ledger: the documents in Redis that say where each task stands. This door reads them; `write.ts`
 * beside it builds the writes, for the one service that owns a document.
 *
 * What is read is checked against the schemas of `messages/domain.ts`, so a reader gets a whole document,
 * `null` where there is none, or `LEDGER_UNREADABLE` with the key. Nothing is cached here: a view is what
 * stood there once, and its `revision` is what a write is guarded by. A write on an older revision is
 * refused by `settle`, and the handler runs again (rules 9 and 11).
 *
 *   task    hash: revision, status, head, request, plan, result
 *   board   hash: revision, head, s:<subtask>: a field each, so that a transition touches few (rule 12)
 *   attempt hash: revision, running: who runs it, checkpoint: what the next delivery goes on from, ended
 *   session hash: revision, doc (`sessions.ts`)
 *   report  hash: revision, markdown, json
 *   load    hash: task → slots held          stats  hash of a day: counter → number
 */
import type { Keys, Store } from '@nexus/shared/bus';
import { fail } from '@nexus/shared/errors';
import {
  type BoardHead,
  boardHead,
  type Plan,
  plan,
  type Subtask,
  type SubtaskKind,
  subtask,
  type TaskHead,
  type TaskRequest,
  type TaskResult,
  type TaskStatus,
  taskHead,
  taskRequest,
  taskResult,
  taskStatus,
} from '@nexus/shared/messages/domain';
import { z } from 'zod';

export {
  listSessions,
  readSession,
  type Session,
  type SessionView,
  sessionConfig,
  statusNow,
} from './sessions.ts';

export type TaskView = {
  revision: number;
  head: TaskHead;
  request: TaskRequest;
  plan: Plan | null;
  result: TaskResult | null;
};
export type HeadView = { revision: number; head: BoardHead };
export type BoardView = HeadView & { subtasks: Map<string, Subtask> };
export type ReportView = { revision: number; markdown: string; json: unknown };

/** The field of a board's hash that holds a subtask. */
export const subtaskField = (id: string): string => `s:${id}`;

/** A task's whole document, or null. */
export const readTask = async (store: Store, keys: Keys, id: string): Promise<TaskView | null> => {
  const key = keys.task(id);
  const names = ['revision', 'head', 'request', 'plan', 'result'];
  const [revision, head, request, planned, result] = await store.readFields(key, names);
  if (isAbsent(revision)) return null;
  return {
    revision: revisionOf(key, revision),
    head: parse(key, 'head', taskHead, head),
    request: parse(key, 'request', taskRequest, request),
    plan: isAbsent(planned) ? null : parse(key, 'plan', plan, planned),
    result: isAbsent(result) ? null : parse(key, 'result', taskResult, result),
  };
};

/** Where a task stands, or null: one small field, for those who ask often. */
export const readTaskStatus = async (store: Store, keys: Keys, id: string): Promise<TaskStatus | null> => {
  const key = keys.task(id);
  const [status] = await store.readFields(key, ['status']);
  if (isAbsent(status)) return null;
  const read = taskStatus.safeParse(status);
  if (!read.success) throw unreadable(key, 'status', read.error);
  return read.data;
};

/** The head of a board alone, or null. */
export const readBoardHead = async (store: Store, keys: Keys, id: string): Promise<HeadView | null> => {
  const key = keys.board(id);
  const [revision, head] = await store.readFields(key, ['revision', 'head']);
  return isAbsent(revision) ? null : { revision: revisionOf(key, revision), head: parse(key, 'head', boardHead, head) };
};

/** A board with all its subtasks, in their order, or null. */
export const readBoard = async (store: Store, keys: Keys, id: string): Promise<BoardView | null> => {
  const key = keys.board(id);
  const fields = await store.readHash(key);
  if (isAbsent(fields.revision)) return null;
  const parts = Object.entries(fields)
    .filter(([field]) => field.startsWith('s:'))
    .map(([field, text]) => parse(key, field, subtask, text))
    .toSorted((one, other) => one.order - other.order);
  return {
    revision: revisionOf(key, fields.revision),
    head: parse(key, 'head', boardHead, fields.head),
    subtasks: new Map(parts.map((part) => [part.id, part])),
  };
};

/** A board's head and those of the named subtasks that exist, read at one moment, or null. */
export const readBoardParts = async (
  store: Store,
  keys: Keys,
  id: string,
  subtaskIds: readonly string[],
): Promise<BoardView | null> => {
  const key = keys.board(id);
  const names = ['revision', 'head', ...subtaskIds.map(subtaskField)];
  const [revision, head, ...texts] = await store.readFields(key, names);
  if (isAbsent(revision)) return null;
  const subtasks = new Map<string, Subtask>();
  for (const [index, text] of texts.entries()) {
    const name = subtaskIds[index];
    if (name !== undefined && !isAbsent(text)) subtasks.set(name, parse(key, subtaskField(name), subtask, text));
  }
  return { revision: revisionOf(key, revision), head: parse(key, 'head', boardHead, head), subtasks };
};

const runningClaim = z.object({
  attempt: z.int().positive(),
  /** The claim of whoever runs it. */
  token: z.string(),
  since: z.string(),
  /** How often its worker means to save it. */
  every_ms: z.number().positive(),
});

const checkpoint = z.object({
  attempt: z.int().positive(),
  token: z.string(),
  at: z.string(),
  /** Null: nothing differed from where the attempt began. */
  commit: z.string().nullable(),
  /** What it did then. */
  step: z.string(),
  /** What it had used of its time box. */
  spent_ms: z.number().nonnegative(),
  /** Paths that could not be saved. */
  left: z.array(z.string()),
  /** The conversation that a runtime can go on with. */
  session: z.string().nullable(),
  /** What it was put aside for; left out while it runs. */
  waits: z.string().optional(),
  /** Since when, in ms, it has been put aside because its provider cannot be reached. */
  unreachable_since: z.number().optional(),
  /** Since when, in ms, this attempt has met a disk that others fill. */
  full_since: z.number().optional(),
});

/** Who runs an attempt, and how often it is to be saved. */
export type RunningClaim = z.infer<typeof runningClaim>;
/** What an attempt had when it was last saved; only the commit named here counts (rule 27). */
export type Checkpoint = z.infer<typeof checkpoint>;
/** What is known of the attempts at a subtask. */
export type AttemptView = {
  revision: number;
  running: RunningClaim | null;
  checkpoint: Checkpoint | null;
  /** The last attempt that told its end; 0 before the first. */
  ended: number;
};

/** What is known of the attempts at a subtask; revision 0 where there is nothing. */
export const readAttempt = async (store: Store, keys: Keys, id: string, subtask: string): Promise<AttemptView> => {
  const key = keys.attempt(id, subtask);
  const names = ['revision', 'running', 'checkpoint', 'ended'];
  const [revision, running, saved, ended] = await store.readFields(key, names);
  return {
    revision: isAbsent(revision) ? 0 : revisionOf(key, revision),
    running: isAbsent(running) ? null : parse(key, 'running', runningClaim, running),
    checkpoint: isAbsent(saved) ? null : parse(key, 'checkpoint', checkpoint, saved),
    ended: isAbsent(ended) ? 0 : whole(key, 'ended', ended),
  };
};

/** The ids of tasks, newest first; `open`: only those that have not ended. */
export const listTasks = async (
  store: Store,
  keys: Keys,
  options: { limit?: number; offset?: number; open?: boolean } = {},
): Promise<{ task_id: string; created_at: string }[]> => {
  const entries = await store.readIndex(options.open ? keys.openTasks : keys.tasks, {
    newestFirst: true,
    limit: options.limit ?? 100,
    offset: options.offset ?? 0,
  });
  return entries.map(({ member, score }) => ({ task_id: member, created_at: new Date(score).toISOString() }));
};

/** The tasks that wait for a person, those that have waited longest first. */
export const listWaiting = async (
  store: Store,
  keys: Keys,
  options: { limit?: number; offset?: number } = {},
): Promise<{ task_id: string; since: string }[]> => {
  const entries = await store.readIndex(keys.waitingTasks, {
    limit: options.limit ?? 100,
    offset: options.offset ?? 0,
  });
  return entries.map(({ member, score }) => ({ task_id: member, since: new Date(score).toISOString() }));
};

/** The tasks that ended until then and still have their hub, those that ended first first. */
export const listEnded = async (
  store: Store,
  keys: Keys,
  options: { endedBefore: number; limit: number },
): Promise<{ task_id: string; ended_at: string }[]> => {
  const entries = await store.readIndex(keys.endedTasks, { to: options.endedBefore, limit: options.limit });
  return entries.map(({ member, score }) => ({ task_id: member, ended_at: new Date(score).toISOString() }));
};

/** What the finalizer reported of a task, or null. */
export const readReport = async (store: Store, keys: Keys, id: string): Promise<ReportView | null> => {
  const key = keys.report(id);
  const [revision, markdown, json] = await store.readFields(key, ['revision', 'markdown', 'json']);
  if (isAbsent(revision)) return null;
  return {
    revision: revisionOf(key, revision),
    markdown: markdown ?? '',
    json: parse(key, 'json', z.unknown(), json),
  };
};

/** The slots that tasks hold; those that hold none are left out. */
export const readLoad = async (store: Store, keys: Keys): Promise<Map<string, number>> =>
  countersOf(keys.load, await store.readHash(keys.load));

/** The counters of one day, `YYYY-MM-DD` in UTC. */
export const readStats = async (store: Store, keys: Keys, day: string): Promise<Map<string, number>> =>
  countersOf(keys.stats(day), await store.readHash(keys.stats(day)));

/** A counter of `keys.history`: how often an agent, or whoever had a role, did this kind of work well, or not. */
export const historyField = (of: 'agent' | 'role', id: string, kind: SubtaskKind, outcome: 'ok' | 'failed'): string =>
  `${of}:${id}:${kind}:${outcome}`;

/** A plan that somebody wanted to see, or why there is none. */
export type Preview = z.infer<typeof previewShape>;
const previewShape = z.object({
  plan: plan.nullable(),
  failure: z
    .object({ code: z.string(), message: z.string(), details: z.record(z.string(), z.union([z.string(), z.number()])) })
    .nullable(),
});

/** The plan that was asked for under an id; null while it is being made. */
export const readPreview = async (store: Store, keys: Keys, id: string): Promise<Preview | null> => {
  const [text] = await store.readFields(keys.preview(id), ['preview']);
  return isAbsent(text) ? null : previewShape.parse(JSON.parse(text));
};

/** How agents and roles have done so far, by `historyField`. */
export const readHistory = async (store: Store, keys: Keys): Promise<Map<string, number>> =>
  countersOf(keys.history, await store.readHash(keys.history));

const isAbsent = (text: string | null | undefined): text is null | undefined => text === null || text === undefined;

const countersOf = (key: string, fields: Record<string, string>): Map<string, number> => {
  const counters = Object.entries(fields).map(([field, text]): [string, number] => [field, whole(key, field, text)]);
  return new Map(counters.filter(([, count]) => count > 0));
};

const revisionOf = (key: string, text: string): number => whole(key, 'revision', text);

const whole = (key: string, field: string, text: string): number => {
  const number = Number(text);
  if (!Number.isSafeInteger(number)) {
    throw fail('LEDGER_UNREADABLE', { key, problem: `${field} is "${text.slice(0, 40)}", not a whole number` });
  }
  return number;
};

const parse = <T>(key: string, field: string, schema: z.ZodType<T>, text: string | null | undefined): T => {
  if (isAbsent(text)) throw fail('LEDGER_UNREADABLE', { key, problem: `it has no field ${field}` });
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw fail('LEDGER_UNREADABLE', { key, problem: `${field} is not JSON: ${(cause as Error).message}` }, { cause });
  }
  const read = schema.safeParse(value);
  if (!read.success) throw unreadable(key, field, read.error);
  return read.data;
};

const unreadable = (key: string, field: string, cause: z.ZodError) => {
  const problem = cause.issues
    .slice(0, 3)
    .map((issue) => `${[field, ...issue.path].join('.')}: ${issue.message}`)
    .join('; ');
  return fail('LEDGER_UNREADABLE', { key, problem }, { cause });
};
