/**
 * The upper rungs of the ladder: what becomes of a subtask that failed in every attempt and with every agent.
 * Pure decisions, like those of `decide.ts`.
 *
 *   escalation.raised ─ a new plan may help, and its bound is not reached → a planner is put before the subtask
 *                     └ else → waiting_for_person, until
 *                          ├ person.answered → once more, from the first rung; in_progress if nobody else waits
 *                          ├ question.answered, the last that it waits for (`questions.ts`) → the same
 *                          └ patience.ended  → failed
 *
 * The other subtasks of the task go on meanwhile. An escalation counts once: the head remembers the
 * number of the last one, and what is no newer is an echo.
 */
import { followUp } from '@nexus/shared/bus';
import { fail } from '@nexus/shared/errors';
import type { TaskView } from '@nexus/shared/ledger';
import type { PayloadOf } from '@nexus/shared/messages';
import type { AgentQuestion, PlannedSubtask, TaskHead, WaitingSubtask } from '@nexus/shared/messages/domain';
import { type Decision, ended, moved, nothing, sentenceOf } from './moves.ts';
import { dialogueOf, openQuestions, type PrimeAnswers, prime, withAnswer, withQuestions } from './questions.ts';

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
  answers: PrimeAnswers = [],
): Decision => {
  if (view === null || !isAtWork(view.head)) return nothing;
  const { task_id, subtask_id, number, plans, may_plan, reason, questions = [] } = payload;
  const { priority, escalated = {} } = view.head;
  if ((escalated[subtask_id] ?? 0) >= number) return nothing;
  const head = { ...view.head, escalated: { ...escalated, [subtask_id]: number } };
  const answered = { task_id, subtask_id, number };
  const asked = { subtask_id, attempt: payload.attempt ?? 1, agent_id: payload.agent_id ?? 'unknown', questions };
  const told = withQuestions(head, asked, answers, number, now);
  if (questions.length > 0 && answers.length >= questions.length && answers.every((one) => one !== null)) {
    const says = dialogueOf(
      (told.questions ?? []).filter((one) => one.subtask_id === subtask_id && one.waits === number),
    );
    const answer = { ...answered, answer: 'retry' as const, subtasks: [], says: says.slice(0, 4000), by: prime };
    return {
      change: { head: told },
      publish: [followUp('escalation.answered', answer, { key: subtask_id, priority })],
    };
  }
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
    change: { head: waitingFor(told, [...waitsOf(told), wait], now) },
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
  by = 'a person',
): Decision => {
  if (view === null) return nothing;
  const { task_id, subtask_id, note } = payload;
  const waits = waitsOf(view.head);
  const meant = waits.filter((wait) => subtask_id === null || wait.subtask_id === subtask_id);
  if (meant.length === 0) return nothing;
  const others = waits.filter((wait) => !meant.includes(wait));
  const { priority } = view.head;
  const asked = openQuestions(view.head).filter((one) => meant.some((wait) => isOf(one, wait)));
  const ids = asked.map(({ id }) => id);
  const head = ids.length === 0 ? view.head : withAnswer(view.head, ids, note || 'Go on as you think best.', by, now);
  return {
    change: { head: waitingFor(head, others, now) },
    publish: meant.map(({ subtask_id: id, number }) => {
      const answer = { task_id, subtask_id: id, number, answer: 'retry' as const, subtasks: [], says: note };
      return followUp('escalation.answered', answer, { key: id, priority });
    }),
  };
};

const isOf = (question: AgentQuestion, { subtask_id, number }: WaitingSubtask): boolean =>
  question.subtask_id === subtask_id && question.waits === number;

/** A person has answered questions. A subtask that waited for the last of its own goes on. */
export const decideQuestionAnswered = (
  view: TaskView | null,
  payload: PayloadOf<'question.answered'>,
  now: number,
): Decision => {
  if (view === null || view.head.ended_at !== null) return nothing;
  const { task_id, question_ids, answer, by } = payload;
  const meant = openQuestions(view.head).filter(({ id }) => question_ids.includes(id));
  if (meant.length === 0) return nothing;
  const head = withAnswer(
    view.head,
    meant.map(({ id }) => id),
    answer,
    by,
    now,
  );
  const waits = waitsOf(head);
  const open = openQuestions(head);
  const isAnswered = (wait: WaitingSubtask): boolean =>
    meant.some((one) => isOf(one, wait)) && !open.some((one) => isOf(one, wait));
  const over = waits.filter(isAnswered);
  if (over.length === 0) return { change: { head }, publish: [] };
  const others = waits.filter((wait) => !over.includes(wait));
  const { priority } = head;
  return {
    change: { head: waitingFor(head, others, now) },
    publish: over.map((wait) => {
      const says = dialogueOf((head.questions ?? []).filter((one) => isOf(one, wait))).slice(0, 4000);
      const { subtask_id, number } = wait;
      const told = { task_id, subtask_id, number, answer: 'retry' as const, subtasks: [], says };
      return followUp('escalation.answered', told, { key: subtask_id, priority });
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
