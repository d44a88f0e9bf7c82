import type { PlanShown } from '@nexus/shared/client';
import { expect, test } from 'vitest';
import { planLines } from './plan.ts';

const step = (id: string, time_box_minutes: number) => ({ id, title: id, role: id, depends_on: [], time_box_minutes });
const shown = {
  ...{ approach: 'Do it', workflow: 'feature', mode: 'parallel', risks: [], warnings: [] },
  ...{ probability: null, price_usd: null, judgement: null, outlook: null },
  subtasks: [step('build', 30), step('test', 45)],
} as unknown as PlanShown;

test('a plan from a template says that nobody judged its complexity, and what limits it has', () => {
  const lines = planLines(shown, { paint: (_colour, text) => text, stdout: process.stdout });
  expect(lines).toContainEqual(expect.stringMatching(/^ {2}complexity +not judged: no model planned it$/));
  expect(lines).toContainEqual(expect.stringMatching(/^ {2}limits +at most 45 min an attempt, by the box of its step/));
});

test('a price by history names the roles of which there is no figure', () => {
  const priced = { ...shown, price_usd: 1, price_by: 'history' as const, price_without: ['test'] };
  const lines = planLines(priced, { paint: (_colour, text) => text, stdout: process.stdout });
  const says = '1.00 USD, by what attempts of these roles have cost; no figure yet for test: taken for the average';
  expect(lines).toContainEqual(expect.stringContaining(says));
});
