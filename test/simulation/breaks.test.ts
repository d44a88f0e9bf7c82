/**
 * The simulation can fail: each rule that is taken out of the model, of the hub or of a decision is missed within a
 * fixed number of schedules, and by what it is there for.
 */
import { expect, test } from 'vitest';
import { runFleet } from './fleet.ts';
import { problemOf, shrink } from './shrink.ts';

const schedulesMax = 12_000;

const breaks: [string, string, RegExp][] = [
  ['1', 'fence off', /without the claim|had ended before/],
  ['1', 'token without count', /without the claim/],
  ['1', 'renewal bare', /lost an entry that nobody took|without the claim/],
  ['5', 'nobody is not served', /round in circles/],
  ['6', 'deaths as deliveries', /deaths are counted|died of poison/],
  ['9', 'settle without revision', /wrote over a newer/],
  ['15', 'release twice', /in two places/],
  ['15', 'nothing sweeps', /round in circles/],
  ['17', 'settle under any epoch', /work of an older epoch/],
  ['17', 'stop aborts nothing', /though it knows of the STOP/],
  ['18', 'word applied blindly', /an old word ended a newer STOP/],
  ['18', 'words outlive what was learnt', /an old word ended a newer STOP/],
  ['19', 'beat forgets the epoch', /was rolled back/],
  ['20', 'begin not checked', /began/],
  ['20', 'begin without epoch', /began after STOP/],
  ['20', 'cancelled begins', /began for a task that is/],
  ['24', 'merge without marker', /merged twice/],
  ['24', 'marker after settle', /merged twice/],
  ['24', 'merge without lease', /took another merge away|merged twice/],
  ['25', 'merge ungated', /merged ungated/],
  ['7', 'dispatch ignores share', /its share is/],
];
/** Of what only wider schedules go through. */
const wider: typeof breaks = [
  ['6', 'shutdown gives nothing back', /deaths are counted/],
  ['16', 'deadline rings early', /failed before its deadline/],
  ['7', 'drain holds', /round in circles/],
  ['12', 'any role', /whom nobody is/],
];

test.each([...breaks, ...wider])(
  'rule %s: with "%s" a schedule goes wrong',
  { timeout: 300_000 },
  (_rule, name, says) => {
    const options = { breaks: new Set([name]), wider: wider.some(([, other]) => other === name) };
    const seen: string[] = [];
    for (let seed = 1; seed <= schedulesMax; seed += 1) {
      const problem = problemOf(() => runFleet(seed, options));
      if (problem === null) continue;
      seen.push(problem);
      if (says.test(problem)) return;
    }
    expect.fail(`not missed within ${schedulesMax} schedules; seen instead: ${seen.slice(0, 3).join('; ')}`);
  },
);

test('a schedule that goes wrong is made small, and still goes wrong in the same way', () => {
  const options = { breaks: new Set(['begin without epoch']), wider: false };
  let seed = 1;
  while (problemOf(() => runFleet(seed, options)) === null) seed += 1;
  const { says, choices, trace } = shrink(seed, options, 5000);
  expect(says).toMatch(/began after STOP/);
  expect(choices.filter((one) => one > 0).length).toBeLessThan(40);
  expect(trace.join('\n')).toContain('STOP_ALL');
});
