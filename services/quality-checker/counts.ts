/**
 * Test counts and the names of failing tests, read from the runner's own output. What cannot be read is
 * null: a count is never invented.
 *
 * Known: `node --test` (spec and TAP), tape and other TAP, tap-spec, vitest, jest, mocha, ava, uvu; and, for the types
 * check, tsc. A command that runs several of them, or one several times, gets the sum.
 *
 * Names are made to be the same from run to run, so that two runs can be compared: `file > suite > test` as far as
 * the runner tells, without line numbers or durations. A file that could not even be loaded is named by its path.
 */
import { fileURLToPath } from 'node:url';
import { stripVTControlCharacters } from 'node:util';

export type Counts = { total: number; passed: number; failed: number; skipped: number };
export type Counted = { tests: Counts | null; failing: string[] };

type Reader = (output: string, folder: string) => Counted | null;

/** What stands between the parts of a test's name. */
export const nameSeparator = ' > ';

/** Reads the output of a command that may have run tests in `folder`. */
export const countTests = (output: string, folder: string): Counted => {
  const text = stripVTControlCharacters(output).replaceAll('\r\n', '\n');
  const found = [readSpec, readTap, readTapSpec, readVitest, readJest, readMocha, readAva, readUvu]
    .map((read) => read(text, folder))
    .filter((one) => one !== null);
  const counted = found.map(({ tests }) => tests).filter((tests) => tests !== null);
  return {
    tests: counted.length === 0 ? null : counted.reduce(sum),
    failing: found.flatMap(({ failing }) => failing).map((name) => name.slice(0, nameCharsMax)),
  };
};

/** The files in which tsc found errors; its output holds no counts. */
export const readTypeErrors = (output: string, folder: string): string[] => {
  const lines = stripVTControlCharacters(output).split('\n');
  const files = lines.map((line) => /^(\S.*?)(?:\(\d+,\d+\): |:\d+:\d+ - )error TS\d+/.exec(line)?.[1]);
  return [...new Set(files.filter((file) => file !== undefined).map((file) => relative(file, folder)))];
};

const nameCharsMax = 500;

const sum = (one: Counts, other: Counts): Counts => ({
  total: one.total + other.total,
  passed: one.passed + other.passed,
  failed: one.failed + other.failed,
  skipped: one.skipped + other.skipped,
});

/** `node --test`, reporter spec: `ℹ tests 9`, and a chapter of failing tests, each with its place. */
const readSpec: Reader = (text, folder) => {
  const tests = nodeSummary(text, 'ℹ');
  if (tests === null) return null;
  const failing: string[] = [];
  for (const match of text.matchAll(/^test at (.+):\d+:\d+\n✖ (.+)$/gm)) {
    const title = (match[2] ?? '').replace(/ \([\d.]+ms\)$/, '');
    failing.push(named(relative(match[1] ?? '', folder), title, folder));
  }
  return { tests, failing };
};

/** The footers of `node --test`, of which several add up. Cancelled tests have failed, those to be done are skipped. */
const nodeSummary = (text: string, sign: string): Counts | null => {
  const total = footer(text, sign, 'tests');
  if (total === null || footer(text, sign, 'pass') === null) return null;
  const of = (word: string) => footer(text, sign, word) ?? 0;
  return {
    total,
    passed: of('pass'),
    failed: of('fail') + of('cancelled'),
    skipped: of('skipped') + of('skip') + of('todo'),
  };
};

const footer = (text: string, sign: string, word: string): number | null =>
  sumOf(text, new RegExp(`^${sign} ${word} +(\\d+)$`, 'gm'));

/** The sum of all numbers that a pattern finds; null if it finds none. */
const sumOf = (text: string, pattern: RegExp): number | null => {
  const found = [...text.matchAll(pattern)];
  return found.length === 0 ? null : found.reduce((total, match) => total + Number(match[1]), 0);
};

/**
 * TAP, version 13 or 14: of node (`# tests 9` at the end, YAML with each point) or of another producer. A point
 * that failed only because one below it did is not a failure of its own.
 */
const readTap: Reader = (text, folder) => {
  if (!/^(?:TAP version \d+|1\.\.\d+)$/m.test(text)) return null;
  const points = tapPoints(text.split('\n'));
  const failing = points.filter((point) => point.failed && !point.parent).map((point) => tapName(point, folder));
  // A run that ended before its plan has failed in a way that no point tells of.
  if (!/^1\.\.\d+$/m.test(text)) failing.push('the run ended before all of its tests had run');
  const summary = nodeSummary(text, '#');
  if (summary !== null) return { tests: summary, failing };
  const top = points.filter(({ indent }) => indent === 0);
  const failed = top.filter((point) => point.failed).length;
  const skipped = top.filter((point) => point.skipped).length;
  return { tests: { total: top.length, passed: top.length - failed - skipped, failed, skipped }, failing };
};

type TapPoint = {
  indent: number;
  failed: boolean;
  skipped: boolean;
  parent: boolean;
  title: string;
  /** The file of the test, as far as the producer tells. */
  location: string | null;
  /** tape: the comment above, which is the name of the test; its points are assertions. */
  section: string;
};

const tapPoints = (lines: string[]): TapPoint[] => {
  const points: TapPoint[] = [];
  let section = '';
  for (const [index, line] of lines.entries()) {
    section = /^# (?!Subtest: )(.+)$/.exec(line)?.[1] ?? section;
    const match = /^( *)(not )?ok \d+ *(?:- )?(.*?)(?: # (SKIP|TODO)\b.*)?$/i.exec(line);
    if (!match) continue;
    const yaml = tapYaml(lines, index + 1);
    points.push({
      indent: (match[1] ?? '').length,
      failed: match[2] !== undefined && match[4] === undefined,
      skipped: match[4] !== undefined,
      parent: yaml.includes("failureType: 'subtestsFailed'"),
      title: (match[3] ?? '').replaceAll(/\\([#\\])/g, '$1'),
      location: yaml.map((entry) => tapPlace.exec(entry)?.[1]).find((path) => path !== undefined) ?? null,
      section: yaml.some((entry) => entry.startsWith('location: ')) ? '' : section,
    });
  }
  return points;
};

/** `location: '/a/b.js:1:2'` of node, `at: Test.<anonymous> (/a/b.js:1:2)` of tape. */
const tapPlace = /^(?:location: '|at: (?:.* \()?)(.+?):\d+:\d+['")]*$/;

/** The lines of the YAML block of a point, without their indentation. */
const tapYaml = (lines: string[], from: number): string[] => {
  if (lines[from]?.trim() !== '---') return [];
  const end = lines.findIndex((line, index) => index > from && line.trim() === '...');
  return lines.slice(from + 1, end < 0 ? from + 1 : end).map((line) => line.trim());
};

const tapName = ({ location, section, title }: TapPoint, folder: string): string => {
  const full = section === '' ? title : `${section}${nameSeparator}${title}`;
  return location === null ? full : named(relative(location, folder), full, folder);
};

/** tap-spec makes `total:`, `passing:` and `failing:` of TAP, and a chapter of failures below the names of tests. */
const readTapSpec: Reader = (text) => {
  const of = (word: string) => sumOf(text, new RegExp(`^ {2}${word}: +(\\d+)$`, 'gm'));
  const [total, passed] = [of('total'), of('passing')];
  if (total === null || passed === null) return null;
  const failing: string[] = [];
  for (const chapter of text.split(/^ {2}Failed Tests: .*$/m).slice(1)) {
    let section = '';
    for (const line of (chapter.split(/^ {2}total: /m)[0] ?? '').split('\n')) {
      section = /^ {4}(\S.*)$/.exec(line)?.[1] ?? section;
      const title = /^ {6}✖ (.+)$/.exec(line)?.[1];
      if (title !== undefined) failing.push(section === '' ? title : `${section}${nameSeparator}${title}`);
    }
  }
  return { tests: { total, passed, failed: of('failing') ?? 0, skipped: 0 }, failing };
};

/** vitest: `Tests  1 failed | 5 passed | 1 skipped (7)`, and a line ` FAIL  file > suite > test` for each. */
const readVitest: Reader = (text, folder) => {
  const summaries = [...text.matchAll(/^ +Tests +(no tests|.*\(\d+\))$/gm)].map((match) => match[1] ?? '');
  const empty = /^No test files found, exiting with code \d/m.test(text);
  if (summaries.length === 0 && !empty) return null;
  const failing: string[] = [];
  for (const match of text.matchAll(
    /^ FAIL +(?:\|[^|]+\| +|[^\s.]+ +)?(\S+?\.[cm]?[jt]sx?)(?: > (.+)| \[ .+ \])?$/gm,
  )) {
    failing.push(named(relative(match[1] ?? '', folder), match[2] ?? '', folder));
  }
  return { tests: summaries.map(countWords).reduce(sum, zero), failing };
};

/** jest: `Tests:  1 failed, 5 passed, 6 total`, and `● suite › test` below a line `FAIL file`. */
const readJest: Reader = (text, folder) => {
  const summaries = [...text.matchAll(/^Tests: +(.*\d+ total)$/gm)].map((match) => match[1] ?? '');
  const empty = /^No tests found, exiting with code \d/m.test(text);
  if (summaries.length === 0 && !empty) return null;
  const failing = new Set<string>();
  let file = '';
  for (const line of text.split('\n')) {
    const suite = /^(PASS|FAIL) +(?:\S+ +)?(\S+\.[cm]?[jt]sx?)(?: \([\d.]+ m?s\))?$/.exec(line);
    if (suite) file = suite[1] === 'FAIL' ? relative(suite[2] ?? '', folder) : '';
    const title = / {2}● (.+)$/.exec(line)?.[1];
    if (title === undefined || file === '' || title === 'Console') continue;
    failing.add(title === 'Test suite failed to run' ? file : [file, ...title.split(' › ')].join(nameSeparator));
  }
  return { tests: summaries.map(countWords).reduce(sum, zero), failing: [...failing] };
};

const zero: Counts = { total: 0, passed: 0, failed: 0, skipped: 0 };

/** `1 failed | 5 passed (6)` and `1 failed, 5 passed, 6 total`. */
const countWords = (summary: string): Counts => {
  const of = (word: string) => Number(new RegExp(`(\\d+) ${word}\\b`).exec(summary)?.[1] ?? 0);
  const [passed, failed, skipped] = [of('passed') + of('expected fail'), of('failed'), of('skipped') + of('todo')];
  return { total: passed + failed + skipped, passed, failed, skipped };
};

/** mocha: `5 passing (10ms)`, and a numbered list in which suites and test stand one below the other. */
const readMocha: Reader = (text) => {
  const of = (word: string) => sumOf(text, new RegExp(`^ +(\\d+) ${word}(?: \\([\\d.]+m?s\\))?$`, 'gm'));
  const passed = of('passing');
  if (passed === null) return null;
  const failed = of('failing') ?? 0;
  const skipped = of('pending') ?? 0;
  return { tests: { total: passed + failed + skipped, passed, failed, skipped }, failing: mochaNames(text) };
};

const mochaNames = (text: string): string[] => {
  const [, ...chapters] = text.split(/^ +\d+ failing$/m);
  return chapters.flatMap((chapter) =>
    [...chapter.matchAll(/^ {2}\d+\) (.+(?:\n {5,}\S.*?)*?):\n/gm)].map((match) =>
      (match[1] ?? '')
        .split('\n')
        .map((part) => part.trim())
        .join(nameSeparator),
    ),
  );
};

/** ava: `20 tests passed`, `1 test failed`, and a line `✖ title` (or `✘ [fail]: title`) for each that failed. */
const readAva: Reader = (text) => {
  const of = (word: string) => sumOf(text, new RegExp(`^ {2}(\\d+) (?:tests? )?${word}$`, 'gm'));
  const [passed, failed] = [of('passed'), of('failed')];
  const crashed = (of('uncaught exceptions?') ?? 0) + (of('unhandled rejections?') ?? 0);
  if (passed === null && failed === null) return null;
  const skipped = (of('skipped') ?? 0) + (of('todo') ?? 0);
  const known = of('known failures?') ?? 0;
  const tests = { passed: (passed ?? 0) + known, failed: (failed ?? 0) + crashed, skipped };
  // Without a failure ava says only how many passed; with one it does not say that, but lists them.
  if (passed === null) tests.passed += [...text.matchAll(/^ {2}✔ (?!\[expected fail\])/gm)].length;
  const failing = [...text.matchAll(/^ {2}(?:✖|✘ \[fail\]:) (?! )(.+?) *$/gm)].map((match) => avaName(match[1] ?? ''));
  return { tests: { total: tests.passed + tests.failed + skipped, ...tests }, failing };
};

const avaName = (title: string): string =>
  title
    .replace(/ \([\d.]+m?s\)$/, '')
    .split(' › ')
    .join(nameSeparator);

/** uvu: `Total:`, `Passed:` and `Skipped:`, and `FAIL  suite  "title"` for each that failed. */
const readUvu: Reader = (text) => {
  const of = (word: string) => sumOf(text, new RegExp(`^ {2}${word}: +(\\d+)$`, 'gm'));
  const [total, passed, skipped] = [of('Total'), of('Passed'), of('Skipped')];
  if (total === null || passed === null || skipped === null) return null;
  const failing = [...text.matchAll(/^ {2,3}FAIL +(?:(\S.*?) +)?"(.+)"$/gm)].map(([, suite, title]) =>
    suite ? `${suite}${nameSeparator}${title}` : (title ?? ''),
  );
  // Its total leaves out what was skipped.
  return { tests: { total: total + skipped, passed, failed: total - passed, skipped }, failing };
};

/** `file > title`, or the file alone where the title says nothing else: it could not be loaded. */
const named = (file: string, title: string, folder: string): string =>
  title === '' || relative(title, folder) === file ? file : `${file}${nameSeparator}${title}`;

/** A path as it stands in the project, whatever form the runner gave it. */
const relative = (path: string, folder: string): string => {
  const plain = path.startsWith('file://') ? fileURLToPath(path) : path;
  const inside = plain.startsWith(`${folder}/`) ? plain.slice(folder.length + 1) : plain;
  return inside.replace(/^\.\//, '');
};
