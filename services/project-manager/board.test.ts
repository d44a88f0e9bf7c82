import { expect, test } from 'vitest';
import { attemptBegun, commitOf, openMemoryLedger, planAccepted, taskFacts } from '../../test/tools/board.ts';
import { play } from '../../test/tools/play.ts';

const chain = [
  { id: 'analyse', role: 'analyst', kind: 'report' as const },
  { id: 'build', depends_on: ['analyse'] },
  { id: 'review', role: 'reviewer', kind: 'report' as const, depends_on: ['build'] },
];

test('a task goes from its plan over report, commit, gate and merge to its end', () => {
  const game = play(chain);
  expect(game.said('subtask.dispatched')).toEqual(['analyse-1']);
  game.begin('analyse');
  expect(game.state('analyse')).toBe('working');
  game.finish('analyse');
  expect(game.state('analyse')).toBe('reported');
  expect(game.said('subtask.dispatched')).toEqual(['analyse-1', 'build-1']);
  game.begin('build');
  game.finish('build');
  expect(game.state('build')).toBe('checking');
  game.pass('build');
  expect(game.state('build')).toBe('merging');
  game.merge('build');
  expect(game.state('build')).toBe('merged');
  expect(game.last('subtask.dispatched', 'review').integration).toBe(commitOf('tested build'));
  game.finish('review');
  expect(game.last('board.completed')).toEqual({
    task_id: 'task',
    outcome: 'completed',
    reason: null,
    commit: commitOf('tested build'),
  });
  expect(game.head()).toMatchObject({ counts: { reported: 2, merged: 1 }, merged: 1, attempts: 3, proven: true });
  expect(game.ledger.load.size).toBe(0);
});

test('what comes twice, late or for another attempt changes nothing and says nothing', () => {
  const game = play(chain);
  const stale = [
    () => game.begin('analyse', 2),
    () => game.finish('analyse', {}, 2),
    () => game.begin('build', 1),
    () => game.finish('build', {}, 1),
    () => game.verdict('build', {}),
    () => game.merge('analyse'),
    () => game.tell(planAccepted('task', chain)),
    () => game.tell(attemptBegun({ task_id: 'task', subtask_id: 'nobody', attempt: 1 })),
    () => game.tell(attemptBegun({ task_id: 'elsewhere', subtask_id: 'build', attempt: 1 })),
  ];
  const before = game.ledger.boards.get('task');
  for (const tell of stale) expect(tell()).toEqual([]);
  expect(game.ledger.boards.get('task')).toBe(before);

  game.begin('analyse');
  const begun = game.ledger.boards.get('task');
  expect(game.begin('analyse')).toEqual([]);
  expect(game.ledger.boards.get('task')).toBe(begun);
  game.finish('analyse');
  const finished = game.ledger.boards.get('task');
  expect(game.finish('analyse')).toEqual([]);
  expect(game.begin('analyse')).toEqual([]);
  expect(game.ledger.boards.get('task')).toBe(finished);
});

test('an attempt may end before anybody heard that it began', () => {
  const game = play(chain);
  game.finish('analyse');
  expect(game.state('analyse')).toBe('reported');
  expect(game.begin('analyse')).toEqual([]);
});

test('a plan that cannot be worked off makes no board: PLAN_INVALID says all that is wrong', () => {
  const cyclic = [
    { id: 'one', depends_on: ['two'] },
    { id: 'two', depends_on: ['one', 'three'], role: 'wizard' },
  ];
  expect(() => play(cyclic)).toThrow(
    expect.objectContaining({
      code: 'PLAN_INVALID',
      message: expect.stringMatching(/"three", which does not exist.*one → two → one.*wizard/),
    }),
  );
});

test('a plan whose task has ended or is gone makes no board', () => {
  const ledger = openMemoryLedger();
  expect(ledger.deliver(planAccepted('task', chain))).toEqual([]);
  ledger.tasks.set('task', { ...taskFacts, status: 'cancelled' });
  expect(ledger.deliver(planAccepted('task', chain))).toEqual([]);
  expect(ledger.boards.size).toBe(0);
});

test('a task that was cancelled before its board was there gets no board by a plan that comes later', () => {
  const ledger = openMemoryLedger();
  const cancelled = { type: 'board.cancelled', payload: { task_id: 'task', reason: 'No.' } } as const;
  expect(ledger.deliver(cancelled)).toEqual([]);
  expect(ledger.boards.size).toBe(0);
  // The plan was accepted, and is being decided by another process at this moment.
  ledger.tasks.set('task', taskFacts);
  ledger.deliver(cancelled);
  expect(ledger.boards.get('task')?.head).toMatchObject({ outcome: 'cancelled', reason: 'No.', total: 0 });
  expect(ledger.deliver(planAccepted('task', chain))).toEqual([]);
});

test('a transition reads and writes the head, its subtask and the direct dependents, and no more (rule 12)', () => {
  const others = Array.from({ length: 200 }, (_, at) => ({ id: `other-${at}`, depends_on: ['last'] }));
  const game = play([{ id: 'first' }, { id: 'next', depends_on: ['first'] }, { id: 'last' }, ...others]);
  game.finish('first');
  game.pass('first');
  const before = game.ledger.boards.get('task')?.subtasks ?? new Map();
  game.merge('first');
  const after = game.ledger.boards.get('task')?.subtasks ?? new Map();
  expect([...after].filter(([id, part]) => before.get(id) !== part).map(([id]) => id)).toEqual(['first', 'next']);
});
