import { expect, test } from 'vitest';
import { base, head, headOf, now, task_id, view } from '../../test/tools/task-views.ts';
import {
  decideQuestionsAsked,
  newQuestions,
  openQuestions,
  primeRounds,
  primeRoundsMax,
  withQuestions,
} from './questions.ts';
import { decideEscalated, decidePersonAnswered, decideQuestionAnswered } from './waiting.ts';

const asked = {
  task_id,
  subtask_id: 'store',
  attempt: 1,
  agent_id: 'builder',
  questions: ['Which format?', 'Which name?'],
};
const patience = { plansMax: 1, personTimeoutMs: 1000 };
const escalation = {
  ...{ task_id, subtask_id: 'store', number: 1, attempts: 1, plans: 0, may_plan: false },
  ...{ title: 'Store', goal: 'Store it', reason: 'AGENT_GAVE_UP: …', attempt: 1, agent_id: 'builder' },
  questions: ['Which format?', 'Which name?'],
};
const at = { ...view('in_progress'), head: { ...head, status: 'in_progress' as const, base_commit: base } };
const withHead = (changed: ReturnType<typeof headOf>) => ({ ...at, head: changed });

test('questions that nobody waits for are kept open, once, and the task goes on', () => {
  const first = headOf(decideQuestionsAsked(at, asked, [], now));
  expect(first.status).toBe('in_progress');
  expect(openQuestions(first).map(({ id, text, waits }) => [id, text, waits])).toEqual([
    ['q1', 'Which format?', null],
    ['q2', 'Which name?', null],
  ]);
  expect(decideQuestionsAsked(withHead(first), asked, [], now).change).toBeNull();
  expect(newQuestions(first, { ...asked, attempt: 2 })).toHaveLength(2);
});

test('what NEXUS Prime knows is answered at once, the rest is left to a person', () => {
  const answered = headOf(decideQuestionsAsked(at, asked, ['JSON', null], now));
  expect(answered.questions).toMatchObject([
    { id: 'q1', answer: 'JSON', answered_by: 'NEXUS Prime' },
    { id: 'q2', answer: null },
  ]);
});

test('an ended task is asked nothing more', () => {
  const ended = { ...at, head: { ...at.head, status: 'failed' as const, ended_at: '2030-01-01T12:00:00.000Z' } };
  expect(decideQuestionsAsked(ended, asked, [], now).change).toBeNull();
});

test('a subtask whose questions NEXUS Prime answers goes on with the answers, and no person is asked', () => {
  const decision = decideEscalated(at, escalation, null, patience, now, ['JSON', 'export']);
  expect(headOf(decision)).toMatchObject({ status: 'in_progress', escalated: { store: 1 } });
  const says = 'You asked: Which format?\nThe answer: JSON\nYou asked: Which name?\nThe answer: export';
  expect(decision.publish).toMatchObject([
    { type: 'escalation.answered', payload: { answer: 'retry', says, by: 'NEXUS Prime', number: 1 } },
  ]);
  expect(primeRounds(headOf(decision), 'store')).toBe(1);
  expect(primeRoundsMax).toBeGreaterThan(1);
});

test('a subtask whose questions stay open waits, and goes on with the last answer, which a retry gives, too', () => {
  const waiting = headOf(decideEscalated(at, escalation, null, patience, now, ['JSON', null]));
  expect(waiting).toMatchObject({ status: 'waiting_for_person', waiting: { subtask_id: 'store' } });
  expect(openQuestions(waiting).map(({ id }) => id)).toEqual(['q2']);
  const payload = { task_id, question_ids: ['q2'], answer: 'export', by: 'token:admin' };
  const decision = decideQuestionAnswered(withHead(waiting), payload, now);
  expect(headOf(decision)).toMatchObject({ status: 'in_progress' });
  expect(headOf(decision).questions?.[1]).toMatchObject({ answer: 'export', answered_by: 'token:admin' });
  expect(decision.publish).toMatchObject([
    { payload: { answer: 'retry', says: expect.stringContaining('The answer: export') } },
  ]);
  const retried = decidePersonAnswered(
    withHead(waiting),
    { task_id, subtask_id: 'store', answer: 'retry', note: 'export' },
    now,
  );
  expect(openQuestions(headOf(retried))).toEqual([]);
});

test('one of two answers lets nothing go on, and an answer that comes twice changes nothing', () => {
  const waiting = headOf(decideEscalated(at, escalation, null, patience, now));
  const one = { task_id, question_ids: ['q1'], answer: 'JSON', by: 'token:admin' };
  const decision = decideQuestionAnswered(withHead(waiting), one, now);
  expect([headOf(decision).status, decision.publish]).toEqual(['waiting_for_person', []]);
  expect(decideQuestionAnswered(withHead(headOf(decision)), one, now).change).toBeNull();
});

test('of more questions than are kept the oldest that were answered go first', () => {
  const many = (from: number, count: number) => Array.from({ length: count }, (_, n) => `Question ${from + n}?`);
  const answered = withQuestions(at.head, { ...asked, questions: many(0, 20) }, many(0, 20), null, now);
  const full = withQuestions(answered, { ...asked, questions: many(20, 20) }, [], null, now);
  const over = withQuestions(full, { ...asked, questions: many(40, 20) }, [], null, now);
  expect(over.questions).toHaveLength(50);
  expect(openQuestions(over)).toHaveLength(40);
});
