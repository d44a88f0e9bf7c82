/** The rules of the verdict, one by one; the gate's own test shows them on real projects. */
import type { Check } from '@nexus/shared/messages/domain';
import { expect, test } from 'vitest';
import { type Evidence, judge, needsBefore } from './verdict.ts';

const check = (more: Partial<Check> = {}): Check => ({
  ...{ name: 'tests', state: 'passed', command: 'npm test', exit_code: 0, duration_ms: 1, tests: null, failing: [] },
  ...{ failing_before: false, why: '', log_tail: '', log: null },
  ...more,
});
const counts = (passed: number, failed = 0, skipped = 0) => ({
  total: passed + failed + skipped,
  passed,
  failed,
  skipped,
});
const red = (failing: string[], more: Partial<Check> = {}): Check =>
  check({
    state: 'failed',
    exit_code: 1,
    tests: counts(20 - failing.length, failing.length),
    failing,
    why: 'It ended with 1.',
    ...more,
  });

const judged = (checks: Check[], before: Check[] | null = null, more: Partial<Evidence> = {}) =>
  judge({
    ...{
      kind: 'code',
      checks,
      before,
      allowedRed: [],
      ownTests: new Set(),
      asked: new Set(),
      last: false,
      chains: new Map(),
    },
    ...{ changesSetup: false, removesFeature: false },
    ...more,
  });
const nameOf = (...of: Parameters<typeof judged>) => judged(...of).verdict;

test('nothing that ran is unproven, skipped is not passed', () => {
  expect(nameOf([])).toBe('unproven');
  expect(nameOf([check({ state: 'skipped', exit_code: null })])).toBe('unproven');
  expect(nameOf([check({ state: 'skipped' }), check({ name: 'lint' })])).toBe('passed');
});

test('what fails on the commit before, test by test, excuses; one new name does not', () => {
  expect(nameOf([red(['a', 'b'])], [red(['a', 'b', 'c'])])).toBe('passed');
  expect(nameOf([red(['a', 'b'])], [red(['a'])])).toBe('failed');
  expect(nameOf([red(['a'])], [check({ tests: counts(10) })])).toBe('failed');
});

test('two failing tests of one name are not excused by one', () => {
  expect(nameOf([red(['a', 'a'])], [red(['a'])])).toBe('failed');
});

test('names that are not all there count as unknown', () => {
  const cut = red(['a'], { tests: counts(17, 3) });
  expect(nameOf([cut], [red(['a', 'b', 'c'])])).toBe('passed');
  expect(nameOf([cut], [red(['a', 'b'])])).toBe('failed');
  expect(nameOf([cut], null, { allowedRed: ['a'] })).toBe('failed');
});

test('a suite that failed before, but ran its tests, is not excused when it no longer comes to them', () => {
  const ran = check({ state: 'failed', exit_code: 1, tests: counts(20), why: 'It ended with 1.' });
  const stopped = check({ state: 'failed', exit_code: 1, why: 'It ended with 1.' });
  expect(nameOf([ran], [ran])).toBe('passed');
  const { verdict, says } = judged([stopped], [ran]);
  expect(verdict).toBe('failed');
  expect(says).toContain('"tests" ran 20 tests before; its output no longer says how many it ran.');
  expect(nameOf([stopped], [stopped])).toBe('unproven');
});

test('what came with the task may fail as it did before, but not on the last candidate', () => {
  const asked = { asked: new Set(['tests']) };
  expect(nameOf([red(['a'])], [red(['a'])], asked)).toBe('passed');
  const { verdict, says } = judged([red(['a'])], [red(['a'])], { ...asked, last: true });
  expect(verdict).toBe('failed');
  expect(says).toContain('The task asks for it to pass');
  expect(nameOf([red(['a'])], [red(['a'])], { last: true })).toBe('passed');
});

test('what failed is said before that it kept other tests from running', () => {
  const two = check({ tests: counts(40) });
  const { verdict, says, alarms } = judged([red(['a'])], [two]);
  expect([verdict, alarms]).toEqual(['failed', ['"tests" ran 20 tests, 40 before.']]);
  expect(says).toBe('"tests" (`npm test`): It ended with 1. Failing: a.');
});

test('a failure that is excused may not hide other tests', () => {
  const own = { ownTests: new Set(['a']), kind: 'tests_first' } as const;
  const { verdict, says } = judged([red(['a'])], [check({ tests: counts(40) })], own);
  expect(verdict).toBe('failed');
  expect(says).toContain('Tests that may fail must not keep others from running');
});

test('who writes tests first is told when nobody can say which of them failed', () => {
  const nameless = check({ state: 'failed', exit_code: 1, why: 'It ended with 1.' });
  const told = 'mark the new ones as to be done';
  expect(judged([nameless], [check()], { kind: 'tests_first' }).says).toContain(told);
  expect(judged([nameless], [check()]).says).not.toContain(told);
});

test('a failure without names is excused by one without names, never by one with names', () => {
  const lint = check({ name: 'lint', state: 'failed', exit_code: 1 });
  expect(judged([lint], [lint])).toMatchObject({ verdict: 'unproven', checks: [{ failing_before: true }] });
  expect(nameOf([lint], [check({ name: 'lint' })])).toBe('failed');
  expect(nameOf([check({ state: 'failed', exit_code: 1 })], [red(['a'])])).toBe('failed');
});

test('a check that was ended at its time limit is not judged by the names it had got to', () => {
  expect(nameOf([red(['a'], { exit_code: null })], null, { allowedRed: ['a'] })).toBe('failed');
});

test('a file that could not be loaded before excuses each of its tests, not the other way round', () => {
  expect(judged([red(['x.js > one'])], null, { allowedRed: ['x.js'] }).stillRed).toEqual(['x.js > one']);
  expect(nameOf([red(['x.js'])], null, { allowedRed: ['x.js > one'] })).toBe('failed');
});

test('only tests_first may bring red tests of its own', () => {
  const own = { ownTests: new Set(['a']) };
  expect(judged([red(['a'])], null, { ...own, kind: 'tests_first' })).toMatchObject({
    verdict: 'passed',
    stillRed: ['a'],
  });
  expect(nameOf([red(['a', 'b'])], null, { ...own, kind: 'tests_first' })).toBe('failed');
  expect(nameOf([red(['a'])], null, own)).toBe('failed');
});

test('tests that wait for their code excuse nobody once they may no longer be red', () => {
  const waiting = judged([red(['a', 'old'])], [red(['old'])], { allowedRed: ['a'] }).checks;
  expect(waiting[0]).toMatchObject({ still_red: ['a'], failing_before: false });
  expect(judged([red(['a', 'old'])], waiting).says).toContain('Failing: a. (1 more failed before');
  expect(nameOf([red(['old'])], waiting)).toBe('passed');
});

test('a test that is skipped now is as missing as one that was deleted', () => {
  const before = [check({ tests: counts(5) })];
  expect(judged([check({ tests: counts(4, 0, 1) })], before)).toMatchObject({
    verdict: 'failed',
    alarms: ['"tests" ran 4 tests, 5 before.'],
    checks: [{ state: 'failed' }],
  });
  expect(nameOf([check({ tests: counts(4) })], before, { removesFeature: true })).toBe('passed');
  expect(nameOf([check({ tests: counts(0, 0, 4) })], before, { removesFeature: true })).toBe('failed');
  expect(nameOf([check({ tests: counts(6, 0, 3) })], before)).toBe('passed');
});

test('a command that no longer says how many tests it ran has lost them', () => {
  expect(nameOf([check({ tests: null })], [check({ tests: counts(5) })])).toBe('failed');
  expect(nameOf([check({ tests: counts(5) })], [check({ tests: null })])).toBe('passed');
});

test('a check that ran before and is gone or skipped goes back', () => {
  expect(nameOf([check()], [check(), check({ name: 'lint' })])).toBe('failed');
  expect(nameOf([check({ state: 'skipped', exit_code: null })], [check({ tests: counts(3) })])).toBe('failed');
  expect(nameOf([check()], [check(), check({ name: 'syntax' })])).toBe('passed');
  expect(nameOf([check()], [check(), check({ name: 'lint', state: 'skipped' })])).toBe('passed');
});

const missing = check({ name: 'scan', state: 'broken', exit_code: 127, why: 'A tool is missing.' });

test('what is broken is nobody’s fault, and a failure beside it still is', () => {
  expect(nameOf([missing, check()])).toBe('broken');
  expect(nameOf([missing, red(['a'])])).toBe('failed');
});

test('what was broken before holds nobody up, unless a person asked for it', () => {
  expect(judged([missing, check()], [missing])).toMatchObject({
    verdict: 'passed',
    checks: [{ failing_before: true }, {}],
  });
  expect(nameOf([missing, check()], [missing], { asked: new Set(['scan']) })).toBe('broken');
  const setUp = check({ name: 'set-up', state: 'broken', exit_code: 1 });
  expect(nameOf([setUp, check({ state: 'skipped' })], [setUp, check({ state: 'skipped' })])).toBe('broken');
});

test('who changes what set-up is made of answers for it, unless the network was away', () => {
  const setUp = (log_tail: string) => check({ name: 'set-up', state: 'broken', exit_code: 1, log_tail });
  const changed = { changesSetup: true };
  expect(nameOf([setUp('npm error code EUSAGE')], [check()], changed)).toBe('failed');
  expect(nameOf([setUp('npm error code EUSAGE')], null, changed)).toBe('failed');
  expect(nameOf([setUp('npm error code EUSAGE')], [check()])).toBe('broken');
  expect(nameOf([setUp('npm error code ENOTFOUND')], [check()], changed)).toBe('broken');
  expect(nameOf([setUp('')], [setUp('')], changed)).toBe('broken');
});

test('a set-up that broke says nothing of the checks it kept from running', () => {
  const setUp = check({ name: 'set-up', state: 'broken', exit_code: 1 });
  const skipped = check({ state: 'skipped', exit_code: null });
  expect(nameOf([setUp, skipped], [check({ tests: counts(3) })])).toBe('broken');
});

test('the commit before is run only where it matters', () => {
  expect(needsBefore([check()])).toBe(false);
  expect(needsBefore([check({ tests: counts(1) })])).toBe(true);
  expect(needsBefore([red(['a'])])).toBe(true);
  expect(needsBefore([missing])).toBe(true);
  expect(needsBefore([check({ state: 'skipped' })])).toBe(true);
});

test('tests written first excuse a chain that ends in them, and none in which something would have come after', () => {
  const asked = (...chain: string[]) => {
    const more = { kind: 'tests_first', ownTests: new Set(['a']), chains: new Map([['tests', chain]]) } as const;
    return judged([red(['a'])], [check({ tests: counts(10) })], more);
  };
  expect(asked('eslint .', 'node --test')).toMatchObject({ verdict: 'passed', stillRed: ['a'] });
  expect(asked('node --test')).toMatchObject({ verdict: 'passed' });
  const stopped = asked('node --test unit', 'node --test e2e');
  expect(stopped).toMatchObject({ verdict: 'failed', stillRed: [] });
  expect(stopped.says).toContain('`node --test unit`, then `node --test e2e`');
  expect(stopped.says).toContain('mark them as to be done, or to be skipped');
});

test('where tests are missing beside those that failed before, the author is told which is which', () => {
  const before = red(['old'], { tests: counts(9, 1) });
  const fewer = red(['old'], { tests: counts(4, 1) });
  const judgedSo = judged([fewer], [before]);
  expect(judgedSo).toMatchObject({ verdict: 'failed', stillRed: [], checks: [{ failing_before: true }] });
  expect(judgedSo.says).toContain('"tests" ran 5 tests, 10 before. Bring back the tests that are missing or skipped.');
  expect(judgedSo.says).toContain('"tests" failed on the commit before, too: old.');
  expect(judgedSo.says).not.toContain('mark them as to be done');
  const waiting = judged([red(['new'], { tests: counts(4, 1) })], [before], { allowedRed: ['new'] });
  expect(waiting).toMatchObject({ verdict: 'failed', stillRed: [] });
  expect(waiting.says).toContain('mark them as to be done, or to be skipped');
});
