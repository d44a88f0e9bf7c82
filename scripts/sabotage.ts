/**
 * `npm run sabotage`: breaks the code on purpose, one break at a time, and demands that a test turns red.
 *
 *   npm run sabotage                          every break; some seconds each
 *   npm run sabotage -- --only settle-7.lua   those whose area, file or title holds these letters
 *   npm run sabotage -- --list                what there is, without running it
 *   npm run sabotage -- --sample 10           so many of them, drawn at random; the seed is printed
 *   npm run sabotage -- --sample 10 --seed 7  draws the same ones again
 *
 * The breaks lie in test/tools/sabotage: which text of which file is replaced by what, and which test has to
 * notice. All of it happens in a copy; the checkout is never touched. A break counts as caught only if its
 * test passes before it and fails after it. One that no test notices, or whose text is not in its file any
 * more, is a failure. The last lines are JSON, {breaks, caught, failed, seconds}, and `N passed, N failed`.
 */
import { spawn, spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { openRandom } from '../test/simulation/random.ts';
import { type Break, readBreaks } from '../test/tools/sabotage.ts';
import { readOptions } from './options.ts';
import { root } from './parts.ts';

const { values: options } = readOptions(import.meta.filename, {
  options: {
    only: { type: 'string', default: '' },
    list: { type: 'boolean', default: false },
    sample: { type: 'string' },
    seed: { type: 'string' },
  },
});

/** Only `caught` is good. `unloadable`: the test was never reached: its file does not load, or has no such test. */
type Found = 'caught' | 'missed' | 'stale' | 'red before' | 'unloadable';
type Ran = 'passed' | 'failed' | 'hung' | 'none';

const hungAfterMs = 180_000;

const main = async (): Promise<number> => {
  const chosen = choose();
  if (options.list) {
    for (const { area, file, test, title } of chosen) console.log(`${area}  ${file}\n    ${test}: ${title}`);
    return 0;
  }
  if (chosen.length === 0) {
    console.error(`no break mentions “${options.only}”; \`npm run sabotage -- --list\` shows them all`);
    return 2;
  }
  const began = performance.now();
  const failed: { found: Found; file: string; find: string; title: string }[] = [];
  const copy = makeCopy();
  try {
    for (const [at, one] of chosen.entries()) {
      const found = await attempt(copy, one);
      const { file, find, title } = one;
      if (found !== 'caught') failed.push({ found, file, find, title });
      console.log(`${found.padEnd(10)} ${String(at + 1).padStart(3)}/${chosen.length}  ${one.area}: ${title}`);
    }
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
  const caught = chosen.length - failed.length;
  const seconds = Math.round((performance.now() - began) / 1000);
  console.log(JSON.stringify({ breaks: chosen.length, caught, failed, seconds }));
  console.log(`${caught} passed, ${failed.length} failed`);
  return failed.length === 0 ? 0 : 1;
};

const choose = (): Break[] => {
  const wanted = readBreaks().filter((one) => `${one.area} ${one.file} ${one.title}`.includes(options.only));
  if (options.sample === undefined) return wanted;
  const seed = Number(options.seed ?? Math.floor(Math.random() * 2 ** 31));
  console.log(`seed ${seed}`);
  const random = openRandom(seed);
  return Array.from({ length: Math.min(Number(options.sample), wanted.length) }, () => random.draw(wanted));
};

/** Breaks the copy, runs the one test, mends the copy again. */
const attempt = async (copy: string, one: Break): Promise<Found> => {
  const file = join(copy, one.file);
  const whole = readFileSync(file, 'utf8');
  if (whole.split(one.find).length !== 2) return 'stale';
  if ((await runUnbroken(copy, one)) !== 'passed') return 'red before';
  writeFileSync(
    file,
    whole.replace(one.find, () => one.replace),
  );
  try {
    const ran = await runTest(copy, one);
    return ran === 'passed' ? 'missed' : ran === 'none' ? 'unloadable' : 'caught';
  } finally {
    writeFileSync(file, whole);
  }
};

const unbroken = new Map<string, Promise<Ran>>();
/** A test guards several lines; unbroken it runs once. */
const runUnbroken = (copy: string, one: Break): Promise<Ran> => {
  const name = `${one.test}\n${one.title}`;
  const ran = unbroken.get(name) ?? runTest(copy, one);
  unbroken.set(name, ran);
  return ran;
};

const runTest = async (copy: string, { test, title }: Break): Promise<Ran> => {
  const report = join(copy, 'report.json');
  rmSync(report, { force: true });
  const pattern = title.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&');
  const words = ['run', test, '-t', pattern, '--reporter=json', `--outputFile=${report}`];
  const hung = await new Promise<boolean>((resolve) => {
    const child = spawn(join(root, 'node_modules/.bin/vitest'), words, { cwd: copy, stdio: 'ignore', detached: true });
    const limit = setTimeout(() => process.kill(-(child.pid ?? 0), 'SIGKILL'), hungAfterMs);
    child.on('close', (_, signal) => {
      clearTimeout(limit);
      resolve(signal === 'SIGKILL');
    });
  });
  if (hung) return 'hung';
  type Report = { testResults: { assertionResults: { title: string; status: string }[] }[] };
  try {
    const read = JSON.parse(readFileSync(report, 'utf8')) as Report;
    const all = read.testResults.flatMap(({ assertionResults }) => assertionResults);
    const states = all.filter((ran) => ran.title.includes(title)).map(({ status }) => status);
    return states.includes('failed') ? 'failed' : states.includes('passed') ? 'passed' : 'none';
  } catch {
    return 'none';
  }
};

/** A copy of the checkout as it stands, with its packages linked: only our own are its own. */
const makeCopy = (): string => {
  const copy = mkdtempSync(join(tmpdir(), 'nexus-sabotage-'));
  const listed = spawnSync('git', ['ls-files', '-z', '-c', '-o', '--exclude-standard'], {
    cwd: root,
    encoding: 'utf8',
  });
  for (const file of new Set(listed.stdout.split('\0').filter(Boolean))) {
    mkdirSync(dirname(join(copy, file)), { recursive: true });
    try {
      cpSync(join(root, file), join(copy, file));
    } catch (error) {
      // Listed, but removed meanwhile.
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }
  const packages = join(copy, 'node_modules');
  mkdirSync(join(packages, '@nexus'), { recursive: true });
  for (const name of readdirSync(join(root, 'node_modules'))) {
    if (name === '@nexus' || name.startsWith('.v')) continue;
    symlinkSync(join(root, 'node_modules', name), join(packages, name));
  }
  for (const name of readdirSync(join(root, 'node_modules/@nexus'))) {
    const folder = name === 'shared' ? 'shared' : join('services', name);
    symlinkSync(join(copy, folder), join(packages, '@nexus', name));
  }
  return copy;
};

process.exitCode = await main();
