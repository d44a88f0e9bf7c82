import { expect, test } from 'vitest';
import { commitOf, type NodeGiven, node } from '../../test/tools/board.ts';
import { type PlayOptions, play } from '../../test/tools/play.ts';

const wip = commitOf('wip');
const planner = node({ id: 'replan-build', role: 'planner', kind: 'report', grows: true });
const nodes: NodeGiven[] = [
  { id: 'look', kind: 'report' },
  { id: 'build', depends_on: ['look'] },
  { id: 'review', kind: 'report', depends_on: ['build'] },
  { id: 'aside' },
];

/** A board whose subtask `build` has failed in all that could be tried. */
const escalated = (options: PlayOptions = {}) => {
  const game = play(nodes, { ...options, rules: { retries: 1, otherAgentsMax: 0, ...options.rules } });
  game.finish('look');
  for (let times = 0; times < 2; times++) game.fail('build', { wip });
  expect(game.state('build')).toBe('parked');
  return game;
};
const ids = (game: ReturnType<typeof play>) =>
  [...(game.ledger.boards.get('task')?.subtasks.values() ?? [])]
    .toSorted((one, other) => one.order - other.order)
    .map(({ id }) => id);

test('a new plan is made by a planner before the subtask, and what it plans is done in its place', () => {
  const game = escalated();
  game.answer('build', 'plan', { subtasks: [planner] });
  expect(game.part('build')).toMatchObject({
    ...{ state: 'blocked', stands_for_plan: true, waiting_for: ['replan-build'], ladder: { plans: 1 } },
    depends_on: ['look', 'replan-build'],
  });
  expect(ids(game)).toEqual(['look', 'replan-build', 'build', 'review', 'aside']);
  expect(game.last('subtask.dispatched')).toMatchObject({ subtask_id: 'replan-build', hand_over: { commit: wip } });
  expect(game.head().warnings).toEqual([expect.stringMatching(/"build" failed in 2 attempts.*"replan-build"/)]);
  const plan = { file: { subtasks: [node({ id: 'half' }), node({ id: 'rest', depends_on: ['half'] })] } };
  game.finish('replan-build', { plan });
  expect(ids(game)).toEqual(['look', 'replan-build', 'half', 'rest', 'review', 'aside']);
  expect(game.part('half')).toMatchObject({ depends_on: ['look', 'replan-build'], hand_over: { commit: wip } });
  expect(game.part('rest').hand_over).toBeNull();
  for (const id of ['half', 'rest', 'aside']) game.bringIn(id);
  game.finish('review');
  expect(game.head().outcome).toBe('completed');
});

test('what a new plan made may not be planned anew again, and its name is not used twice', () => {
  const game = escalated();
  game.answer('build', 'plan', { subtasks: [planner] });
  game.finish('replan-build', { plan: { file: { subtasks: [node({ id: 'build' })] } } });
  expect(game.last('subtask.dispatched').hand_over?.says).toContain('"build" was worked on before; take another id');
  game.finish('replan-build', { plan: { file: { subtasks: [node({ id: 'again' })] } } });
  expect(game.head().retired).toEqual(['build']);
  for (let times = 0; times < 2; times++) game.fail('again');
  expect(game.last('escalation.raised')).toMatchObject({ subtask_id: 'again', number: 1, plans: 1 });
});

test('where the planner plans nothing, the subtask is tried once more as a whole, and then a person is asked', () => {
  const game = escalated();
  game.answer('build', 'plan', { subtasks: [planner] });
  game.finish('replan-build', { plan: null });
  expect(game.last('subtask.dispatched')).toMatchObject({
    subtask_id: 'build',
    attempt: 3,
    hand_over: { commit: wip },
  });
  game.fail('build');
  expect(game.last('escalation.raised')).toMatchObject({ subtask_id: 'build', number: 2, attempts: 3, plans: 1 });
  expect(game.part('build').history.at(-1)).toMatchObject({ step: 'new_plan' });
});

test('a planner that fails is not planned anew: a person is asked', () => {
  const game = escalated();
  game.answer('build', 'plan', { subtasks: [planner] });
  for (let times = 0; times < 2; times++) game.fail('replan-build');
  expect(game.last('escalation.raised')).toMatchObject({ subtask_id: 'replan-build', may_plan: false });
});

test('a planner gets a name that nobody on the board has', () => {
  const game = escalated();
  game.answer('build', 'plan', { subtasks: [{ ...planner, id: 'look' }] });
  expect(game.part('look-2')).toMatchObject({ grows: true, state: 'ready' });
});

test('an answer that nobody can work by is a fault of the plan: PLAN_INVALID', () => {
  const game = escalated();
  const wizard = { ...planner, role: 'wizard' };
  expect(() => game.answer('build', 'plan', { subtasks: [wizard] })).toThrow(
    expect.objectContaining({ code: 'PLAN_INVALID' }),
  );
});

test('while one waits for a person the others go on, and what depends on it stays blocked', () => {
  const game = escalated();
  game.answer('build', 'person', { says: 'AGENT_FAILED: It failed.' });
  expect(game.part('build')).toMatchObject({ state: 'waiting_for_person', reason: 'AGENT_FAILED: It failed.' });
  game.bringIn('aside');
  expect(game.state('review')).toBe('blocked');
  expect(game.head()).toMatchObject({ outcome: null, dispatched: [], counts: { waiting_for_person: 1 } });
});

test('a person’s answer begins at the first rung again, with the agent of the plan and the note for it', () => {
  const game = play(nodes, { rules: { retries: 1 } });
  game.finish('look');
  for (let times = 0; times < 3; times++) game.fail('build', { wip });
  expect(game.part('build')).toMatchObject({ agent_id: 'tester', ladder: { retries: 1, agents: 1 } });
  game.answer('build', 'person');
  game.answer('build', 'retry', { says: 'The token is back.' });
  expect(game.part('build')).toMatchObject({
    ...{ state: 'ready', agent_id: 'builder', step: 'person', reason: null, sent_back: 0, attempt: 4 },
    ...{ ladder: { retries: 0, agents: 0, plans: 0 }, tried: { agents: [], runtimes: [] } },
  });
  expect(game.last('subtask.dispatched').hand_over).toMatchObject({
    says: expect.stringMatching(/^A person says: The token is back\.\nBefore that: It failed\./),
    commit: wip,
  });
  game.fail('build');
  expect(game.part('build')).toMatchObject({ ladder: { retries: 1, agents: 0, plans: 0 } });
});

test('an answer counts for the escalation that it names, and once', () => {
  const game = escalated();
  const stale = game.of('build');
  expect(game.answer('build', 'retry', { number: 2 })).toEqual([]);
  game.answer('build', 'retry');
  expect(game.answer('build', 'person')).toEqual([]);
  expect(game.answer('build', 'retry')).toEqual([]);
  expect(game.part('build')).toMatchObject({ state: 'ready', attempt: stale.attempt + 1 });
  for (let times = 0; times < 2; times++) game.fail('build');
  expect(game.answer('build', 'person', { number: 1 })).toEqual([]);
  expect(game.part('build')).toMatchObject({ state: 'parked', escalations: 2 });
});
