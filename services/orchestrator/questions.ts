/**
 * Questions that agents leave, and their answers. Pure decisions, like those of `waiting.ts`.
 *
 *   questions.asked   ─ NEXUS Prime, where a model is configured → answered
 *                     └ what it cannot know, or without a model → open: a person is asked, the work goes on meanwhile
 *   escalation.raised with questions: the agent could not go on. Answered by NEXUS Prime → once more, with the answers;
 *                     else it waits for a person, as every escalation does
 *   question.answered ─ the answer reaches whoever works at the task from then on; the last open one of a subtask that
 *                       waits for it → once more
 *
 * An answer stands in the task's head, which every attempt reads when it begins. A question counts once: by its
 * subtask, its attempt and its words.
 */
import type { TaskView } from '@nexus/shared/ledger';
import type { PayloadOf } from '@nexus/shared/messages';
import type { AgentQuestion, TaskHead } from '@nexus/shared/messages/domain';
import { type Decision, nothing } from './moves.ts';

/** What NEXUS Prime says to each question; null: only a person can know. */
export type PrimeAnswers = readonly (string | null)[];
export const prime = 'NEXUS Prime';

const questionsMax = 50;
/** How often NEXUS Prime answers for one subtask that cannot go on, before a person is asked. */
export const primeRoundsMax = 2;

type Asked = { subtask_id: string; attempt: number; agent_id: string; questions: readonly string[] };

/** The questions of an attempt that went on without an answer. */
export const decideQuestionsAsked = (
  view: TaskView | null,
  payload: PayloadOf<'questions.asked'>,
  answers: PrimeAnswers,
  now: number,
): Decision => {
  if (view === null || view.head.ended_at !== null) return nothing;
  const head = withQuestions(view.head, payload, answers, null, now);
  return head === view.head ? nothing : { change: { head }, publish: [] };
};

/** The questions that are new here: what came twice is an echo. */
export const newQuestions = (head: TaskHead, { subtask_id, attempt, questions }: Asked): string[] => {
  const known = new Set((head.questions ?? []).map((one) => `${one.subtask_id} ${one.attempt} ${one.text}`));
  const texts = questions.map((text) => text.trim()).filter((text) => text !== '');
  return [...new Set(texts)].filter((text) => !known.has(`${subtask_id} ${attempt} ${text}`));
};

/** The head with these questions; `waits` is the escalation that waits for their answers. */
export const withQuestions = (
  head: TaskHead,
  asked: Asked,
  answers: PrimeAnswers,
  waits: number | null,
  now: number,
): TaskHead => {
  const fresh = newQuestions(head, asked);
  if (fresh.length === 0) return head;
  const at = new Date(now).toISOString();
  const before = head.questions ?? [];
  const last = Math.max(0, ...before.map(({ id }) => Number(id.slice(1))));
  const added = fresh.map((text, index): AgentQuestion => {
    const answer = answers[index]?.slice(0, 2000) ?? null;
    return {
      id: `q${last + index + 1}`,
      ...{ subtask_id: asked.subtask_id, attempt: asked.attempt, agent_id: asked.agent_id },
      ...{ text, asked_at: at, waits, answer },
      ...(answer === null ? { answered_by: null, answered_at: null } : { answered_by: prime, answered_at: at }),
    };
  });
  return { ...head, questions: bounded([...before, ...added]), updated_at: at };
};

/** What is answered goes first where there are too many, the oldest before the rest. */
const bounded = (questions: AgentQuestion[]): AgentQuestion[] => {
  let over = questions.length - questionsMax;
  const kept = questions.filter(({ answer }) => answer === null || over-- <= 0);
  return kept.slice(-questionsMax);
};

/** The head with an answer to these questions. */
export const withAnswer = (
  head: TaskHead,
  ids: readonly string[],
  answer: string,
  by: string,
  now: number,
): TaskHead => {
  const at = new Date(now).toISOString();
  const meant = new Set(ids);
  const questions = (head.questions ?? []).map((one) =>
    meant.has(one.id) && one.answer === null ? { ...one, answer, answered_by: by, answered_at: at } : one,
  );
  return { ...head, questions, updated_at: at };
};

export const openQuestions = ({ questions = [] }: TaskHead): AgentQuestion[] =>
  questions.filter(({ answer }) => answer === null);

/** How often NEXUS Prime has answered for a subtask that could not go on. */
export const primeRounds = ({ questions = [] }: TaskHead, subtask: string): number =>
  new Set(
    questions
      .filter((one) => one.subtask_id === subtask && one.waits !== null && one.answered_by === prime)
      .map(({ waits }) => waits),
  ).size;

/** Question and answer, for the hand-over of the next attempt. */
export const dialogueOf = (questions: readonly Pick<AgentQuestion, 'text' | 'answer'>[]): string =>
  questions.map(({ text, answer }) => `You asked: ${text}\nThe answer: ${answer ?? 'none'}`).join('\n');
