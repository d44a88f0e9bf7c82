import { type Plan, plan } from '@nexus/shared/messages/domain';
import type { CostRow } from '@nexus/shared/spend';
import { expect, test } from 'vitest';
import { withPrice } from './price.ts';

const row = (name: string, usd: number, attempts: number, over: Partial<CostRow> = {}): CostRow => ({
  ...{ name, usd, attempts, notional_usd: 0, unpriced_calls: 0, calls: attempts, tokens: 0 },
  ...over,
});
const step = (id: string, role: string) => ({ id, title: id, role, goal: 'Do it.' });
const made: Plan = plan.parse({
  approach: '',
  workflow: 'simple',
  mode: 'parallel',
  subtasks: [step('build', 'builder'), step('check', 'reviewer')],
  risks: [],
  probability: null,
  price_usd: null,
});
const outlook = {
  ...{ probability: 0.9, assumed: false, grows: false, attempts: 3, raise: [] },
  steps: [{ id: 'build', role: 'builder', probability: 0.9, attempts: 2, n: 9, ok: 8, assumed: false }],
};

test('a plan costs what attempts of its roles have cost, as often as they take', () => {
  const rows = [row('builder', 4, 8), row('reviewer', 1, 10, { notional_usd: 1 })];
  expect(withPrice(made, rows, {})).toMatchObject({ price_usd: 0.7, price_by: 'history' });
  expect(withPrice({ ...made, outlook }, rows, {})).toMatchObject({ price_usd: 1.2 });
});

test('a role without a price is taken for an average one, and where nothing was paid nothing is made up', () => {
  const own = [row('orchestrator', 0, 900), row('memory', 0, 100)];
  expect(withPrice(made, [row('builder', 4, 8), ...own], {})).toMatchObject({
    ...{ price_usd: 1, price_by: 'history', price_without: ['reviewer'] },
  });
  const both = [row('builder', 4, 8), row('reviewer', 1, 1)];
  expect(withPrice(made, both, {})).not.toHaveProperty('price_without');
  const unpriced = row('builder', 0, 3, { unpriced_calls: 3, calls: 3 });
  expect(withPrice(made, [unpriced], {})).toEqual(made);
  expect(withPrice({ ...made, price_usd: 2 }, [], {})).toMatchObject({ price_usd: 2, price_by: 'model' });
});

test('a plan that will probably cost more than its budget says so among its risks', () => {
  const rows = [row('builder', 4, 8)];
  const says = 'It will probably cost about 1 USD, more than its budget of 0.5: then it waits for more.';
  expect(withPrice(made, rows, { budget: { usd: 0.5 } }).risks).toEqual([says]);
  expect(withPrice(made, rows, { budget: { usd: 1 } }).risks).toEqual([]);
  expect(withPrice(made, rows, { budget: { tokens: 5 } }).risks).toEqual([]);
});
