import { expect, test } from 'vitest';
import { openCatalog } from './catalog.ts';

const catalog = await openCatalog();
const othersOf = (id: string) => catalog.othersFor(id).map(({ agent_id }) => agent_id);

test.each([
  ['builder', 'code_developer'],
  ['backend', 'code_developer'],
  ['planner', 'aria_coordinator'],
  ['tester', 'alpha_test_creator'],
  ['reviewer', 'beta_test_validator'],
])('the nearest to %s is %s, by what both are good at', (agent, nearest) => {
  expect(othersOf(agent)[0]).toBe(nearest);
});

test('nobody who may not edit takes over from somebody who may, nor the other way round', () => {
  for (const agent of ['builder', 'reviewer']) {
    for (const other of catalog.othersFor(agent)) {
      expect([agent, other.agent_id, other.tools.includes('Edit')]).toEqual([
        agent,
        other.agent_id,
        agent === 'builder',
      ]);
    }
  }
});

test('the orchestrator takes over from nobody, and nobody is found for an agent that is not known', () => {
  for (const agent of catalog.agents.keys()) expect(othersOf(agent)).not.toContain('nexus_prime');
  expect(othersOf('wizard')).toEqual([]);
});
