import { expect, test } from 'vitest';
import { commitOf } from '../../test/tools/board.ts';
import { play } from '../../test/tools/play.ts';
import { shareOf } from './dispatch.ts';

const wide = (count: number) => Array.from({ length: count }, (_, at) => ({ id: `n${at}` }));

test('in parallel a task works with as many agents as the setting allows, and the next follows who ends', () => {
  const game = play(wide(5), { rules: { taskAgentsMax: 3 } });
  expect(game.said('subtask.dispatched')).toEqual(['n0-1', 'n1-1', 'n2-1']);
  expect(game.head()).toMatchObject({ ready: ['n3', 'n4'], dispatched: ['n0', 'n1', 'n2'] });
  game.finish('n1');
  expect(game.head()).toMatchObject({ ready: ['n4'], dispatched: ['n0', 'n2', 'n3'] });
  expect(game.ledger.load.get('task')).toBe(3);
});

test('in sequence one begins from what the one before has brought in, not while it is at the gate', () => {
  const game = play(wide(2), { mode: 'sequential' });
  expect(game.said('subtask.dispatched')).toEqual(['n0-1']);
  game.finish('n0');
  game.pass('n0');
  expect(game.said('subtask.dispatched')).toEqual(['n0-1']);
  game.merge('n0');
  expect(game.said('subtask.dispatched')).toEqual(['n0-1', 'n1-1']);
  expect(game.last('subtask.dispatched').integration).toBe(commitOf('tested n0'));
});

test('while others work, a task holds its share of the fleet and no more', () => {
  const game = play(wide(8), { capacity: 6, others: { other: 3 } });
  expect(game.head().dispatched).toHaveLength(3);
  game.ledger.load.delete('other');
  game.begin('n0');
  expect(game.head().dispatched).toHaveLength(8);
});

test('the head of a wide board lists only the next that are ready, and none is forgotten', () => {
  const game = play(wide(10), { rules: { taskAgentsMax: 2, readyListedMax: 3 } });
  expect(game.head()).toMatchObject({ dispatched: ['n0', 'n1'], ready: ['n2'], counts: { ready: 10 } });
  for (let n = 0; n < 10; n++) {
    expect(game.head().ready.length).toBeLessThanOrEqual(3);
    game.finish(game.head().dispatched[0] ?? '');
  }
  expect(game.said('subtask.dispatched')).toEqual(wide(10).map(({ id }) => `${id}-1`));
});

test('a task that waits gets one slot even where the fleet is full', () => {
  const game = play(wide(3), { capacity: 1, others: { one: 4, two: 4 } });
  expect(game.head().dispatched).toEqual(['n0']);
});

test('a share is the equal part, rounded up, of all that can be carried', () => {
  const load = new Map([
    ['a', 1],
    ['b', 5],
  ]);
  expect(shareOf({ capacity: 7, load }, 'a')).toBe(4);
  expect(shareOf({ capacity: 7, load }, 'c')).toBe(3);
  expect(shareOf({ capacity: 0, load }, 'a')).toBe(1);
  expect(shareOf({ capacity: 7, load: new Map([['a', 1]]) }, 'a')).toBe(Number.POSITIVE_INFINITY);
});

test('a dispatch carries the contract, where to start, and what its dependencies have reported', () => {
  const game = play([
    { id: 'look', kind: 'report', title: 'Look around' },
    { id: 'build', depends_on: ['look'], acceptance: ['It runs.'], files: ['a.js'], runtime: 'command' },
  ]);
  const evidence = { ref: 'refs/nexus/task/evidence/look-1', path: 'report.json' };
  const feedback = { clarity_rating: null, complexity_rating: null, additional_questions: [] };
  const lists = { deliverables: [], recommendations: [], next_steps: [], files: [] };
  const report = { summary: 'x'.repeat(5000), confidence_score: 0.9, agent_feedback: feedback, ...lists };
  game.finish('look', { report, evidence });
  const followUp = game.published.at(-1);
  expect(followUp).toMatchObject({ type: 'subtask.dispatched', key: 'build-1', priority: 'HIGH' });
  expect(followUp?.payload).toMatchObject({
    title: 'Title of build',
    goal: 'Do build',
    acceptance: ['It runs.'],
    files: ['a.js'],
    kind: 'code',
    role: 'builder',
    grows: false,
    time_box_minutes: 30,
    subtask_id: 'build',
    attempt: 1,
    agent_id: 'builder',
    runtime: 'command',
    integration: game.head().integration,
    inputs: [{ subtask_id: 'look', title: 'Look around', summary: 'x'.repeat(2000), evidence }],
    hand_over: null,
  });
});

test('however many dependencies have reported, a dispatch fits its envelope', () => {
  const lookers = Array.from({ length: 60 }, (_, at) => ({ id: `look-${at}`, kind: 'report' as const }));
  const game = play([...lookers, { id: 'build', depends_on: lookers.map(({ id }) => id) }], {
    rules: { taskAgentsMax: 100 },
  });
  const feedback = { clarity_rating: null, complexity_rating: null, additional_questions: [] };
  const lists = { deliverables: [], recommendations: [], next_steps: [], files: [] };
  const report = { summary: 'x'.repeat(8000), confidence_score: null, agent_feedback: feedback, ...lists };
  for (const { id } of lookers) game.finish(id, { report });
  const payload = game.last('subtask.dispatched', 'build');
  expect(payload.inputs).toHaveLength(60);
  expect(JSON.stringify(payload).length).toBeLessThan(32_000);
});
