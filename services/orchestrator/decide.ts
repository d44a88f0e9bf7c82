/**
 * What becomes of a task: pure decisions, one a kind of message. Nothing here reads, writes or waits.
 *
 *   accepted → planning ──────→ in_progress ─────→ releasing ──────→ completed
 *     (task.submitted)  (repository.prepared)  (board.completed)  (release.finished)
 *        │                  │                      │                 │
 *        └──────────────────┴──────────────────────┴─────────────────┴──→ failed, cancelled
 *
 * A task that ends badly gets its report too, and its board is closed. How one comes to wait for a person, and
 * goes on, is decided in `waiting.ts`.
 *
 * Messages may come twice or late. One for a state that the task has left, or for a task that was deleted,
 * changes nothing; one for a state that it has not reached is our own mistake (`TRANSITION_ILLEGAL`).
 */
import { followUp } from '@nexus/shared/bus';
import { AppError, fail } from '@nexus/shared/errors';
import type { TaskView } from '@nexus/shared/ledger';
import type { PayloadOf } from '@nexus/shared/messages';
import {
  type BoardHead,
  countChecks,
  endedTask,
  type Plan,
  type Priority,
  type TaskHead,
  type TaskRequest,
  type TaskStatus,
  taskTransitions,
} from '@nexus/shared/messages/domain';
import { type Decision, ended, illegal, moved, nothing, sentenceOf, type TaskChange } from './moves.ts';

export type { Decision } from './moves.ts';

export type Submission = {
  taskId: string;
  request: TaskRequest;
  /** The priority of the message: that of the task, where the request names none. */
  priority: Priority;
  actor: string;
  /** What is wrong with the request before anybody works on it. */
  refusal: AppError | null;
};

/** A new task begins with its repository; one that cannot be worked on fails at once, for all to see. */
export const decideSubmitted = (view: TaskView | null, submission: Submission, now: number): Decision => {
  if (view !== null) return nothing;
  const { taskId: task_id, request, refusal } = submission;
  const accepted = newHead(submission, now);
  const late = request.deadline !== undefined && Date.parse(request.deadline) <= now;
  if (refusal !== null || late) {
    const passed = { deadline: request.deadline ?? '', now: new Date(now).toISOString() };
    const reason = refusal ?? fail('DEADLINE_PASSED', passed);
    const { change, publish } = ended(accepted, 'failed', sentenceOf(reason), now, 'none');
    return { change: { ...(change as TaskChange), request }, publish };
  }
  const { repository, base, title, priority } = accepted;
  const publish = [followUp('repository.requested', { task_id, repository, base, title }, { priority })];
  if (request.deadline !== undefined) {
    const delayMs = Date.parse(request.deadline) - now;
    publish.push(followUp('deadline.reached', { task_id, deadline: request.deadline }, { priority, delayMs }));
  }
  return { change: { head: moved(accepted, 'planning', now), request }, publish };
};

/** The hub exists: the task is planned by `planFor`, whose failure is the task's. */
export const decidePrepared = (
  view: TaskView | null,
  payload: PayloadOf<'repository.prepared'>,
  planFor: (request: TaskRequest, warnings: readonly string[]) => Plan,
  now: number,
): Decision => {
  if (view === null || view.plan !== null || !awaits(view.head, 'planning', 'in_progress')) return nothing;
  const { base_commit, warnings, code, says } = payload;
  if (code !== null) return ended(view.head, 'failed', `${code}: ${says}`, now, 'none');
  if (base_commit === null) {
    return ended(view.head, 'failed', 'BUG: the repository was prepared, but has no commit', now, 'none');
  }
  let plan: Plan;
  try {
    plan = planFor(view.request, warnings);
  } catch (error) {
    if (error instanceof AppError) return ended(view.head, 'failed', sentenceOf(error), now, 'none');
    throw error;
  }
  const { task_id, priority } = view.head;
  const head = moved({ ...view.head, workflow: plan.workflow, base_commit, warnings }, 'in_progress', now);
  const publish = [followUp('plan.accepted', { task_id, plan, priority, base_commit }, { priority })];
  return { change: { head, plan }, publish };
};

/**
 * All subtasks have ended. What was merged goes to its release, with the checks of its last gate; a task
 * whose result is a report alone is released too, on the commit that it began with. What the board warns of
 * is told with the task.
 */
export const decideBoardCompleted = (
  view: TaskView | null,
  payload: PayloadOf<'board.completed'>,
  board: BoardHead | null,
  now: number,
): Decision => {
  if (view === null || !awaits(view.head, 'in_progress', 'releasing')) return nothing;
  const head = warned(view.head, board?.warnings ?? []);
  const { task_id, priority, repository, base_commit } = head;
  if (payload.outcome === 'failed') {
    // A message of the board that died fails the task, too, and then its board still stands.
    const stands = board === null || board.outcome === null;
    return ended(head, 'failed', payload.reason ?? 'A subtask failed.', now, stands ? 'open' : 'closed');
  }
  const commit = payload.commit ?? board?.integration ?? base_commit;
  if (commit === null || base_commit === null) {
    return ended(head, 'failed', 'BUG: the board was completed, but there is no commit', now, 'closed');
  }
  const proof = { checks: countChecks(board?.before), proven: board?.proven ?? false };
  const release = { task_id, outcome: 'completed' as const, reason: null, repository, commit, base_commit, ...proof };
  const publish = [followUp('release.requested', release, { priority })];
  return { change: { head: moved(head, 'releasing', now) }, publish };
};

/**
 * The result is where it was asked for, or `code` says why not. A result that arrives after the task has
 * ended (cancelled while it was being pushed, or a release that was replayed) is recorded, as it exists.
 */
export const decideReleased = (
  view: TaskView | null,
  payload: PayloadOf<'release.finished'>,
  now: number,
): Decision => {
  if (view === null) return nothing;
  const { result, code, says } = payload;
  if (endedTask(view.head.status)) {
    return result === null || view.result !== null ? nothing : { change: { result }, publish: [] };
  }
  if (!awaits(view.head, 'releasing', 'completed')) return nothing;
  if (result !== null && code === null) {
    return { change: { head: moved(view.head, 'completed', now), result }, publish: [] };
  }
  const repository = view.head.repository ?? 'the new repository';
  const message = code === null || code === 'RELEASE_FAILED' ? says : `${code}: ${says}`;
  const reason =
    code === 'RELEASE_FAILED' ? `${code}: ${says}` : sentenceOf(fail('RELEASE_FAILED', { repository, message }));
  return ended(view.head, 'failed', reason, now, 'closed');
};

/** A person wants no more of it. Agents at work learn of it from the task's status; the board is closed. */
export const decideCancelled = (
  view: TaskView | null,
  payload: PayloadOf<'cancellation.requested'>,
  now: number,
): Decision => {
  if (view === null || endedTask(view.head.status)) return nothing;
  const reason = payload.reason.trim() || 'Cancelled by a person.';
  return ended(view.head, 'cancelled', reason, now, 'open');
};

/** The alarm of a deadline. It counts only if it is still the task's deadline. */
export const decideDeadline = (
  view: TaskView | null,
  payload: PayloadOf<'deadline.reached'>,
  now: number,
): Decision => {
  if (view === null || endedTask(view.head.status)) return nothing;
  const { deadline } = view.head;
  if (deadline === null || Date.parse(deadline) !== Date.parse(payload.deadline)) return nothing;
  const reason = sentenceOf(fail('DEADLINE_MISSED', { deadline }));
  return ended(view.head, 'failed', reason, now, 'open');
};

/** An ended task goes, with its board, its hub and its report. Throws `TASK_RUNNING` for one that has not. */
export const decideDeleted = (view: TaskView | null): Decision => {
  if (view === null) return nothing;
  const { task_id, status, priority } = view.head;
  if (!endedTask(status)) throw fail('TASK_RUNNING', { task: task_id, status });
  const publish = [
    followUp('board.discarded', { task_id }, { priority }),
    followUp('hub.discarded', { task_id }, { priority }),
  ];
  return { change: 'removed', publish };
};

const newHead = ({ taskId, request, priority, actor }: Submission, now: number): TaskHead => {
  const at = new Date(now).toISOString();
  return {
    task_id: taskId,
    title: titleOf(request.request),
    status: 'accepted',
    reason: null,
    priority: request.priority ?? priority,
    mode: request.mode ?? 'parallel',
    workflow: null,
    created_at: at,
    updated_at: at,
    ended_at: null,
    deadline: request.deadline ?? null,
    repository: request.repository ?? null,
    base: request.base ?? null,
    base_commit: null,
    warnings: [],
    actor,
  };
};

const titleLengthMax = 80;
/** The first line that says something, without marks of Markdown; cut at a word if it is long. */
const titleOf = (request: string): string => {
  const lines = request.split('\n').map((line) =>
    line
      .replace(/^[#>*\s-]+/, '')
      .replaceAll(/\s+/g, ' ')
      .trim(),
  );
  const characters = [...(lines.find((line) => line !== '') ?? request.trim())];
  if (characters.length <= titleLengthMax) return characters.join('');
  const cut = characters.slice(0, titleLengthMax - 1).join('');
  return `${cut.replace(/\s+\S{0,20}$/, '')}…`;
};

/**
 * True if the task stands at `from`, or waits for a person and may go on to `to`; false if it has gone past.
 * Throws `TRANSITION_ILLEGAL` if it is not there yet.
 */
const awaits = (head: TaskHead, from: TaskStatus, to: TaskStatus): boolean => {
  const { status } = head;
  if (status === from || (status === 'waiting_for_person' && taskTransitions[status].includes(to))) return true;
  if (endedTask(status) || wayOfATask.indexOf(status) > wayOfATask.indexOf(from)) return false;
  throw illegal(head, to);
};
const wayOfATask: readonly TaskStatus[] = ['accepted', 'planning', 'in_progress', 'releasing', 'completed'];

/** With the warnings of its board: as many of its own as there is room for beside them. */
const warned = (head: TaskHead, warnings: readonly string[]): TaskHead =>
  warnings.length === 0
    ? head
    : { ...head, warnings: [...head.warnings.slice(0, warningsMax - warnings.length), ...warnings] };
const warningsMax = 20;
