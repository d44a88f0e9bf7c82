import { expect, test } from 'vitest';
import { check, commitOf } from '../../test/tools/board.ts';
import { play } from '../../test/tools/play.ts';

const nodes = [
  { id: 'tests', kind: 'tests_first' as const },
  { id: 'one', depends_on: ['tests'] },
  { id: 'two', depends_on: ['tests'] },
  { id: 'review', kind: 'report' as const, depends_on: ['tests', 'one', 'two'] },
  { id: 'aside' },
];

const withRed = () => {
  const game = play(nodes);
  game.finish('tests');
  expect(game.last('candidate.submitted')).toMatchObject({ kind: 'tests_first', allowed_red: [] });
  game.pass('tests', { still_red: ['a', 'b'] });
  game.merge('tests');
  expect(game.head().red).toEqual(['tests']);
  return game;
};

test('tests that were written first may stay red while another dependent has code to write', () => {
  const game = withRed();
  game.finish('one');
  expect(game.last('candidate.submitted', 'one').allowed_red).toEqual(['a', 'b']);
  game.pass('one', { still_red: ['b'] });
  expect(game.part('tests').red).toEqual(['a', 'b']);
  game.merge('one');
  expect(game.part('tests').red).toEqual(['b']);
  game.finish('two');
  expect(game.last('candidate.submitted', 'two').allowed_red).toEqual([]);
  game.pass('two');
  game.merge('two');
  expect(game.head().red).toEqual([]);
  game.finish('review');
  game.bringIn('aside');
  expect(game.head().outcome).toBe('completed');
});

test('who has nothing to do with them may leave them red, as long as somebody is left', () => {
  const game = withRed();
  game.finish('aside');
  expect(game.last('candidate.submitted', 'aside').allowed_red).toEqual(['a', 'b']);
});

test('a candidate that is sent back has turned nothing green', () => {
  const game = withRed();
  game.finish('one');
  game.pass('one', { still_red: ['b'] });
  game.merge('one', { outcome: 'moved', commit: commitOf('elsewhere') });
  game.verdict('one', { verdict: 'conflict', files: ['a.js'] });
  expect(game.part('tests').red).toEqual(['a', 'b']);
});

test('a gate that ran nothing has seen no test turn green', () => {
  const game = withRed();
  game.finish('one');
  const skipped = [check({ state: 'skipped' })];
  game.verdict('one', { verdict: 'unproven', tested_commit: commitOf('t'), checks: skipped });
  game.merge('one', { commit: commitOf('t') });
  expect(game.part('tests').red).toEqual(['a', 'b']);
});

test('a second author of tests keeps only the red tests that are its own', () => {
  const game = play([...nodes, { id: 'more', kind: 'tests_first' }, { id: 'three', depends_on: ['more'] }]);
  for (const [id, red] of [
    ['tests', ['a', 'b']],
    ['more', ['a', 'b', 'c']],
  ] as const) {
    game.finish(id);
    game.pass(id, { still_red: [...red] });
    game.merge(id);
  }
  expect(game.head().red).toEqual(['tests', 'more']);
  expect(game.part('more').red).toEqual(['c']);
  game.finish('three');
  expect(game.last('candidate.submitted', 'three').allowed_red).toEqual(['a', 'b']);
});

test('a board on which tests are left red fails, and names them: TESTS_LEFT_RED', () => {
  const game = play([{ id: 'tests', kind: 'tests_first' }]);
  game.finish('tests');
  game.pass('tests', { still_red: ['a', 'b'] });
  game.merge('tests');
  expect(game.last('board.completed')).toMatchObject({
    outcome: 'failed',
    reason: expect.stringMatching(/^TESTS_LEFT_RED: .*: a \(written by tests\), b \(written by tests\)$/),
  });
});
