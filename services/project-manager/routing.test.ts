import { openCatalog, readAgent, writeAgent } from '@nexus/shared/catalog';
import { historyField } from '@nexus/shared/ledger';
import { planFile } from '@nexus/shared/messages/domain';
import { expect, test } from 'vitest';
import { node } from '../../test/tools/board.ts';
import { type PlayOptions, play } from '../../test/tools/play.ts';
import { type Candidate, chooseAgent, seeded } from './routing.ts';

const candidate = (id: string, more: Partial<Candidate> = {}): Candidate => ({
  id,
  ok: 0,
  failed: 0,
  running: 0,
  ...more,
});
const draws = (candidates: Candidate[], times = 1000): Map<string, number> => {
  const random = seeded('a thousand draws');
  const counts = new Map(candidates.map(({ id }) => [id, 0]));
  for (let at = 0; at < times; at++) {
    const id = chooseAgent(candidates, random);
    counts.set(id, (counts.get(id) ?? 0) + 1);
  }
  return counts;
};

test('nine of ten is chosen before five of ten in at least 800 of 1,000 draws, and not in all', () => {
  const counts = draws([candidate('good', { ok: 9, failed: 1 }), candidate('poor', { ok: 5, failed: 5 })]);
  expect(counts.get('good')).toBeGreaterThanOrEqual(800);
  expect(counts.get('poor')).toBeGreaterThan(0);
});

test('a newcomer is tried beside one that has done well', () => {
  const counts = draws([candidate('good', { ok: 9, failed: 1 }), candidate('new')]);
  expect(counts.get('new')).toBeGreaterThanOrEqual(50);
  expect(counts.get('good')).toBeGreaterThan(counts.get('new') ?? 0);
});

test('a newcomer is tried also beside one that has done well a thousand times', () => {
  const counts = draws([candidate('good', { ok: 950, failed: 50 }), candidate('new')]);
  expect(counts.get('new')).toBeGreaterThanOrEqual(10);
});

test('of two that are as good, whoever carries less gets more', () => {
  const as = { ok: 8, failed: 2 };
  const counts = draws([candidate('busy', { ...as, running: 6 }), candidate('free', as)]);
  expect(counts.get('free')).toBeGreaterThanOrEqual(900);
});

test('the same text draws the same numbers, another one others', () => {
  const five = (text: string) => Array.from({ length: 5 }, seeded(text));
  expect(five('a')).toEqual(five('a'));
  expect(five('a')).not.toEqual(five('b'));
  for (const number of five('c')) expect(number >= 0 && number < 1).toBe(true);
});

const two: PlayOptions['routing'] = {
  candidatesFor: (role) => (role === 'builder' ? ['builder', 'mason'] : [role]),
};
const wide = (count: number) => Array.from({ length: count }, (_, at) => ({ id: `n${at}` }));
const agentsOf = (options: PlayOptions, count = 8): string[] => {
  const game = play(wide(count), options);
  return wide(count).map(({ id }) => game.last('subtask.dispatched', id).agent_id);
};

test('work of one kind at one moment is spread over all who have the role', () => {
  const given = agentsOf({ routing: two });
  expect(new Set(given)).toEqual(new Set(['builder', 'mason']));
  expect(agentsOf({ routing: two })).toEqual(given);
});

test('what an agent runs elsewhere in the fleet counts as its load', () => {
  const given = agentsOf({ routing: two, running: new Map([['builder', 40]]) });
  expect(given.filter((id) => id === 'mason').length).toBeGreaterThan(6);
});

test('an attempt that ends well or badly is booked for agent, role and kind, once it has ended', () => {
  const game = play([{ id: 'look', kind: 'report' }, { id: 'build' }]);
  game.finish('look');
  game.finish('build', { outcome: 'failed', code: 'AGENT_FAILED' });
  const of = (who: 'agent' | 'role', kind: 'report' | 'code', outcome: 'ok' | 'failed') =>
    game.ledger.history.get(historyField(who, 'builder', kind, outcome)) ?? 0;
  expect([of('agent', 'report', 'ok'), of('role', 'report', 'ok')]).toEqual([1, 1]);
  expect([of('agent', 'code', 'failed'), of('role', 'code', 'failed'), of('agent', 'code', 'ok')]).toEqual([1, 1, 0]);
});

test('a commit counts as done well only when it is merged, and as failed when the gate sends it back', () => {
  const game = play([{ id: 'build' }]);
  const of = (outcome: 'ok' | 'failed') =>
    game.ledger.history.get(historyField('agent', 'builder', 'code', outcome)) ?? 0;
  game.finish('build');
  expect(of('ok')).toBe(0);
  game.verdict('build', { verdict: 'failed' });
  expect([of('ok'), of('failed')]).toEqual([0, 1]);
  game.finish('build');
  game.pass('build');
  game.merge('build');
  expect([of('ok'), of('failed')]).toEqual([1, 1]);
});

test('what nobody could have mended is booked against nobody', () => {
  const game = play([{ id: 'build' }]);
  game.finish('build', { outcome: 'failed', code: 'NO_RUNTIME' });
  expect(game.ledger.history.size).toBe(0);
});

test('an attempt carries its definition, and one whose agent is gone goes to whoever has the role', async () => {
  const { agents } = await openCatalog();
  const gone = new Set<string>();
  const definitionOf = (id: string) => {
    const agent = agents.get(id === 'mason' ? 'builder' : id);
    return agent && !gone.has(id) ? { file: agent.file, source: writeAgent(agent) } : null;
  };
  const candidatesFor = (role: string) => (role === 'builder' ? ['mason'] : [role]);
  const game = play([{ id: 'build' }], { routing: { candidatesFor, definitionOf } });
  const first = game.last('subtask.dispatched', 'build');
  expect(first.agent_id).toBe('mason');
  expect(readAgent('x', first.agent?.source ?? '')?.persona).toBe(agents.get('builder')?.persona);
  gone.add('mason');
  game.finish('build');
  game.verdict('build', { verdict: 'failed' });
  expect(game.last('subtask.dispatched', 'build')).toMatchObject({ agent_id: 'builder', attempt: 2, failures: 1 });
});

const guest = { name: 'Clockmaker', description: 'Mends clocks.', prompt: 'You mend clocks.', tools: ['Read', 'Edit'] };
const planned = (role: string, agents: object[]) => {
  const { grows: _, stands_for_plan: __, ...one } = node({ id: 'mend', role: 'builder' });
  return { file: planFile.parse({ subtasks: [{ ...one, role }], agents }) };
};
const grown = (role: string, agents: object[]) => {
  const game = play([
    { id: 'plan', role: 'planner', kind: 'report', grows: true },
    { id: 'build', stands_for_plan: true, depends_on: ['plan'] },
  ]);
  game.finish('plan', { plan: planned(role, agents) });
  return game;
};

test('an agent that a plan brings along works at its subtasks, is carried by them, and goes with them', () => {
  const game = grown('clockmaker', [guest]);
  const sent = game.last('subtask.dispatched', 'mend');
  expect(sent).toMatchObject({ agent_id: 'clockmaker', agent: { file: 'board:clockmaker' } });
  expect(readAgent('x', sent.agent?.source ?? '')).toMatchObject({
    persona: 'You mend clocks.',
    tools: ['Read', 'Edit'],
  });
  game.bringIn('mend');
  expect([...game.ledger.history.keys()].filter((name) => name.includes('clockmaker'))).toEqual([]);
  game.tell({ type: 'board.discarded', payload: { task_id: 'task' } });
  expect(game.ledger.boards.size).toBe(0);
});

test('a guest that fails again and again is kept by every rung of the ladder, up to a person', () => {
  const game = grown('clockmaker', [guest]);
  for (let attempt = 1; attempt <= 4; attempt++) game.fail('mend');
  expect(game.part('mend')).toMatchObject({ state: 'parked', resume_at: null, escalations: 1 });
  game.answer('mend', 'person');
  game.answer('mend', 'retry');
  expect(game.last('subtask.dispatched', 'mend')).toMatchObject({ agent_id: 'clockmaker', attempt: 5, failures: 4 });
  expect(game.last('subtask.dispatched', 'mend').agent?.source).toContain('You mend clocks.');
});

test.each([
  [{ ...guest, agent_id: 'builder' }, /there is an agent "builder" already/],
  [{ ...guest, tools: ['Hammer'] }, /there is no tool "Hammer"/],
  [{ ...guest, name: '小明' }, /no agent_id can be made/],
])('a plan with a guest that does not hold goes back to its planner (%#)', (wrong, says) => {
  const game = grown('clockmaker', [wrong]);
  expect(game.part('plan')).toMatchObject({ state: 'ready', plan_rejections: 1 });
  expect(game.last('subtask.dispatched', 'plan').hand_over?.says).toMatch(says);
});
