/**
 * How a board ends: completed when every subtask ended well and no test was left red; failed with the first
 * subtask that cannot go on; cancelled from outside. Whatever is still open then is cancelled in the ledger
 * alone: workers see by the task's status that nothing of it may run on.
 */
import { fail } from '@nexus/shared/errors';
import { endedSubtask } from '@nexus/shared/messages/domain';
import type { Draft } from './draft.ts';

/** Ends the board if every subtask has ended well. */
export const completeIfDone = (draft: Draft): void => {
  const { counts, total, red, integration } = draft.head;
  if ((counts.merged ?? 0) + (counts.reported ?? 0) < total) return;
  if (red.length > 0) {
    const tests = draft.parts(red).flatMap((part) => part.red.map((test) => `${test} (written by ${part.id})`));
    const { code, message } = fail('TESTS_LEFT_RED', { tests: tests.join(', ') });
    failBoard(draft, `${code}: ${message}`);
    return;
  }
  const left = asked(draft);
  if (left.length > 0) {
    const { code, message } = fail('CHECKS_LEFT_RED', { checks: left.join(', ') });
    failBoard(draft, `${code}: ${message}`);
    return;
  }
  draft.changeHead({ outcome: 'completed' });
  draft.stat('tasks:completed');
  draft.publish('board.completed', {
    task_id: draft.taskId,
    outcome: 'completed',
    reason: null,
    commit: integration,
  });
};

/** The checks that the task asks for and that fail on the result, though they may have failed before it. */
const asked = (draft: Draft): string[] => {
  const failing = (draft.head.before ?? []).filter(({ state }) => state === 'failed');
  if (failing.length === 0 || draft.head.merged === 0) return [];
  const names = new Set(draft.task()?.checks.map(({ name }) => name));
  return failing.filter(({ name }) => names.has(name)).map(({ name, command }) => `${name} (\`${command}\`)`);
};

/** A subtask has failed for good, and the board with it. */
export const failSubtask = (draft: Draft, id: string, why: string): void => {
  const part = draft.part(id);
  const { code, message } = fail('SUBTASK_FAILED', { subtask: id, attempts: part.attempt, why: short(why, 1000) });
  draft.change(id, { state: 'failed', ended_at: draft.at, reason: short(why, 2000) });
  failBoard(draft, `${code}: ${message}`);
};

/** The board has failed: all that is open is cancelled, and the orchestrator is told. */
export const failBoard = (draft: Draft, why: string): void => {
  const reason = short(why, 2000);
  closeAll(draft, 'failed', reason, true);
  draft.stat('tasks:failed');
  draft.publish('board.completed', { task_id: draft.taskId, outcome: 'failed', reason, commit: null });
};

/** The task has ended elsewhere: all that is open is cancelled, and nobody needs to be told. */
export const cancelBoard = (draft: Draft, why: string): void => {
  const failed = draft.task()?.status === 'failed';
  closeAll(draft, 'cancelled', short(why, 2000), failed);
  draft.stat(failed ? 'tasks:failed' : 'tasks:cancelled');
};

const closeAll = (draft: Draft, outcome: 'failed' | 'cancelled', reason: string, taskFailed: boolean): void => {
  for (const part of draft.all()) {
    if (endedSubtask(part.state)) continue;
    // What a person was asked about has failed, for its own reason, once nobody goes on with the task.
    const hasFailed = taskFailed && part.state === 'waiting_for_person';
    draft.change(part.id, {
      state: hasFailed ? 'failed' : 'cancelled',
      ended_at: draft.at,
      reason: hasFailed ? part.reason : `The task ${taskFailed ? 'failed' : 'was cancelled'}.`,
    });
  }
  draft.takeSlots(-draft.head.dispatched.length);
  draft.changeHead({ outcome, reason, ready: [], dispatched: [], queue: [], at_gate: null });
};

/** A text that has no more characters than that; what is cut off shows. */
export const short = (text: string, charsMax: number): string =>
  text.length <= charsMax ? text : `${text.slice(0, charsMax - 1)}…`;
