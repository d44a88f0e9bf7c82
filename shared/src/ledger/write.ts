/**
 * Builders of ledger writes. They do nothing by themselves: a handler returns them in its outcome, and
 * `settle` carries them out together with the follow-ups and the acknowledgement, or not at all.
 *
 * Every document has one writing service; the table below names it, with the builders that write it, and
 * `scripts/tidy.ts` fails the build where another service imports one of them.
 */
import type { Keys, LedgerWrite } from '@nexus/shared/bus';
import type {
  BoardHead,
  Plan,
  ServiceName,
  Subtask,
  TaskHead,
  TaskRequest,
  TaskResult,
} from '@nexus/shared/messages/domain';
import { endedTask } from '@nexus/shared/messages/domain';
import { type Checkpoint, type Preview, type RunningClaim, subtaskField } from './ledger.ts';

export { removeSession, writeSession } from './sessions.ts';

/** Document → the only service that writes it, and by which builders. */
export const writers = {
  task: { service: 'orchestrator', builders: ['writeTask', 'removeTask', 'removeRequest', 'expireTask'] },
  board: { service: 'project-manager', builders: ['writeBoard', 'removeBoard'] },
  attempt: { service: 'worker-agent', builders: ['writeAttempt', 'removeAttempt'] },
  session: { service: 'worker-agent', builders: ['writeSession', 'removeSession'] },
  load: { service: 'project-manager', builders: ['countLoad'] },
  stats: { service: 'project-manager', builders: ['countStat'] },
  history: { service: 'project-manager', builders: ['countHistory'] },
  preview: { service: 'orchestrator', builders: ['writePreview'] },
  report: { service: 'finalizer', builders: ['writeReport', 'removeReport'] },
} as const satisfies Record<string, { service: ServiceName; builders: readonly string[] }>;

/** Long enough for whoever asked to read it. */
const previewSeconds = 600;
/** How long the counters of a day are kept. */
const statsSeconds = 35 * 24 * 3600;

/**
 * Writes parts of a task's document, decided on `revision` (0: it is new). With a head it also keeps the
 * plain field `status` and the indexes of all, open, waiting and ended tasks.
 */
export const writeTask = (
  keys: Keys,
  id: string,
  revision: number,
  parts: { head?: TaskHead; request?: TaskRequest; plan?: Plan | null; result?: TaskResult | null },
): LedgerWrite[] => {
  const set: Record<string, string> = {};
  const del: string[] = [];
  for (const [field, value] of Object.entries(parts)) {
    if (value === null) del.push(field);
    else if (value !== undefined) set[field] = JSON.stringify(value);
  }
  if (parts.head) set.status = parts.head.status;
  const patch: LedgerWrite = { op: 'patch', key: keys.task(id), revision, set, del };
  return parts.head ? [patch, ...indexTask(keys, id, parts.head)] : [patch];
};

/** Removes a task's document and its places in the indexes. */
export const removeTask = (keys: Keys, id: string): LedgerWrite[] => [
  { op: 'remove', key: keys.task(id) },
  { op: 'unindex', key: keys.tasks, member: id },
  { op: 'unindex', key: keys.openTasks, member: id },
  { op: 'unindex', key: keys.waitingTasks, member: id },
  { op: 'unindex', key: keys.endedTasks, member: id },
  // Otherwise the edge would still know the task as accepted.
  { op: 'remove', key: keys.seen(`task:${id}`) },
  // The sums of the days keep what it has cost.
  { op: 'remove', key: keys.budget(`task:${id}`) },
  { op: 'remove', key: keys.costOfTask(id) },
  ...unhold(keys, id),
];

/** What was commanded of the task alone goes with it. */
const unhold = (keys: Keys, id: string): LedgerWrite[] => [
  { op: 'unset', key: keys.control, field: `task:${id}` },
  { op: 'unset', key: keys.controlSaid, field: `task:${id}` },
];

/** Books that the hub of an ended task goes; its document stays. */
export const expireTask = (keys: Keys, id: string): LedgerWrite[] => [
  { op: 'unindex', key: keys.endedTasks, member: id },
];

/** Removes the request that the edge stored beside its message. */
export const removeRequest = (keys: Keys, id: string): LedgerWrite[] => [{ op: 'remove', key: keys.request(id) }];

/** Writes the head and those subtasks of a board that changed, and removes others; decided on `revision` (0: new). */
export const writeBoard = (
  keys: Keys,
  id: string,
  revision: number,
  parts: { head?: BoardHead; subtasks?: readonly Subtask[]; removed?: readonly string[] },
): LedgerWrite[] => {
  const set: Record<string, string> = {};
  if (parts.head) set.head = JSON.stringify(parts.head);
  for (const part of parts.subtasks ?? []) set[subtaskField(part.id)] = JSON.stringify(part);
  return [{ op: 'patch', key: keys.board(id), revision, set, del: (parts.removed ?? []).map(subtaskField) }];
};

/**
 * Removes a board, with what is remembered of interrupted attempts at its subtasks: nobody goes on from that; and with
 * what was booked against the budgets of those.
 */
export const removeBoard = (
  keys: Keys,
  id: string,
  subtasks: Iterable<Pick<Subtask, 'id' | 'attempt'>>,
): LedgerWrite[] => [
  { op: 'remove', key: keys.board(id) },
  ...Array.from(subtasks, ({ id: subtask, attempt }) => [
    ...removeAttempt(keys, id, subtask),
    ...budgetsOf(id, subtask, attempt).map((scope) => ({ op: 'remove' as const, key: keys.budget(scope) })),
  ]).flat(),
];

const budgetsOf = (id: string, subtask: string, attempts: number): string[] => [
  `subtask:${id}:${subtask}`,
  ...Array.from({ length: attempts }, (_, n) => `attempt:${id}:${subtask}:${n + 1}`),
];

/**
 * Writes parts of what is known of the attempts at a subtask, decided on `revision` (0: nothing was); null forgets a
 * part. `ended` is the number of the last attempt that told its end.
 */
export const writeAttempt = (
  keys: Keys,
  id: string,
  subtask: string,
  revision: number,
  parts: { running?: RunningClaim | null; checkpoint?: Checkpoint | null; ended?: number },
): LedgerWrite[] => {
  const set: Record<string, string> = {};
  const del: string[] = [];
  for (const [field, value] of Object.entries(parts)) {
    if (value === null) del.push(field);
    else if (value !== undefined) set[field] = JSON.stringify(value);
  }
  return [{ op: 'patch', key: keys.attempt(id, subtask), revision, set, del }];
};

/** Forgets all of it, with the board. */
export const removeAttempt = (keys: Keys, id: string, subtask: string): LedgerWrite[] => [
  { op: 'remove', key: keys.attempt(id, subtask) },
];

/** Writes a task's report; `revision` is that of the report it replaces, 0 where there is none. */
export const writeReport = (keys: Keys, id: string, markdown: string, json: unknown, revision = 0): LedgerWrite[] => [
  { op: 'patch', key: keys.report(id), revision, set: { markdown, json: JSON.stringify(json) } },
];

/** Removes a task's report. */
export const removeReport = (keys: Keys, id: string): LedgerWrite[] => [{ op: 'remove', key: keys.report(id) }];

/** Counts slots that a task takes (+) or gives back (−); at 0 its field goes. No write for 0. */
export const countLoad = (keys: Keys, task: string, by: number): LedgerWrite[] =>
  by === 0 ? [] : [{ op: 'count', key: keys.load, field: task, by }];

/** Counts something that happened on a day (`YYYY-MM-DD`, UTC), such as `agent:<id>:completed`. */
export const countStat = (keys: Keys, day: string, field: string, by: number): LedgerWrite[] =>
  by === 0 ? [] : [{ op: 'count', key: keys.stats(day), field, by, seconds: statsSeconds }];

/** Keeps a plan that somebody wanted to see, or why there is none, for whoever asked. */
export const writePreview = (keys: Keys, id: string, preview: Preview): LedgerWrite[] => [
  { op: 'patch', key: keys.preview(id), revision: 0, set: { preview: JSON.stringify(preview) } },
  { op: 'count', key: keys.preview(id), field: 'kept', by: 1, seconds: previewSeconds },
];

/** Counts how an attempt did, for ever: `historyField` spells the field. */
export const countHistory = (keys: Keys, field: string): LedgerWrite[] => [
  { op: 'count', key: keys.history, field, by: 1 },
];

/** Since when a person is asked for something: to let it go on, or to answer a question; null: nobody is. */
const askedSince = ({ waiting, questions = [] }: TaskHead): number | null => {
  const asked = questions.filter(({ answer }) => answer === null).map(({ asked_at }) => Date.parse(asked_at));
  const since = waiting ? [Date.parse(waiting.since), ...asked] : asked;
  return since.length === 0 ? null : Math.min(...since);
};

const indexTask = (keys: Keys, id: string, head: TaskHead): LedgerWrite[] => {
  const score = Date.parse(head.created_at);
  const index = (key: string, at: number | null): LedgerWrite =>
    at === null ? { op: 'unindex', key, member: id } : { op: 'index', key, member: id, score: at };
  const ended = endedTask(head.status);
  return [
    index(keys.tasks, score),
    index(keys.openTasks, ended ? null : score),
    index(keys.waitingTasks, ended ? null : askedSince(head)),
    ...(ended ? [index(keys.endedTasks, Date.parse(head.ended_at ?? head.updated_at)), ...unhold(keys, id)] : []),
  ];
};
