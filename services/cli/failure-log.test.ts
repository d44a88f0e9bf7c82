import { expect, test } from 'vitest';
import { tellingLines } from './failure-log.ts';

const lines = (count: number, at?: number) =>
  Array.from({ length: count }, (_, index) => (index === at ? 'not ok 1 - adds' : `line ${index}`));

test('the end of a log is shown, and what went wrong even where it stands further up', () => {
  expect(tellingLines(lines(5))).toHaveLength(5);
  expect(tellingLines(lines(100))).toEqual(lines(100).slice(-20));
  expect(tellingLines(lines(100, 95))).toEqual(lines(100, 95).slice(-20));
  expect(tellingLines(lines(100, 70))).toEqual(lines(100, 70).slice(70));
  const both = tellingLines(lines(100, 10));
  expect([both[0], both[20], both.at(-1)]).toEqual(['not ok 1 - adds', '…', 'line 99']);
});
