import { expect, test } from 'vitest';
import { check, taskFacts } from '../../test/tools/board.ts';
import { play } from '../../test/tools/play.ts';

const nodes = [{ id: 'one' }, { id: 'two' }, { id: 'three', depends_on: ['one'] }, { id: 'four' }];

test('a board that is cancelled cancels what is open, keeps what has ended, and tells nobody', () => {
  const game = play(nodes);
  game.bringIn('one');
  game.finish('two');
  const said = game.tell({ type: 'board.cancelled', payload: { task_id: 'task', reason: 'No longer wanted.' } });
  expect(said).toEqual([]);
  expect(game.head()).toMatchObject({
    outcome: 'cancelled',
    reason: 'No longer wanted.',
    counts: { merged: 1, cancelled: 3 },
    ready: [],
    dispatched: [],
    queue: [],
    at_gate: null,
  });
  expect(game.ledger.load.size).toBe(0);
  expect(game.ledger.stats.get('tasks:cancelled')).toBe(1);
});

test('where nobody answered, what was asked about has failed for its own reason; the rest is cancelled', () => {
  const game = play([{ id: 'one' }, { id: 'two' }], { rules: { retries: 0, otherAgentsMax: 0 } });
  game.fail('one');
  game.answer('one', 'person', { says: 'AGENT_FAILED: It failed.' });
  game.ledger.tasks.set('task', { ...taskFacts, status: 'failed' });
  game.tell({ type: 'board.cancelled', payload: { task_id: 'task', reason: 'Nobody answered.' } });
  expect(game.part('one')).toMatchObject({ state: 'failed', reason: 'AGENT_FAILED: It failed.' });
  expect(game.part('two')).toMatchObject({ state: 'cancelled', reason: 'The task failed.' });
  expect(game.head()).toMatchObject({ outcome: 'cancelled', counts: { failed: 1, cancelled: 1 } });
});

test('whatever still comes for a board that has ended changes nothing', () => {
  const game = play(nodes);
  game.finish('two');
  game.tell({ type: 'board.cancelled', payload: { task_id: 'task', reason: '' } });
  const before = game.ledger.boards.get('task');
  expect(game.pass('two')).toEqual([]);
  expect(game.finish('one')).toEqual([]);
  expect(game.tell({ type: 'board.cancelled', payload: { task_id: 'task', reason: 'Again.' } })).toEqual([]);
  expect(game.ledger.boards.get('task')).toBe(before);
});

test('a board that is discarded goes, with the slots that it held', () => {
  const game = play(nodes);
  expect(game.ledger.load.get('task')).toBe(3);
  game.tell({ type: 'board.discarded', payload: { task_id: 'task' } });
  expect(game.ledger.boards.size).toBe(0);
  expect(game.ledger.load.size).toBe(0);
  expect(game.tell({ type: 'board.discarded', payload: { task_id: 'task' } })).toEqual([]);
});

test('a reason is cut to what a message may hold', () => {
  const game = play([{ id: 'one' }]);
  game.finish('one', { outcome: 'failed', code: 'SCENARIO_INVALID', commit: null, says: 'x'.repeat(2000) });
  expect(game.last('board.completed').reason?.length).toBeLessThanOrEqual(2000);
});

test('a task of reports alone completes on the commit that it began with', () => {
  const game = play([{ id: 'look', kind: 'report' }]);
  game.finish('look');
  expect(game.last('board.completed')).toMatchObject({ outcome: 'completed', commit: game.head().base_commit });
  expect(game.ledger.stats).toEqual(
    new Map([
      ['agent:builder:completed', 1],
      ['tasks:completed', 1],
    ]),
  );
});

test('a result on which a check fails that the task asks for is no result: CHECKS_LEFT_RED', () => {
  const game = play([{ id: 'one' }]);
  const [asked] = taskFacts.checks;
  const red = [
    check({ name: asked?.name ?? '', state: 'failed', failing_before: true }),
    check({ name: 'lint', state: 'failed' }),
  ];
  game.finish('one');
  game.pass('one', { checks: red });
  game.merge('one');
  expect(game.last('board.completed')).toMatchObject({
    outcome: 'failed',
    reason: expect.stringMatching(new RegExp(`^CHECKS_LEFT_RED: .* fail: ${asked?.name} \\(`)),
  });
});
