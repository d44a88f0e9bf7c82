/**
 * The board of a task: one pure function from what stands there and a message to what stands there next.
 *
 *   blocked ─ all it depends on has ended well → ready ─ dispatched, begun → working
 *   working ─ a report → reported      ─ a commit → checking → merging → merged
 *   working ─ failed → parked → ready (next attempt)       checking ─ sent back → ready
 *   nothing left to try → parked → blocked behind a new plan, or waiting_for_person → ready
 *   anything open ─ nobody can mend it → failed      ─ the board ends → cancelled
 *
 * Every message may come twice, late or out of order: it counts only for the attempt that the board is at and
 * in the state that it belongs to, and changes nothing otherwise (a verdict `broken` that comes twice costs one
 * gate run more). The concerns, in the order of a subtask's life: `decompose.ts` `graph.ts` `dispatch.ts`
 * `attempts.ts` `ladder.ts` `escalation.ts` `merge-queue.ts` `red-tests.ts` `ending.ts`; all of them work on a
 * `draft.ts`. `transition.ts` reads, decides and answers with the writes.
 */
import type { KindsTo, PayloadOf } from '@nexus/shared/messages';
import { endedTask } from '@nexus/shared/messages/domain';
import { attemptBegun, attemptFinished, backoffElapsed } from './attempts.ts';
import { emptyBoard, fill } from './decompose.ts';
import { dispatch } from './dispatch.ts';
import { type Decision, type Draft, Missing, nothing, openDraft, type View } from './draft.ts';
import { cancelBoard, completeIfDone } from './ending.ts';
import { escalationAnswered } from './escalation.ts';
import { orderLost } from './lost-orders.ts';
import { gateNext, mergeFinished, verdictReached } from './merge-queue.ts';

export { type Decision, Missing, type Slots, type TaskFacts, type View } from './draft.ts';

/** The kinds that the board is driven by, each with its payload; an audit only looks, and memories lie elsewhere. */
export type BoardKind = Exclude<KindsTo<'project-manager'>, 'audit.due' | 'memory.noted' | 'decay.due'>;
export type BoardMessage = { [K in BoardKind]: { type: K; payload: PayloadOf<K> } }[BoardKind];

/**
 * What a message does to a board: the writes and the messages of one transition, or what has to be read
 * before that can be said. Throws PLAN_INVALID or ROLE_UNKNOWN for a plan that cannot be made into a board.
 */
export const decide = (view: View, message: BoardMessage, now: number): Decision | Missing => {
  try {
    return decideOn(view, message, now);
  } catch (thrown) {
    if (thrown instanceof Missing) return thrown;
    throw thrown;
  }
};

const decideOn = (view: View, message: BoardMessage, now: number): Decision => {
  if (message.type === 'board.discarded') return discard(view);
  if (view.board === null) return decideWithout(view, message, now);
  if (view.board.head.outcome !== null) return nothing();
  const draft = openDraft(view, view.board, now);
  switch (message.type) {
    case 'plan.accepted':
      return nothing();
    case 'attempt.begun':
      attemptBegun(draft, message.payload);
      break;
    case 'attempt.finished':
      attemptFinished(draft, message.payload);
      break;
    case 'verdict.reached':
      verdictReached(draft, message.payload);
      break;
    case 'merge.finished':
      mergeFinished(draft, message.payload);
      break;
    case 'backoff.elapsed':
      backoffElapsed(draft, message.payload);
      break;
    case 'order.lost':
      orderLost(draft, message.payload);
      break;
    case 'escalation.answered':
      escalationAnswered(draft, message.payload);
      break;
    case 'board.cancelled':
      cancelBoard(draft, message.payload.reason);
      break;
  }
  return draft.isTouched() ? advance(draft) : nothing();
};

/** Where there is no board: a plan makes one, unless its task has ended; all else is too late or too early. */
const decideWithout = (view: View, message: BoardMessage, now: number): Decision => {
  if (message.type === 'plan.accepted') {
    const { payload } = message;
    const board = emptyBoard({ ...payload, mode: payload.plan.mode }, now);
    const draft = openDraft({ ...view, read: 'all' }, board, now);
    const task = draft.task();
    if (task === null || endedTask(task.status)) return nothing();
    fill(draft, payload.plan.subtasks, payload.plan.agents);
    return advance(draft);
  }
  return message.type === 'board.cancelled' ? bury(view, message.payload.reason, now) : nothing();
};

/**
 * A task was cancelled before its board was there. Its plan may be on the way, even being decided by another
 * process: a board that has ended already takes the place, and the plan will find it.
 */
const bury = (view: View, reason: string, now: number): Decision => {
  if (view.task === undefined) throw new Missing([], 'task');
  if (view.task === null || view.task.baseCommit === null) return nothing();
  const { baseCommit, priority, mode } = view.task;
  const { head } = emptyBoard({ task_id: view.taskId, priority, mode, base_commit: baseCommit }, now);
  return { ...nothing(), head: { ...head, outcome: 'cancelled', reason } };
};

/** The task is gone, and the board with it; slots that it still held are free. */
const discard = (view: View): Decision => {
  if (view.board === null) return nothing();
  // All of them, because what is remembered of their attempts goes, too.
  if (view.read !== 'all') throw new Missing('all');
  return { ...nothing(), discard: true, load: -view.board.head.dispatched.length };
};

/** What follows from any change: the next candidate goes to the gate, free slots are filled, or all is done. */
const advance = (draft: Draft): Decision => {
  if (draft.head.outcome === null) gateNext(draft);
  if (draft.head.outcome === null) completeIfDone(draft);
  if (draft.head.outcome === null) dispatch(draft);
  return draft.decision();
};
