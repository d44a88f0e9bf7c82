import { expect, test } from 'vitest';
import { figure, figureLines, mean, median, meetsBar, quantile, ratios, shown } from './figures.ts';

test('the median is the middle of an odd and the mean of the two middles of an even number of values', () => {
  expect(median([9, 1, 5])).toBe(5);
  expect(median([4, 1, 3, 2])).toBe(2.5);
  expect(median([])).toBeNaN();
});

test('a quantile is one of the values, whatever order they came in', () => {
  const values = Array.from({ length: 100 }, (_, at) => 100 - at);
  expect(quantile(values, 0.5)).toBe(50);
  expect(quantile(values, 0.99)).toBe(99);
  expect(quantile(values, 1)).toBe(100);
  expect(quantile([7], 0.99)).toBe(7);
  expect(quantile([], 0.5)).toBeNaN();
});

test('the mean of nothing is not a number', () => {
  expect(mean([1, 2, 6])).toBe(3);
  expect(mean([])).toBeNaN();
});

test('each round is compared with its own neighbour', () => {
  expect(ratios([10, 30], [20, 30])).toEqual([0.5, 1]);
  expect(ratios([10, 30], [20])).toEqual([0.5]);
});

test('a bar is met from its value on, and never by what was not measured', () => {
  expect(meetsBar(figure('x', 'ratio', [0.45], { atLeast: 0.45 }))).toBe(true);
  expect(meetsBar(figure('x', 'ratio', [0.44], { atLeast: 0.45 }))).toBe(false);
  expect(meetsBar(figure('x', 'ms', [2], { atMost: 2 }))).toBe(true);
  expect(meetsBar(figure('x', 'ms', [2.1], { atMost: 2 }))).toBe(false);
  expect(meetsBar(figure('x', 'ms', [], { atMost: 2 }))).toBe(false);
});

test('the table says value, bar, spread and aim, and marks what is short', () => {
  const lines = figureLines([
    figure('hop: to raw', 'ratio', [0.4, 0.5, 0.6], { atLeast: 0.45 }, { aim: 0.55 }),
    figure('idle', 'MB', [95], { atMost: 90 }),
  ]);
  expect(lines[0]).toMatch(/^ok +hop: to raw +0\.50 +bar ≥ 0\.45 +0\.40 … 0\.60 +aim 0\.55$/);
  expect(lines[1]).toMatch(/^SHORT +idle +95\.0 MB +bar ≤ 90\.0 MB$/);
});

test('values are shown with the digits that mean something', () => {
  expect(shown(12_345.6, '/s')).toBe('12,346/s');
  expect(shown(0.1234, 'ms')).toBe('0.12 ms');
  expect(shown(123.4, 'us')).toBe('123 µs');
  expect(shown(Number.NaN, 's')).toBe('not measured');
});
