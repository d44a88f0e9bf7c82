/**
 * The whole fleet under seeded schedules: nothing lost, nothing twice, stop means stop. What must hold is asserted in
 * `world.ts`, `mail.ts`, `hub.ts` and `ending.ts`. A schedule that breaks it is shrunk and told step by step.
 *
 *   npm run simulate -- --schedules 100000      as many as are wanted, on all cores
 *   npm run simulate -- --seed 1234 --only      that one schedule, exactly
 */
import { randomInt } from 'node:crypto';
import { expect, test } from 'vitest';
import { type FleetEnd, runFleet } from './fleet.ts';
import { problemOf, shrink } from './shrink.ts';

const schedules = 2000;
/** Schedules that once went wrong, with what was wrong then; the first knew nothing of wider ones. */
const regressions: [number, string][] = [
  [3, 'entries that nobody takes while the fleet is stopped kept everybody busy'],
  [26, 'an old RESUME outlived what its process had learnt of a newer STOP'],
  [85, 'a delivery that begins once more after a failover was taken for a message twice'],
  [650, 'a subtask that was merged before a failover was planned anew'],
  [15_283, 'the end of a board that ran alone was refused, since its task had ended'],
  [2_839_877_189, 'a decision on what a failover took back met the same revision of another history'],
];
const widerRegressions: [number, string][] = [
  [1_989_475_503, 'a merge was dropped since its task had ended, and a failover took that end back'],
];

/** What the schedules must really have gone through, or they would prove nothing. */
const happenings = [
  ...['killed', 'paused', 'failed over', 'reply lost', 'alarms lost', 'twice', 'out of order', 'poison'],
  ...['STOP_ALL', 'PAUSE_ALL', 'RESUME_ALL', 'STOP_ALL of a scope', 'cancelled', 'answered'],
  ...['shut down', 'bad plan', 'DRAIN', 'drained', 'deadline missed'],
  ...['task completed', 'task failed', 'task cancelled'],
];

const told = (seed: number): string => {
  const { says, trace } = shrink(seed);
  return [`schedule ${seed}: ${says}`, ...trace, `Run it again: npm run simulate -- --seed ${seed} --only`].join('\n');
};

test('nothing is lost, nothing done twice, and stop means stop, whatever happens in between', {
  timeout: 300_000,
}, () => {
  const from = randomInt(4_000_000_000);
  process.stdout.write(`the fleet's schedules begin at seed ${from}\n`);
  const counts = new Map<string, number>();
  for (let seed = from; seed < from + schedules; seed += 1) {
    let end: FleetEnd;
    try {
      end = runFleet(seed);
    } catch {
      throw new Error(told(seed));
    }
    for (const what of [...Object.keys(end.saw), ...end.ends.map(({ status }) => `task ${status}`)])
      counts.set(what, (counts.get(what) ?? 0) + 1);
  }
  for (const what of happenings) expect(counts.get(what) ?? 0, what).toBeGreaterThan(0);
});

test.each(regressions)('schedule %i goes well, in which %s', (seed) => {
  expect(problemOf(() => runFleet(seed, { wider: false }))).toBeNull();
});

test.each(widerRegressions)('schedule %i goes well, in which %s', (seed) => {
  expect(problemOf(() => runFleet(seed))).toBeNull();
});

test('the same seed makes the same schedule, step by step', () => {
  const traceOf = (seed: number): string[] => {
    const trace: string[] = [];
    runFleet(seed, { trace: (line) => trace.push(line) });
    return trace;
  };
  for (let seed = 1; seed <= 20; seed += 1) expect(traceOf(seed)).toEqual(traceOf(seed));
});
