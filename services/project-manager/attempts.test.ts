import { expect, test } from 'vitest';
import { commitOf, taskFacts } from '../../test/tools/board.ts';
import { play } from '../../test/tools/play.ts';

test('a dead letter counts as one failed attempt, and it goes on', () => {
  const game = play([{ id: 'build' }]);
  game.finish('build', { outcome: 'lost', code: 'RETRIES_EXHAUSTED', commit: null });
  expect(game.part('build')).toMatchObject({ state: 'parked', failures: 1, attempt: 1 });
  game.resume('build');
  expect(game.last('subtask.dispatched')).toMatchObject({ attempt: 2, hand_over: { why: 'worker_lost' } });
});

test('an attempt that was stopped from outside counts nothing and goes on where it was', () => {
  const game = play([{ id: 'build' }]);
  for (let times = 0; times < 5; times++)
    game.fail('build', { outcome: 'aborted', code: null, says: '', wip: commitOf('wip') });
  expect(game.part('build')).toMatchObject({ state: 'ready', failures: 0, attempt: 6, ladder: { retries: 0 } });
  expect(game.last('subtask.dispatched').hand_over).toMatchObject({ why: 'stopped', commit: commitOf('wip') });
  expect(game.ledger.stats.size).toBe(0);
});

test('an attempt that was stopped because its task has ended ends the board', () => {
  const game = play([{ id: 'build' }, { id: 'other' }]);
  game.ledger.tasks.set('task', { ...taskFacts, status: 'failed' });
  expect(game.finish('build', { outcome: 'aborted', commit: null })).toEqual([]);
  expect(game.head()).toMatchObject({ outcome: 'cancelled', counts: { cancelled: 2 }, dispatched: [] });
  expect(game.ledger.stats.get('tasks:failed')).toBe(1);
});

test('a subtask that asks for a commit and got none has failed: AGENT_IDLE', () => {
  const game = play([{ id: 'build' }]);
  game.finish('build', { commit: null });
  expect(game.part('build')).toMatchObject({ state: 'parked', failures: 1 });
  expect(game.part('build').history.at(-1)).toMatchObject({ outcome: 'failed', code: 'AGENT_IDLE' });
  game.resume('build');
  expect(game.last('subtask.dispatched').hand_over?.says).toContain('changed nothing');
});

test('what a gate asked to mend is not forgotten when the attempt that should mend it crashes', () => {
  const game = play([{ id: 'build' }]);
  game.finish('build');
  game.verdict('build', { verdict: 'failed', says: 'Two tests are red.' });
  game.fail('build', { says: 'It crashed.' });
  expect(game.last('subtask.dispatched').hand_over).toMatchObject({
    why: 'agent_failed',
    says: expect.stringMatching(/It crashed\.[\s\S]*Two tests are red\./),
    commit: commitOf('build1'),
  });
});

test('cost, evidence and history are kept, of the history the last 20 lines', () => {
  const game = play([{ id: 'build' }], { rules: { retries: 100 } });
  const ref = (at: number) => ({ ref: `refs/nexus/task/evidence/${at}`, path: 'log' });
  for (let at = 1; at <= 25; at++) {
    const cost = { usd: at === 1 ? null : 0.5, tokens: 10 };
    game.fail('build', { evidence: ref(at), cost });
  }
  expect(game.head().cost).toEqual({ usd: 12, tokens: 250 });
  expect(game.part('build').evidence).toHaveLength(25);
  expect(game.part('build').history.map(({ attempt }) => attempt)).toEqual(
    Array.from({ length: 20 }, (_, at) => at + 6),
  );
});

test('an attempt whose budget is spent counts nothing and asks a person at once, and goes on from its work', () => {
  const game = play([{ id: 'build' }]);
  const says = 'The budget of the task a-task is spent.';
  game.fail('build', { code: 'BUDGET_SPENT', says, wip: commitOf('wip') });
  expect(game.part('build')).toMatchObject({ state: 'parked', failures: 0, resume_at: null, escalations: 1 });
  expect(game.last('escalation.raised')).toMatchObject({ may_plan: false, reason: `BUDGET_SPENT: ${says}` });
  expect(game.ledger.stats.size).toBe(0);
  game.answer('build', 'person');
  expect(game.part('build')).toMatchObject({ state: 'waiting_for_person' });
  game.answer('build', 'retry');
  expect(game.last('subtask.dispatched')).toMatchObject({
    attempt: 2,
    hand_over: { why: 'stopped', commit: commitOf('wip') },
  });
});

const asking = (...additional_questions: string[]) => ({
  ...{ summary: 'I do not know.', confidence_score: null, deliverables: [], recommendations: [], next_steps: [] },
  ...{ files: [], agent_feedback: { clarity_rating: null, complexity_rating: null, additional_questions } },
});

test('questions of an attempt that went on are passed on, and hold nothing up', () => {
  const game = play([{ id: 'build' }, { id: 'look', kind: 'report' }]);
  game.finish('build', { report: asking('Which format?', ' ') });
  expect(game.last('questions.asked')).toMatchObject({ subtask_id: 'build', attempt: 1, questions: ['Which format?'] });
  expect(game.state('build')).toBe('checking');
  game.fail('look', { report: asking('Which folder?') });
  expect(game.said('questions.asked')).toEqual(['build-1', 'look-1']);
  expect(game.part('look')).toMatchObject({ attempt: 2, step: 'retry' });
  game.finish('look');
  expect(game.said('questions.asked')).toHaveLength(2);
});

test.each([
  ['changed nothing but asks', { commit: null }],
  ['gave up for want of an answer', { outcome: 'failed', code: 'AGENT_ASKS', commit: null }],
] as const)('an agent that %s is not tried again before it is answered', (_what, told) => {
  const game = play([{ id: 'build' }]);
  game.finish('build', { ...told, report: asking('Which format?') });
  expect(game.last('escalation.raised')).toMatchObject({ questions: ['Which format?'], attempt: 1, may_plan: false });
  expect(game.part('build')).toMatchObject({ state: 'parked', resume_at: null, step: 'first' });
  expect(game.ledger.history.size).toBe(0);
  game.answer('build', 'retry', { says: 'You asked: Which format?\nThe answer: JSON', by: 'NEXUS Prime' });
  const next = game.last('subtask.dispatched', 'build');
  expect(next.hand_over?.says).toMatch(/^NEXUS Prime says: You asked: Which format\?\nThe answer: JSON/);
});
