/**
 * The verdict: what the checks of a candidate, beside those of the commit before, say about it. Pure.
 *
 * Of each check, in this order:
 *
 *   passed   counts, unless fewer tests ran than before
 *   failed   is excused if every failing test is known by name and failed before, or may be red; where names are
 *            not known, only by a commit before on which it failed no better. Else it is the candidate's
 *   broken   is nobody's fault, unless the candidate changed what the tool or set-up is made of and it worked before
 *   skipped  proves nothing; a check that ran before and now does not is the candidate's
 *
 * A check that came with the task has to pass on the result: the last candidate is excused in none of them.
 *
 * And of all: one that is the candidate's → failed. Else one broken that somebody waits for → broken. Else one that
 * passed → passed. Else → unproven.
 *
 * Fewer tests than before is always an alarm. It also fails the candidate, with one exception: a candidate that deletes
 * product code together with test files removes a feature, and its tests go with it. To fail that would make "remove
 * the old export" impossible; to let fewer tests pass otherwise would make deleting a red test the easiest repair. What
 * counts is tests that ran, so one marked to be skipped is as missing as a deleted one. And a suite in which no
 * test is left fails in any case.
 */
import type { Check, SubtaskKind, VerdictName } from '@nexus/shared/messages/domain';
import { endsInItsTests } from './chain.ts';
import { nameSeparator } from './counts.ts';
import { setUpName } from './run-checks.ts';

export type Evidence = {
  kind: SubtaskKind;
  checks: readonly Check[];
  /** The checks of the commit before; null where there is nothing to compare with. */
  before: readonly Check[] | null;
  /** Tests that may be red because they were written first. */
  allowedRed: readonly string[];
  /** Failing tests that the candidate itself brought (`ownTests`). */
  ownTests: ReadonlySet<string>;
  /** What the command of each check runs, one after the other, by its name. */
  chains: ReadonlyMap<string, readonly string[]>;
  /** Names of the checks that came with the task. */
  asked: ReadonlySet<string>;
  /** Nothing more comes after this candidate, so what came with the task has to pass now. */
  last: boolean;
  /** The candidate changed what set-up and scripts are made of. */
  changesSetup: boolean;
  /** It deleted product code together with test files. */
  removesFeature: boolean;
};

export type Verdict = {
  verdict: Exclude<VerdictName, 'conflict'>;
  checks: Check[];
  stillRed: string[];
  alarms: string[];
  says: string;
  logTail: string;
};

/** What one check means for the candidate. */
type Ruling = {
  check: Check;
  is: 'passed' | 'excused' | 'skipped' | 'broken' | 'blamed';
  stillRed?: string[];
  alarm?: string;
  /** For the agent: what is wrong. */
  says?: string;
};

/** Whether the checks must be run on the commit before to judge these: something failed, or tests can be compared. */
export const needsBefore = (checks: readonly Check[]): boolean =>
  checks.some(({ state, tests }) => state === 'failed' || state === 'broken' || (tests !== null && tests.total > 0)) ||
  checks.some(({ state, name }) => state === 'skipped' && name === 'tests');

export const judge = (evidence: Evidence): Verdict => {
  const rulings = [...evidence.checks.map((check) => ruleOn(check, evidence)), ...vanished(evidence)];
  const blamed = rulings.filter((ruling) => ruling.is === 'blamed');
  const broken = rulings.filter((ruling) => ruling.is === 'broken');
  const passed = rulings.some((ruling) => ruling.is === 'passed' || someTestsPassed(ruling));
  const verdict = blamed.length > 0 ? 'failed' : broken.length > 0 ? 'broken' : passed ? 'passed' : 'unproven';
  const worst = blamed[0] ?? broken[0];
  return {
    verdict,
    checks: rulings.map(({ check }) => check),
    stillRed: [...new Set(rulings.flatMap(({ stillRed }) => stillRed ?? []))],
    alarms: rulings.flatMap(({ alarm }) => alarm ?? []),
    says: saysOf(verdict, rulings),
    logTail: worst?.check.log_tail ?? '',
  };
};

const ruleOn = (check: Check, evidence: Evidence): Ruling => {
  const before = evidence.before?.find(({ name }) => name === check.name);
  switch (check.state) {
    case 'passed':
      return rulePassed(check, before, evidence);
    case 'failed':
      return ruleFailed(check, before, evidence);
    case 'broken':
      return ruleBroken(check, before, evidence);
    case 'skipped':
      return ruleSkipped(check, before, evidence);
  }
};

const rulePassed = (check: Check, before: Check | undefined, evidence: Evidence): Ruling =>
  fewerTests(check, before, evidence) ?? { check, is: 'passed' };

/** Null if as many tests ran as before, or it is not known how many did. */
const fewerTests = (check: Check, before: Check | undefined, evidence: Evidence): Ruling | null => {
  if (!before?.tests || before.tests.total === 0) return null;
  if (check.tests === null) {
    const says = `${quoted(check)} ran ${before.tests.total} tests before; its output no longer says how many it ran.`;
    return { check: failed(check, says), is: 'blamed', alarm: says, says };
  }
  const [now, then] = [ranOf(check.tests), ranOf(before.tests)];
  if (now >= then) return null;
  const alarm = `${quoted(check)} ran ${now} tests, ${then} before.`;
  if (now > 0 && evidence.removesFeature && check.state === 'passed') return { check, is: 'passed', alarm };
  const says = `${alarm} Bring back the tests that are missing or skipped.`;
  return { check: failed(check, alarm), is: 'blamed', alarm, says };
};

const ranOf = (tests: NonNullable<Check['tests']>): number => tests.total - tests.skipped;

const ruleFailed = (check: Check, before: Check | undefined, evidence: Evidence): Ruling => {
  if (evidence.last && evidence.asked.has(check.name)) {
    const says = `${describe(check, check.failing)} The task asks for it to pass, whatever it did before.`;
    return { check, is: 'blamed', says };
  }
  const ruling = namesAreKnown(check) ? ruleByNames(check, before, evidence) : ruleByCounts(check, before, evidence);
  const fewer = fewerTests(check, before, evidence);
  if (!fewer) return ruling;
  // What failed comes first: a suite of several parts stops at it, so that fewer tests may be all its doing.
  if (ruling.is === 'blamed') return { ...ruling, alarm: fewer.alarm ?? '' };
  // What is excused is said to be so: its author would mend what failed before, or waits for its code.
  const may = ruling.stillRed?.length ? ` ${keepsOthers}` : '';
  const excused = ruling.alarm ?? describe(check, check.failing);
  return { ...fewer, check: ruling.check, says: `${fewer.says}${may} ${excused}` };
};

const ruleByNames = (check: Check, before: Check | undefined, evidence: Evidence): Ruling => {
  // What was written first and waits for its code is no failure from before: who must make it green, must.
  const waiting = new Set(before?.still_red ?? []);
  const failedBefore = before?.state === 'failed' ? before.failing.filter((name) => !waiting.has(name)) : [];
  const stillRed: string[] = [];
  const known: string[] = [];
  const guilty: string[] = [];
  for (const name of check.failing) {
    const place = failedBefore.indexOf(name);
    if (mayBeRed(name, evidence)) stillRed.push(name);
    else if (place >= 0) known.push(...failedBefore.splice(place, 1));
    else guilty.push(name);
  }
  const worse = before?.state === 'failed' && !namesAreKnown(before) ? ruleByCounts(check, before, evidence) : null;
  const stopped = stillRed.length > 0 ? stoppedBy(check, evidence) : null;
  if (guilty.length === 0 && stopped !== null) return { check, is: 'blamed', says: stopped };
  if (guilty.length === 0 || worse?.is === 'excused') {
    const alarm = known.length > 0 ? alreadyFailing(check, known) : (worse?.alarm ?? null);
    const failingBefore = stillRed.length === 0 && (known.length > 0 || worse !== null);
    return {
      check: { ...check, failing_before: failingBefore, ...(stillRed.length > 0 ? { still_red: stillRed } : {}) },
      is: 'excused',
      stillRed,
      ...(alarm === null ? {} : { alarm }),
    };
  }
  return { check, is: 'blamed', says: describe(check, guilty, known.length) };
};

/**
 * Whoever writes tests first must not keep from running what comes after them in one command: what did not run is
 * proven by nothing. Null where the red tests are provably all that failed.
 */
const stoppedBy = (check: Check, { kind, chains }: Evidence): string | null => {
  const chain = chains.get(check.name) ?? [];
  if (kind !== 'tests_first' || chain.length === 0 || endsInItsTests(chain)) return null;
  const parts = chain.map((part) => `\`${part}\``).join(', then ');
  return `${describe(check, check.failing)} It runs ${parts}, and stops at the first that fails. ${keepsOthers}`;
};

/** A name excuses itself, and a file that could not be loaded before excuses each of its tests. */
const mayBeRed = (name: string, { kind, allowedRed, ownTests }: Evidence): boolean =>
  allowedRed.includes(name) ||
  allowedRed.includes(name.split(nameSeparator)[0] ?? '') ||
  (kind === 'tests_first' && ownTests.has(name));

/** Without names, only a commit before that was no better excuses. */
const ruleByCounts = (check: Check, before: Check | undefined, { kind }: Evidence): Ruling => {
  const unread = kind === 'tests_first' && check.failing.length === 0 ? ` ${cannotTell}` : '';
  const guilty = { check, is: 'blamed', says: `${describe(check, check.failing)}${unread}` } as const;
  if (before?.state !== 'failed') return guilty;
  const lostNames = check.failing.length === 0 && namesAreKnown(before);
  const moreFail = check.tests !== null && before.tests !== null && check.tests.failed > before.tests.failed;
  if (lostNames || moreFail) return guilty;
  return { check: { ...check, failing_before: true }, is: 'excused', alarm: alreadyFailing(check, check.failing) };
};

const keepsOthers = 'Tests that may fail must not keep others from running: mark them as to be done, or to be skipped.';

const cannotTell =
  'Its output does not name the tests that failed, so none can be let through as written first: mark the new ones as ' +
  'to be done, or to be skipped, until there is code for them.';

/** True if the failing tests are all named: the exit was the runner's own, and there are as many names as failures. */
const namesAreKnown = ({ exit_code, failing, tests }: Check): boolean =>
  exit_code !== null && failing.length > 0 && (tests === null || tests.failed <= failing.length);

const ruleBroken = (check: Check, before: Check | undefined, evidence: Evidence): Ruling => {
  const isSetUp = check.name === setUpName;
  const brokenBefore = before?.state === 'broken';
  const workedBefore = evidence.before === null || (isSetUp ? !before : !brokenBefore);
  if (evidence.changesSetup && workedBefore && !isOutage(check)) {
    const says = `${describe(check, [])} It worked before, and the candidate changed what it depends on.`;
    return { check: failed(check, check.why), is: 'blamed', says };
  }
  if (brokenBefore && !isSetUp && !evidence.asked.has(check.name)) {
    const alarm = `${quoted(check)} cannot run here, nor could it on the commit before: ${check.why}`;
    return { check: { ...check, failing_before: true }, is: 'excused', alarm };
  }
  return { check: { ...check, failing_before: brokenBefore }, is: 'broken', says: describe(check, []) };
};

/** Signs that something outside the project was missing. */
const outage =
  /No space left on device|Disk quota|ENOTFOUND|EAI_AGAIN|ECONN(?:REFUSED|RESET)|ETIMEDOUT|E(?:NET|HOST)UNREACH|ENOSPC|EACCES|EMFILE|code E(?:5\d\d|429)\b/;

const isOutage = ({ log_tail }: Check): boolean => outage.test(log_tail);

const ruleSkipped = (check: Check, before: Check | undefined, evidence: Evidence): Ruling => {
  if (setUpBroke(evidence) || !before || before.state === 'skipped' || before.state === 'broken')
    return { check, is: 'skipped' };
  const tests = before.tests ? ` (${before.tests.total} tests)` : '';
  const alarm = `${quoted(check)} ran before${tests}, and did not now: ${check.why}`;
  return { check: failed(check, check.why), is: 'blamed', alarm, says: alarm };
};

const setUpBroke = ({ checks }: Evidence): boolean => checks.some(({ name }) => name === setUpName);

/**
 * Checks of the commit before that the candidate no longer declares. Where the set-up broke, nothing is known of
 * them.
 */
const vanished = (evidence: Evidence): Ruling[] =>
  setUpBroke(evidence)
    ? []
    : (evidence.before ?? [])
        .filter(({ name, state }) => state === 'passed' || (state === 'failed' && name !== setUpName))
        .filter(({ name }) => name !== 'syntax' && !evidence.checks.some((check) => check.name === name))
        .map((gone) => {
          const why = `The check "${gone.name}" (\`${gone.command}\`) is no longer declared.`;
          const check: Check = { ...gone, ...ended, state: 'failed', why };
          return { check, is: 'blamed', alarm: why, says: `${why} Bring it back.` };
        });

const ended = {
  exit_code: null,
  duration_ms: 0,
  tests: null,
  failing: [],
  failing_before: false,
  log_tail: '',
  log: null,
};

const someTestsPassed = ({ is, check }: Ruling): boolean => is === 'excused' && (check.tests?.passed ?? 0) > 0;

const failed = (check: Check, why: string): Check => ({ ...check, state: 'failed', why });

const quoted = ({ name }: Check): string => `"${name}"`;

const alreadyFailing = (check: Check, names: readonly string[]): string =>
  `${quoted(check)} failed on the commit before, too${names.length > 0 ? `: ${listed(names)}` : ''}.`.slice(0, 500);

const describe = (check: Check, names: readonly string[], knownCount = 0): string => {
  const tests = names.length > 0 ? ` Failing: ${listed(names)}.` : '';
  const known = knownCount > 0 ? ` (${knownCount} more failed before and are not counted.)` : '';
  return `${quoted(check)} (\`${check.command}\`): ${check.why || 'it failed.'}${tests}${known}`;
};

const listed = (names: readonly string[]): string =>
  names.slice(0, 10).join(', ') + (names.length > 10 ? ` and ${names.length - 10} more` : '');

const saysOf = (verdict: Verdict['verdict'], rulings: readonly Ruling[]): string => {
  const worst = rulings.filter(({ is }) => is === (verdict === 'failed' ? 'blamed' : 'broken'));
  if (worst.length > 0)
    return worst
      .map(({ says }) => says ?? '')
      .join('\n')
      .slice(0, 4000);
  const ran = rulings.filter(({ is }) => is === 'passed' || is === 'excused').map(({ check }) => ranAs(check));
  if (verdict === 'unproven') {
    const skipped = rulings.map(({ check }) => check.why).filter((why) => why !== '');
    return ['Nothing failed, but nothing that could fail has run and passed.', ...skipped].join(' ').slice(0, 4000);
  }
  return `Passed: ${ran.join(', ')}.`.slice(0, 4000);
};

const ranAs = ({ name, tests, state }: Check): string => {
  const count = tests === null ? '' : ` (${tests.passed} of ${tests.total} tests)`;
  return `${name}${count}${state === 'passed' ? '' : ' with failures that are excused'}`;
};
