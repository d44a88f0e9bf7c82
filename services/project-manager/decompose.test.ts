import type { PlanFile } from '@nexus/shared/messages/domain';
import { planFile } from '@nexus/shared/messages/domain';
import { expect, test } from 'vitest';
import { type NodeGiven, node } from '../../test/tools/board.ts';
import { type Play, type PlayOptions, play } from '../../test/tools/play.ts';

const workflow: NodeGiven[] = [
  { id: 'analyse', role: 'analyst', kind: 'report' },
  { id: 'plan', role: 'planner', kind: 'report', grows: true, depends_on: ['analyse'] },
  { id: 'build', stands_for_plan: true, depends_on: ['plan', 'analyse'] },
  { id: 'test', role: 'tester', depends_on: ['build'] },
  { id: 'review', role: 'reviewer', kind: 'report', depends_on: ['build', 'test'] },
];

const fileOf = (...nodes: NodeGiven[]): { file: PlanFile } => ({
  file: planFile.parse({
    subtasks: nodes.map((given) => {
      const { grows: _, stands_for_plan: __, ...planned } = node(given);
      return planned;
    }),
  }),
});

const atPlanner = (options: PlayOptions = {}): Play => {
  const game = play(workflow, options);
  game.finish('analyse');
  return game;
};
const refusalOf = (...nodes: NodeGiven[]): string => {
  const game = atPlanner();
  game.finish('plan', { plan: fileOf(...nodes) });
  expect(game.part('plan')).toMatchObject({ state: 'ready', attempt: 2, plan_rejections: 1, failures: 0 });
  return game.last('subtask.dispatched', 'plan').hand_over?.says ?? '';
};

test('a plan takes the place of the node that stands for it, and runs in parallel', () => {
  const game = atPlanner();
  game.finish('plan', {
    plan: fileOf({ id: 'store' }, { id: 'page' }, { id: 'api', depends_on: ['store'] }),
  });
  expect(game.head().total).toBe(7);
  expect(game.ledger.boards.get('task')?.subtasks.has('build')).toBe(false);
  expect(game.part('store')).toMatchObject({ depends_on: ['plan', 'analyse'], dependents: ['api'], state: 'ready' });
  expect(game.part('page')).toMatchObject({ depends_on: ['plan', 'analyse'], dependents: ['test', 'review'] });
  expect(game.part('api')).toMatchObject({ depends_on: ['store'], dependents: ['test', 'review'], state: 'blocked' });
  expect(game.part('test').depends_on).toEqual(['page', 'api']);
  expect(game.part('review').depends_on).toEqual(['test', 'page', 'api']);
  expect(game.part('plan')).toMatchObject({ state: 'reported', dependents: ['store', 'page'], grows: false });
  expect(game.said('subtask.dispatched')).toEqual(['analyse-1', 'plan-1', 'store-1', 'page-1']);
  const inOrder = [...(game.ledger.boards.get('task')?.subtasks.values() ?? [])].sort((a, b) => a.order - b.order);
  expect(inOrder.map(({ id }) => id)).toEqual(['analyse', 'plan', 'store', 'page', 'api', 'test', 'review']);

  for (const id of ['store', 'page', 'api', 'test']) game.bringIn(id);
  game.finish('review');
  expect(game.head().outcome).toBe('completed');
});

test('a plan may name its subtask like the node that it replaces', () => {
  const game = atPlanner();
  game.finish('plan', { plan: fileOf({ id: 'build', title: 'As planned' }, { id: 'docs', depends_on: ['build'] }) });
  expect(game.part('build')).toMatchObject({ title: 'As planned', stands_for_plan: false, state: 'ready' });
  expect(game.part('test').depends_on).toEqual(['docs']);
});

test('a planned subtask may depend on what is on the board already', () => {
  const game = atPlanner();
  game.finish('plan', { plan: fileOf({ id: 'store', depends_on: ['analyse'] }) });
  expect(game.part('store')).toMatchObject({ depends_on: ['analyse', 'plan'], waiting_for: [], state: 'ready' });
});

test('without a node that stands for the plan, it comes between the planner and what depends on it', () => {
  const game = play([
    { id: 'plan', role: 'planner', kind: 'report', grows: true },
    { id: 'review', kind: 'report', depends_on: ['plan'] },
  ]);
  game.finish('plan', { plan: fileOf({ id: 'store' }) });
  expect(game.part('store')).toMatchObject({ depends_on: ['plan'], state: 'ready' });
  expect(game.part('review')).toMatchObject({ depends_on: ['plan', 'store'], waiting_for: ['store'] });
});

test('without a plan, the node that stands for it is done itself', () => {
  const game = atPlanner();
  game.finish('plan');
  expect(game.said('subtask.dispatched')).toEqual(['analyse-1', 'plan-1', 'build-1']);
});

test.each([
  [
    'a circle',
    [
      { id: 'a', depends_on: ['b'] },
      { id: 'b', depends_on: ['a'] },
    ],
    'a → b → a',
  ],
  ['an unknown id', [{ id: 'a', depends_on: ['nobody'] }], '"nobody", which does not exist'],
  ['the replaced node as a dependency', [{ id: 'a', depends_on: ['build'] }], '"build", which does not exist'],
  ['an unknown role', [{ id: 'a', role: 'wizard' }], 'No agent has the role or id "wizard"'],
  ['a time box over an hour', [{ id: 'a', time_box_minutes: 90 }], 'needs time_box_level: "warning"'],
  ['an id twice', [{ id: 'a' }, { id: 'a' }], '"a" occurs twice'],
  ['an id of the board', [{ id: 'test' }], '"test" is taken by a subtask'],
  ['a dependency twice', [{ id: 'b' }, { id: 'a', depends_on: ['b', 'b'] }], 'names a dependency twice'],
  ['a circle over the board', [{ id: 'a', depends_on: ['review'] }], 'on the whole board'],
  ['more text than a message holds', [{ id: 'a', files: Array(60).fill('x'.repeat(500)) }], 'more than 24000 bytes'],
])('a plan with %s goes back to its planner with what is wrong', (_, nodes: NodeGiven[], says) => {
  expect(refusalOf(...nodes)).toContain(says);
});

test('a time box over an hour that says so is taken, and every subtask says its level', () => {
  const game = atPlanner();
  game.finish('plan', { plan: fileOf({ id: 'a', time_box_minutes: 90, time_box_level: 'warning' }, { id: 'b' }) });
  expect([game.part('a').time_box_level, game.part('b').time_box_level]).toEqual(['warning', 'safe']);
});

test('a plan that grows the board beyond the limit goes back', () => {
  const game = atPlanner({ rules: { subtasksMax: 6 } });
  game.finish('plan', { plan: fileOf({ id: 'a' }, { id: 'b' }, { id: 'c' }) });
  expect(game.last('subtask.dispatched').hand_over?.says).toContain('over 6 subtasks');
});

test('a plan with more ends than a subtask can depend on goes back', () => {
  const many = Array.from({ length: 65 }, (_, at) => ({ id: `n${at}` }));
  expect(refusalOf(...many)).toContain('"test" would depend on more than 64 subtasks');
});

test('a plan that cannot be read goes back twice; then the node is done itself, and the task is warned', () => {
  const game = atPlanner();
  for (let times = 1; times <= 3; times++) game.finish('plan', { plan: { problem: `Not JSON (${times}).` } });
  expect(game.part('plan')).toMatchObject({ state: 'reported', plan_rejections: 2, attempt: 3 });
  expect(game.last('subtask.dispatched', 'plan').hand_over).toMatchObject({ why: 'plan_invalid' });
  const reason = 'The plan was refused 3 times, last because: Not JSON (3).';
  expect(game.part('plan').reason).toBe(reason);
  expect(game.part('build')).toMatchObject({ reason: null, state: 'ready', attempt: 1 });
  expect(game.head().warnings).toEqual([
    'The plan of "plan" was refused 3 times, so "build" is done as a whole. The last one: Not JSON (3).',
  ]);
});

test('of a plan that cannot be read all that can be told is told at once: cycles, unknown ids and roles, too', () => {
  const game = atPlanner();
  const sketch = [
    { id: 'store', role: 'builder', depends_on: ['page'] },
    { id: 'page', role: 'wizard', depends_on: ['store', 'nowhere'] },
  ];
  game.finish('plan', { plan: { problem: 'subtasks.0: Unrecognized key "goals"', sketch } });
  const { says } = game.last('subtask.dispatched', 'plan').hand_over ?? {};
  expect(says).toContain('Unrecognized key "goals"');
  expect(says).toMatch(/the dependencies form a cycle: .*store.*page/);
  expect(says).toContain('"page" depends on "nowhere", which does not exist');
  expect(says).toContain('"page": ');
  expect(says).toContain('wizard');
  expect(says).not.toContain('"store": ');
});

test('a planner that is sent back and fails to plan again warns once, with its last plan', () => {
  const game = play([{ id: 'plan', role: 'planner', grows: true }]);
  const circle = (id: string) => ({ plan: fileOf({ id, depends_on: [id] }) });
  for (const id of ['one', 'two', 'three']) game.finish('plan', circle(id));
  game.verdict('plan', { verdict: 'failed', says: 'Red.' });
  game.finish('plan', { plan: { problem: `Not JSON${'.'.repeat(600)}` } });
  const [warning = '', ...others] = game.head().warnings ?? [];
  expect(warning).toMatch(/^The plan of "plan" was refused 3 times, so nothing is added\. The last one: Not JSON/);
  expect(warning).toHaveLength(500);
  expect(others).toEqual([]);
});

test('a planner that ends in a commit grows the board once, even if its commit is sent back', () => {
  const game = play([
    { id: 'plan', role: 'planner', grows: true },
    { id: 'build', stands_for_plan: true, depends_on: ['plan'] },
  ]);
  game.finish('plan', { plan: fileOf({ id: 'store' }) });
  expect(game.part('store')).toMatchObject({ state: 'blocked', waiting_for: ['plan'] });
  game.verdict('plan', { verdict: 'failed', says: 'Red.' });
  expect(game.last('subtask.dispatched', 'plan').grows).toBe(false);
  game.finish('plan', { plan: fileOf({ id: 'page' }) });
  game.pass('plan');
  game.merge('plan');
  expect(game.head().total).toBe(2);
  expect(game.state('store')).toBe('ready');
});
