/** The real `control.ts` in several processes whose connections lag, each in its own way. */
import { randomInt } from 'node:crypto';
import { expect, test } from 'vitest';
import { chooseBySeed } from './choices.ts';
import { runControl } from './control-fleet.ts';

const schedules = 1500;

test('rule 18: no word ends a STOP that was written after it, however late it comes', {
  timeout: 120_000,
}, async () => {
  const from = randomInt(4_000_000_000);
  for (let seed = from; seed < from + schedules; seed += 1)
    expect([seed, await runControl(chooseBySeed(seed))]).toEqual([seed, null]);
});

test.each([7, 21])('schedule %i goes well, in which a beat knew of a STOP before an older word came', async (seed) => {
  expect(await runControl(chooseBySeed(seed))).toBeNull();
});
