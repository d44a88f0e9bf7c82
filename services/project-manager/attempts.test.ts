import { expect, test } from 'vitest';
import { commitOf, taskFacts } from '../../test/tools/board.ts';
import { play } from '../../test/tools/play.ts';

const delayOf = (game: ReturnType<typeof play>) => game.published.at(-1)?.delayMs;

test('what failed is tried again from where it stopped, with a wait that doubles', () => {
  const game = play([{ id: 'build' }], { rules: { retryBaseMs: 100 } });
  const wip = commitOf('wip');
  game.finish('build', { outcome: 'failed', code: 'AGENT_CRASHED', says: 'It crashed.', wip, commit: null });
  expect(game.part('build')).toMatchObject({ state: 'ready', failures: 1, attempt: 2 });
  expect(game.last('subtask.dispatched').hand_over).toMatchObject({ why: 'agent_failed', commit: wip });
  expect(delayOf(game)).toBe(100);
  game.finish('build', { outcome: 'lost', says: 'Its worker died.', commit: null, log_tail: 'last words' });
  expect(game.last('subtask.dispatched').hand_over).toMatchObject({
    why: 'worker_lost',
    says: 'Its worker died.\nBefore that: It crashed.',
    commit: wip,
    log_tail: 'last words',
  });
  expect(delayOf(game)).toBe(200);
  expect(game.ledger.stats.get('agent:builder:failed')).toBe(2);
});

test('after the last attempt the subtask and the board fail, by name and with what was wrong', () => {
  const game = play([{ id: 'build' }, { id: 'other' }]);
  for (let attempt = 1; attempt <= 3; attempt++) {
    game.finish('build', { outcome: 'timed_out', code: 'AGENT_TIMED_OUT', says: 'Too slow.', commit: null });
  }
  expect(game.state('build')).toBe('failed');
  expect(game.state('other')).toBe('cancelled');
  expect(game.last('board.completed')).toMatchObject({
    outcome: 'failed',
    reason: 'SUBTASK_FAILED: Subtask build failed after 3 attempt(s): AGENT_TIMED_OUT: Too slow.',
  });
  expect(game.ledger.load.size).toBe(0);
  expect(game.ledger.stats.get('tasks:failed')).toBe(1);
});

test('what no further attempt can mend fails at once', () => {
  const game = play([{ id: 'build' }]);
  game.finish('build', { outcome: 'failed', code: 'COMMAND_MISSING', says: 'No such command.', commit: null });
  expect(game.head()).toMatchObject({ outcome: 'failed', attempts: 1 });
  expect(game.head().reason).toContain('COMMAND_MISSING: No such command.');
});

test('a scenario that cannot be played fails at once: it is the same in every attempt', () => {
  const game = play([{ id: 'build' }]);
  game.finish('build', { outcome: 'failed', code: 'SCENARIO_INVALID', says: 'Line 3: no.', commit: null });
  expect(game.head()).toMatchObject({ outcome: 'failed', attempts: 1 });
});

test.each(['POISON', 'RETRIES_EXHAUSTED'])(
  'a dead letter (%s) counts as one failed attempt, and it goes on',
  (code) => {
    const game = play([{ id: 'build' }]);
    game.finish('build', { outcome: 'lost', code, commit: null });
    expect(game.part('build')).toMatchObject({ state: 'ready', failures: 1, attempt: 2 });
  },
);

test('an attempt that was stopped from outside counts nothing and goes on where it was', () => {
  const game = play([{ id: 'build' }]);
  for (let times = 0; times < 5; times++)
    game.finish('build', { outcome: 'aborted', commit: null, wip: commitOf('wip') });
  expect(game.part('build')).toMatchObject({ state: 'ready', failures: 0, attempt: 6 });
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
  expect(game.part('build')).toMatchObject({ state: 'ready', failures: 1 });
  expect(game.part('build').history.at(-1)).toMatchObject({ outcome: 'failed', code: 'AGENT_IDLE' });
  expect(game.last('subtask.dispatched').hand_over?.says).toContain('changed nothing');
});

test('what a gate asked to mend is not forgotten when the attempt that should mend it crashes', () => {
  const game = play([{ id: 'build' }]);
  game.finish('build');
  game.verdict('build', { verdict: 'failed', says: 'Two tests are red.' });
  game.finish('build', { outcome: 'failed', says: 'It crashed.', commit: null });
  expect(game.last('subtask.dispatched').hand_over).toMatchObject({
    why: 'agent_failed',
    says: expect.stringMatching(/It crashed\.[\s\S]*Two tests are red\./),
    commit: commitOf('build1'),
  });
});

test('cost, evidence and history are kept, of the history the last 20 lines', () => {
  const game = play([{ id: 'build' }], { rules: { attemptsMax: 100 } });
  const ref = (at: number) => ({ ref: `refs/nexus/task/evidence/${at}`, path: 'log' });
  for (let at = 1; at <= 25; at++) {
    const cost = { usd: at === 1 ? null : 0.5, tokens: 10 };
    game.finish('build', { outcome: 'failed', commit: null, evidence: ref(at), cost });
  }
  expect(game.head().cost).toEqual({ usd: 12, tokens: 250 });
  expect(game.part('build').evidence).toHaveLength(25);
  expect(game.part('build').history.map(({ attempt }) => attempt)).toEqual(
    Array.from({ length: 20 }, (_, at) => at + 6),
  );
});
