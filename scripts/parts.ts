/**
 * The parts that a check of this repository is made of, and how one of them is run and counted.
 * `check.ts` and `test.ts` choose parts; a part is a command, or a vitest project whose tests count
 * one by one.
 */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';

export const root = dirname(import.meta.dirname);

export type Counts = { passed: number; failed: number; skipped: number };
export type Result = Counts & {
  name: string;
  ok: boolean;
  seconds: number;
  output: string;
  /** Each failed test of a vitest project: its file, its name and what it said first. */
  failures?: string[];
  /** Each file with tests that did not run here: how many, and why as far as one of them says it. */
  leftOut?: string[];
};
export type Part = {
  name: string;
  words: string[];
  vitest?: string;
  /** Loads the machine so much, or says so much, that it runs by itself and shows what it says. */
  alone?: boolean;
};

const bin = (program: string): string => join(root, 'node_modules', '.bin', program);
const script = (name: string, ...rest: string[]): string[] => [process.execPath, join(root, 'scripts', name), ...rest];

const vitest = (project: string): Part => ({
  name: project,
  words: [bin('vitest'), 'run', '--project', project],
  vitest: project,
  alone: true,
});

/** Bounded: two minutes of faults, at most three and a half more for what is open then, and the checker. */
const chaos: Part = {
  name: 'chaos',
  words: script('chaos.ts', '--quiet', '--fast', '--tasks', '20', '--open', '20', '--minutes', '2', '--calm', '210'),
  alone: true,
};

export const parts = {
  types: { name: 'types', words: [bin('tsc'), '--noEmit'] },
  lint: { name: 'lint', words: [bin('biome'), 'check', '--error-on-warnings', '.'] },
  tidy: { name: 'tidy', words: script('tidy.ts') },
  docs: { name: 'pages fresh', words: script('docs.ts', '--check') },
  unit: vitest('unit'),
  processes: vitest('processes'),
  simulation: vitest('simulation'),
  integration: vitest('integration'),
  chaos,
  e2e: vitest('e2e'),
} as const satisfies Record<string, Part>;

/**
 * Runs a part to its end; never throws. A command counts as one test; a vitest project counts its own,
 * and one more for each file that could not be loaded. `live` shows its output while it runs.
 */
export const runPart = async (part: Part, { live = false }: { live?: boolean } = {}): Promise<Result> => {
  const folder = mkdtempSync(join(tmpdir(), 'nexus-part-'));
  const report = join(folder, 'report.json');
  const extra = part.vitest ? ['--reporter=default', '--reporter=json', `--outputFile.json=${report}`] : [];
  const began = performance.now();
  try {
    const { code, output } = await run([...part.words, ...extra], live);
    const counts = part.vitest ? countTests(report, code) : { passed: Number(code === 0), failed: Number(code !== 0) };
    const told = part.vitest ? { failures: failuresIn(report), leftOut: leftOutIn(report) } : {};
    const seconds = (performance.now() - began) / 1000;
    return { name: part.name, skipped: 0, ...counts, ok: code === 0 && counts.failed === 0, seconds, output, ...told };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
};

/** Runs tasks side by side, at most `lanes` at once, in the order given. */
export const inLanes = async <T>(lanes: number, tasks: (() => Promise<T>)[]): Promise<T[]> => {
  const results: T[] = [];
  const waiting = tasks.entries();
  const lane = async () => {
    for (const [at, task] of waiting) results[at] = await task();
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  return results;
};

/** `ok      unit                   12.3 s   214 passed` */
export const lineOf = ({ name, ok, seconds, passed, failed, skipped }: Result): string => {
  const counts = [
    passed > 1 || failed > 1 ? `${passed} passed` : '',
    failed > 0 && passed + failed > 1 ? `${failed} failed` : '',
  ];
  const told = [...counts, skipped > 0 ? `${skipped} skipped` : ''].filter(Boolean).join(', ');
  return `${ok ? 'ok    ' : 'FAILED'}  ${name.padEnd(14)} ${seconds.toFixed(1).padStart(6)} s  ${told}`.trimEnd();
};

/** A line for each test that failed, to be read when the output of its part has long scrolled away. */
export const failedLines = (results: Result[]): string[] =>
  results.flatMap(({ name, failures = [] }) => failures.map((failure) => `failed  ${name}: ${failure}`));

/** A line for each file whose tests, or some of them, this machine could not run. */
export const leftOutLines = (results: Result[]): string[] =>
  results.flatMap(({ name, leftOut = [] }) => leftOut.map((which) => `left out  ${name}: ${which}`));

/** The closing line: `214 passed, 0 failed`, and `, 3 skipped` where some were. */
export const closingLine = (results: Counts[]): string => {
  const sum = (key: keyof Counts) => results.reduce((total, result) => total + result[key], 0);
  return `${sum('passed')} passed, ${sum('failed')} failed${sum('skipped') > 0 ? `, ${sum('skipped')} skipped` : ''}`;
};

const run = (words: string[], live: boolean): Promise<{ code: number; output: string }> =>
  new Promise((resolve) => {
    const [program = '', ...rest] = words;
    // What is read in a file, or by a program, has no colours.
    const plain = process.stdout.isTTY ? {} : { NO_COLOR: '1', FORCE_COLOR: undefined };
    const env = { ...process.env, ...plain, npm_config_loglevel: 'error' };
    const child = spawn(program, rest, { cwd: root, env, stdio: ['ignore', 'pipe', 'pipe'] });
    const forward = (signal: NodeJS.Signals) => child.kill(signal);
    process.on('SIGINT', forward).on('SIGTERM', forward);
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk: Buffer) => {
        output += chunk;
        if (live) process.stdout.write(chunk);
      });
    }
    const finish = (code: number) => {
      process.off('SIGINT', forward).off('SIGTERM', forward);
      resolve({ code, output });
    };
    child.on('error', (error) => {
      output += `${program}: ${error.message}\n`;
      finish(1);
    });
    child.on('close', (code) => finish(code ?? 1));
  });

type VitestReport = {
  numPassedTests: number;
  numFailedTests: number;
  numPendingTests: number;
  numTodoTests: number;
  testResults: {
    name: string;
    status: string;
    message: string;
    assertionResults: { status: string; fullName: string; failureMessages: string[] }[];
  }[];
};

/** The counts of a vitest run. No report, no tests at all, or an error outside of every test: one failure. */
const countTests = (report: string, code: number): Counts => {
  try {
    const read = JSON.parse(readFileSync(report, 'utf8')) as VitestReport;
    const unloaded = read.testResults.filter((file) => file.status === 'failed' && file.assertionResults.length === 0);
    const counts = {
      passed: read.numPassedTests,
      failed: read.numFailedTests + unloaded.length,
      skipped: read.numPendingTests + read.numTodoTests - read.testResults.reduce((sum, one) => sum + notTests(one), 0),
    };
    const nothing = counts.passed + counts.failed === 0;
    return counts.failed === 0 && (code !== 0 || nothing) ? { ...counts, failed: 1 } : counts;
  } catch {
    return { passed: 0, failed: 1, skipped: 0 };
  }
};

/** What did not run by a report, as `file (11): why`. */
const leftOutIn = (report: string): string[] => {
  if (!existsSync(report)) return [];
  const read = JSON.parse(readFileSync(report, 'utf8')) as VitestReport;
  return read.testResults.flatMap(({ name, assertionResults }) => {
    const titles = assertionResults.filter((one) => notRun.has(one.status)).map((one) => one.fullName);
    const says = titles.filter(saysWhy);
    const many = titles.length - notTests({ assertionResults });
    return titles.length === 0
      ? []
      : [`${relative(root, name)} (${many}): ${(says.length ? says : titles).join('; ')}`];
  });
};

const saysWhy = (title: string): boolean => title.includes('(left out: ');

/** How many of the tests that did not run only say why others beside them did not. */
const notTests = ({ assertionResults }: Pick<VitestReport['testResults'][number], 'assertionResults'>): number => {
  const skipped = assertionResults.filter((one) => notRun.has(one.status));
  const says = skipped.filter((one) => saysWhy(one.fullName)).length;
  return says < skipped.length ? says : 0;
};

const notRun: ReadonlySet<string> = new Set(['skipped', 'pending', 'todo']);

/** What failed by a report, as `file › test: first line`; nothing where there is no report. */
const failuresIn = (report: string): string[] => {
  if (!existsSync(report)) return [];
  const read = JSON.parse(readFileSync(report, 'utf8')) as VitestReport;
  return read.testResults.flatMap(({ name, status, message, assertionResults }) => {
    const file = relative(root, name);
    const failed = assertionResults.filter((one) => one.status === 'failed');
    if (status === 'failed' && failed.length === 0) return [`${file}: ${firstLine(message)}`];
    return failed.map((one) => `${file} › ${one.fullName}: ${firstLine(one.failureMessages[0] ?? '')}`);
  });
};

const firstLine = (text: string): string => (text.split('\n')[0] ?? '').slice(0, 300);
