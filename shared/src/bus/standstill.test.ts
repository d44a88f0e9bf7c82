import { expect, test } from 'vitest';
import { watchStandstill } from './standstill.ts';

test('a pause is told once, with its length, and explains what is met soon after it and nothing later', () => {
  let clock = 0;
  const lines: string[] = [];
  const log = { warn: (_about: unknown, text: string) => void lines.push(text) };
  const still = watchStandstill({ log: log as never, longMs: 3000, now: () => clock });
  const after = (ms: number): boolean => {
    clock += ms;
    return still.lately();
  };
  expect([after(500), after(2900)]).toEqual([false, false]);
  expect(lines).toEqual([]);
  expect([after(12_000), after(100), after(2500), after(500)]).toEqual([true, true, true, false]);
  expect(lines).toEqual(['This process stood still for 12 s. What it held may have been taken over meanwhile']);
  still.close();
});
