import { expect, test } from 'vitest';
import { type Fault, faultKinds, kills, type PlanOptions, troubles } from './fault-plan.ts';

const first = (count: number, lane: Generator<Fault, void>): Fault[] => {
  const found: Fault[] = [];
  for (const fault of lane) if (found.push(fault) === count) break;
  return found;
};
const options: PlanOptions = { seed: 7, only: faultKinds, fast: true };

test('the same seed makes the same choices, another seed makes others', () => {
  for (const lane of [kills, troubles]) {
    expect(first(50, lane(options))).toEqual(first(50, lane(options)));
    expect(first(50, lane(options))).not.toEqual(first(50, lane({ ...options, seed: 8 })));
  }
});

test('every kind of trouble has had its turn before any of them comes again', () => {
  const kinds = first(10, troubles(options)).map(({ kind }) => kind);
  const all = ['cut', 'disk', 'pause', 'redis', 'stop'];
  expect(kinds.slice(0, 5).sort()).toEqual(all);
  expect(kinds.slice(5).sort()).toEqual(all);
});

test('only what was asked for happens', () => {
  const only = ['redis'] as const;
  expect(first(5, kills({ ...options, only }))).toEqual([]);
  expect(new Set(first(9, troubles({ ...options, only })).map(({ kind }) => kind))).toEqual(new Set(only));
});

test('a random service is killed every one to five seconds', () => {
  for (const { afterMs } of first(200, kills(options))) {
    expect(afterMs).toBeGreaterThanOrEqual(1000);
    expect(afterMs).toBeLessThanOrEqual(5000);
  }
});
