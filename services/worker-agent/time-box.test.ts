import { expect, test } from 'vitest';
import { openTimeBox } from './time-box.ts';

const ticks = (box: ReturnType<typeof openTimeBox>, from: number, to: number, step = 1000) => {
  const told: [number, number][] = [];
  for (let at = from + step; at <= to; at += step) for (const percent of box.tick(at)) told.push([at, percent]);
  return told;
};

test('tells at 50, 80 and 100 percent, once each', () => {
  const box = openTimeBox({ boxMs: 60_000, spentMs: 0, tickMs: 1000, nowMs: 0 });
  expect(ticks(box, 0, 90_000)).toEqual([
    [30_000, 50],
    [48_000, 80],
    [60_000, 100],
  ]);
});

test('rule 22: a jump of the clock, by SIGSTOP or a sleeping machine, counts as one tick', () => {
  const box = openTimeBox({ boxMs: 60_000, spentMs: 0, tickMs: 1000, nowMs: 0 });
  ticks(box, 0, 20_000);
  expect(box.tick(20_000 + 8 * 3_600_000)).toEqual([]);
  expect(box.spentMs()).toBe(21_000);
  box.tick(0);
  expect(box.spentMs()).toBe(21_000);
});

test('a busy process that ticks late is not taken for a paused one', () => {
  const box = openTimeBox({ boxMs: 60_000, spentMs: 0, tickMs: 1000, nowMs: 0 });
  ticks(box, 0, 40_000, 4000);
  expect(box.spentMs()).toBe(40_000);
});

test('goes on from what an earlier delivery used, and tells no notice twice', () => {
  const box = openTimeBox({ boxMs: 60_000, spentMs: 35_000, tickMs: 1000, nowMs: 0 });
  expect(ticks(box, 0, 30_000)).toEqual([
    [13_000, 80],
    [25_000, 100],
  ]);
});

test('one that was used up before ends at its first tick', () => {
  const box = openTimeBox({ boxMs: 60_000, spentMs: 61_000, tickMs: 1000, nowMs: 0 });
  expect(box.tick(10)).toEqual([100]);
});
