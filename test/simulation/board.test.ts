/**
 * Many seeded schedules drive the project manager's board: messages twice, late and in any order, deliveries
 * side by side, crashes between deciding and settling, agents that fail, gates that refuse or break, merges
 * that come too late, planners that grow the board, people who cancel. What must hold is asserted in
 * `test/tools/board.ts`, `schedule.ts`, `crew.ts` and `repository.ts`; a schedule that breaks it names its seed.
 *
 *   SEED=1234 npx vitest run --project simulation          that one schedule, exactly
 *   SCHEDULES=1000000 npx vitest run --project simulation  more of them
 */
import { defineConfig, is, loadConfig, setting } from '@nexus/shared/config';
import { expect, test } from 'vitest';
import { runSchedule, type ScheduleOptions, type TaskEnd } from './schedule.ts';

const options = loadConfig(
  defineConfig({
    seed: setting('SEED', is.count(0, 4_294_967_295).optional(), 'The one schedule to run.'),
    schedules: setting('SCHEDULES', is.count(1, 1_000_000_000), 'How many schedules to run.', { default: '3000' }),
  }),
);
const seeds =
  options.seed === undefined ? Array.from({ length: options.schedules }, (_, at) => at + 1) : [options.seed];

/** What the schedules must really have gone through, or they would prove nothing. */
const happenings = [
  ...['completed', 'failed', 'cancelled', 'discarded', 'sent back', 'gate broken', 'integration moved', 'tried again'],
  ...['grown', 'plan refused', 'plan given up', 'red merged', 'three at once'],
  ...['other agent', 'planned anew', 'waited for a person'],
];

const run = (seed: number, how: ScheduleOptions = {}): TaskEnd[] => {
  try {
    return runSchedule(seed, how);
  } catch (cause) {
    throw new Error(`schedule ${seed}: ${(cause as Error).message}\nRun it again with SEED=${seed}.`, { cause });
  }
};

test('every board ends, whatever comes twice, late, out of order or not at all', { timeout: 3_600_000 }, () => {
  const ends = new Map<string | null, number>();
  for (const seed of seeds) {
    for (const { outcome, saw } of run(seed)) {
      for (const what of [outcome, ...saw]) ends.set(what, (ends.get(what) ?? 0) + 1);
    }
  }
  if (options.seed !== undefined) return;
  for (const what of happenings) expect(ends.get(what) ?? 0, what).toBeGreaterThan(seeds.length / 200);
});

test('without trouble N subtasks cost at most 2 N gate runs, in whatever order they end (rule 25)', () => {
  for (const seed of seeds.slice(0, 1000)) {
    for (const { outcome, gateRuns, codeSubtasks, sentBack } of run(seed, { calm: true })) {
      if (outcome !== 'completed' || sentBack > 0) continue;
      expect(gateRuns, `schedule ${seed}`).toBeLessThanOrEqual(2 * codeSubtasks);
    }
  }
});

test('the same seed makes the same schedule', () => {
  for (const seed of seeds.slice(0, 20)) expect(runSchedule(seed)).toEqual(runSchedule(seed));
});
