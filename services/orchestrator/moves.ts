/** What all decisions about a task have in common: a legal move of its state, and how it ends badly. */
import { type FollowUp, followUp } from '@nexus/shared/bus';
import { type AppError, fail } from '@nexus/shared/errors';
import {
  endedTask,
  type Plan,
  type TaskHead,
  type TaskRequest,
  type TaskResult,
  type TaskStatus,
  taskTransitions,
} from '@nexus/shared/messages/domain';

/** The parts of a task's document that change. */
export type TaskChange = { head?: TaskHead; request?: TaskRequest; plan?: Plan; result?: TaskResult };
/** What is written (null: nothing) and what is said. */
export type Decision = { change: TaskChange | 'removed' | null; publish: FollowUp[] };

export const nothing: Decision = { change: null, publish: [] };

/** The head in another state. Who it waited for, and why, is over with the waiting. */
export const moved = (head: TaskHead, status: TaskStatus, now: number, reason: string | null = null): TaskHead => {
  if (!taskTransitions[head.status].includes(status)) throw illegal(head, status);
  const updated_at = new Date(now).toISOString();
  const ended_at = endedTask(status) ? updated_at : null;
  const { waiting: _, ...rest } = head;
  return { ...rest, status, reason: reason === null ? null : reason.slice(0, 2000), updated_at, ended_at };
};

export const illegal = (head: TaskHead, to: TaskStatus): AppError =>
  fail('TRANSITION_ILLEGAL', { what: 'Task', id: head.task_id, from: head.status, to });

/**
 * Fails or cancels a task. Whatever may have a board is told to close it, in the lane of the task's other
 * messages, so that it stays behind the plan that it may follow closely. Its report is asked for, too; the
 * finalizer waits for the board to be closed.
 */
export const ended = (
  head: TaskHead,
  status: 'failed' | 'cancelled',
  reason: string,
  now: number,
  board: 'open' | 'closed' | 'none',
): Decision => {
  const { task_id, priority, repository, base_commit } = head;
  const why = reason.slice(0, 2000);
  const report = {
    ...{ task_id, outcome: status, reason: why, repository, commit: null, base_commit, proven: false },
    checks: { passed: 0, failed: 0, skipped: 0, broken: 0 },
  };
  return {
    change: { head: moved(head, status, now, why) },
    publish: [
      ...(board === 'open' ? [followUp('board.cancelled', { task_id, reason: why }, { priority })] : []),
      followUp('release.requested', report, { key: 'report', priority }),
    ],
  };
};

export const sentenceOf = (error: AppError): string => `${error.code}: ${error.message}`;
