import { expect, test } from 'vitest';
import { arrivals, clockMs, closedLoop, dueBy, paced, windowed } from './pace.ts';

test('what is due follows the clock: the first at once, and never more than there are', () => {
  expect(dueBy(0, 500, 100)).toBe(1);
  expect(dueBy(1.9, 500, 100)).toBe(1);
  expect(dueBy(2, 500, 100)).toBe(2);
  expect(dueBy(100, 500, 100)).toBe(51);
  expect(dueBy(60_000, 500, 100)).toBe(100);
});

test('a sender that fell behind catches up: the pace is kept on the whole', async () => {
  const sent: number[] = [];
  const began = performance.now();
  await paced(50, 1000, async (n) => void sent.push(n));
  expect(sent).toEqual(Array.from({ length: 50 }, (_, n) => n));
  expect(performance.now() - began).toBeGreaterThanOrEqual(48);
});

test('no more are under way than the window holds, and each is sent once', async () => {
  const sent: number[] = [];
  let [flying, most] = [0, 0];
  await windowed(40, 7, async (n) => {
    sent.push(n);
    flying += 1;
    most = Math.max(most, flying);
    await new Promise((resolve) => setImmediate(resolve));
    flying -= 1;
  });
  expect(most).toBe(7);
  expect(sent.toSorted((one, other) => one - other)).toEqual(Array.from({ length: 40 }, (_, n) => n));
});

test('arrivals say when all are there, how many a second, how long each took', async () => {
  const counted = arrivals(20);
  for (let n = 0; n < 4; n += 1) counted.met(clockMs() - 1000);
  for (let n = 0; n < 16; n += 1) {
    await new Promise((resolve) => setImmediate(resolve));
    counted.met(clockMs() - 5);
  }
  await counted.all;
  const { count, per_second, p50_ms, p99_ms } = counted.report();
  expect(count).toBe(20);
  expect(per_second).toBeGreaterThan(0);
  expect(p50_ms).toBeGreaterThanOrEqual(5);
  expect(p99_ms).toBeLessThan(1000);
});

test('a closed loop keeps so many under way, refills once a tick, and knows its end', async () => {
  const batches: number[] = [];
  let [flying, most] = [0, 0];
  const loop = closedLoop(25, 10, (first, many) => {
    batches.push(first);
    flying += many;
    most = Math.max(most, flying);
    setImmediate(() => {
      for (let n = 0; n < many; n += 1) {
        flying -= 1;
        loop.ended();
      }
    });
  });
  loop.begin();
  await loop.all;
  expect(most).toBe(10);
  expect(batches).toEqual([0, 10, 20]);
  expect(loop.perSecond()).toBeGreaterThan(0);
});
