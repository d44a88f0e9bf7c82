/**
 * The upper rungs of the ladder: what becomes of a subtask that failed in every attempt and with every agent.
 * Pure decisions, like those of `decide.ts`.
 *
 *   escalation.raised ─ a new plan may help, and its bound is not reached → a planner is put before the subtask
 *                     └ else → waiting_for_person, until
 *                          ├ person.answered → once more, from the first rung; in_progress if nobody else waits
 *                          └ patience.ended  → failed
 *
 * The other subtasks of the task go on meanwhile. An escalation counts once: the head remembers the
 * number of the last one, and what is no newer is an echo.
 */
import { followUp } from '@nexus/shared/bus';
import { fail } from '@nexus/shared/errors';
import type { TaskView } from '@nexus/shared/ledger';
import type { PayloadOf } from '@nexus/shared/messages';
import type { PlannedSubtask, TaskHead, WaitingSubtask } from '@nexus/shared/messages/domain';
import { type Decision, ended, moved, nothing, sentenceOf } from './moves.ts';

/** How far the orchestrator goes before it asks a person, and how long it waits for one. */
export type Patience = { plansMax: number; personTimeoutMs: number };

/** What a task waits for, what has waited longest first; empty if it does not wait. */
export const waitsOf = ({ waiting }: TaskHead): WaitingSubtask[] => {
  if (!waiting) return [];
  const { others, ...first } = waiting;
  return [first, ...others];
};

/**
 * A subtask has come to the end of what the project manager can do. `planner` is what is done before it where
 * a new plan is to be made; null: nobody here can plan.
 */
export const decideEscalated = (
  view: TaskView | null,
  payload: PayloadOf<'escalation.raised'>,
  planner: PlannedSubtask | null,
  patience: Patience,
  now: number,
): Decision => {
  if (view === null || !isAtWork(view.head)) return nothing;
  const { task_id, subtask_id, number, plans, may_plan, reason } = payload;
  const { priority, escalated = {} } = view.head;
  if ((escalated[subtask_id] ?? 0) >= number) return nothing;
  const head = { ...view.head, escalated: { ...escalated, [subtask_id]: number } };
  const answered = { task_id, subtask_id, number };
  if (may_plan && plans < patience.plansMax && planner !== null) {
    const answer = { ...answered, answer: 'plan' as const, subtasks: [planner], says: reason };
    return {
      change: { head: { ...head, updated_at: new Date(now).toISOString() } },
      publish: [followUp('escalation.answered', answer, { key: subtask_id, priority })],
    };
  }
  const until = new Date(now + patience.personTimeoutMs).toISOString();
  const wait = { subtask_id, number, since: new Date(now).toISOString(), until, reason };
  const answer = { ...answered, answer: 'person' as const, subtasks: [], says: reason };
  const alarm = { key: subtask_id, priority, delayMs: patience.personTimeoutMs };
  return {
    change: { head: waitingFor(head, [...waitsOf(head), wait], now) },
    publish: [
      followUp('escalation.answered', answer, { key: subtask_id, priority }),
      followUp('patience.ended', { task_id, subtask_id, until }, alarm),
    ],
  };
};

/** A person wants it tried again. Where nothing waits, or not that subtask, there is nothing to try. */
export const decidePersonAnswered = (
  view: TaskView | null,
  payload: PayloadOf<'person.answered'>,
  now: number,
): Decision => {
  if (view === null) return nothing;
  const { task_id, subtask_id, note } = payload;
  const waits = waitsOf(view.head);
  const meant = waits.filter((wait) => subtask_id === null || wait.subtask_id === subtask_id);
  if (meant.length === 0) return nothing;
  const others = waits.filter((wait) => !meant.includes(wait));
  const { priority } = view.head;
  return {
    change: { head: waitingFor(view.head, others, now) },
    publish: meant.map(({ subtask_id: id, number }) => {
      const answer = { task_id, subtask_id: id, number, answer: 'retry' as const, subtasks: [], says: note };
      return followUp('escalation.answered', answer, { key: id, priority });
    }),
  };
};

/** Nobody has answered for so long that nobody will. Counts only for the wait that it was set for. */
export const decidePatienceEnded = (
  view: TaskView | null,
  payload: PayloadOf<'patience.ended'>,
  now: number,
): Decision => {
  if (view === null) return nothing;
  const { subtask_id: subtask, until } = payload;
  const wait = waitsOf(view.head).find((one) => one.subtask_id === subtask && one.until === until);
  if (!wait) return nothing;
  const reason = sentenceOf(fail('PERSON_SILENT', { subtask, until, why: wait.reason }));
  return ended(view.head, 'failed', reason, now, 'open');
};

const isAtWork = ({ status }: TaskHead): boolean => status === 'in_progress' || status === 'waiting_for_person';

/** The head with these waits; without any it is at work again. */
const waitingFor = (head: TaskHead, waits: readonly WaitingSubtask[], now: number): TaskHead => {
  const [first, ...others] = waits;
  if (!first) return moved(head, 'in_progress', now);
  const waits_now = head.status === 'waiting_for_person' ? head : moved(head, 'waiting_for_person', now);
  return {
    ...waits_now,
    reason: first.reason,
    updated_at: new Date(now).toISOString(),
    waiting: { ...first, others },
  };
};
