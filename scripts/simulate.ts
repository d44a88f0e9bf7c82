/**
 * `npm run simulate`: many seeded schedules of the whole fleet on a model of the fabric (test/simulation).
 *
 *   npm run simulate                                     100,000 schedules, from a fresh seed, on all cores
 *   npm run simulate -- --schedules N --seed S           N schedules, those of the seeds S, S+1, …
 *   npm run simulate -- --seconds T                      ends after T seconds at the latest
 *   npm run simulate -- --seed S --only                  that one schedule, exactly, with what happens in it
 *
 * Progress is shown on a terminal. The first failure is shrunk and told step by step. The last line is JSON:
 * {schedules, seconds, seed, failures}. Exit code 1 if any schedule failed, 2 for options that are not known.
 */
import { randomInt } from 'node:crypto';
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { runFleet } from '../test/simulation/fleet.ts';
import type { Part, Told } from '../test/simulation/runner.ts';
import { problemOf, shrink } from '../test/simulation/shrink.ts';
import { readOptions as parseCommand } from './options.ts';

const failuresMax = 20;
const traceMax = 200;

const main = async (): Promise<number> => {
  const asked = readOptions();
  if (asked === null) return 2;
  if (asked.only) return showOne(asked.seed);
  const began = performance.now();
  const { schedules, failures } = await runAll(asked, began);
  const seconds = Number(((performance.now() - began) / 1000).toFixed(1));
  const [first] = failures;
  if (first) tellSmall(first.seed);
  console.log(JSON.stringify({ schedules, seconds, seed: asked.seed, failures }));
  return failures.length === 0 ? 0 : 1;
};

type Asked = { schedules: number; seed: number; seconds: number; only: boolean };

const readOptions = (): Asked | null => {
  try {
    const { values } = parseCommand(import.meta.filename, {
      options: {
        schedules: { type: 'string', default: '100000' },
        seed: { type: 'string', default: String(randomInt(4_000_000_000)) },
        seconds: { type: 'string', default: '3600' },
        only: { type: 'boolean', default: false },
      },
    });
    const whole = (name: 'schedules' | 'seed' | 'seconds', least: number): number => {
      const number = Number(values[name]);
      if (!Number.isSafeInteger(number) || number < least)
        throw new Error(`--${name} is a whole number, ${least} at least, not "${values[name]}"`);
      return number;
    };
    const numbers = { schedules: whole('schedules', 1), seed: whole('seed', 0), seconds: whole('seconds', 1) };
    return { ...numbers, only: values.only };
  } catch (error) {
    console.error(
      `${(error as Error).message}\nUsage: npm run simulate -- [--schedules N] [--seed S [--only]] [--seconds T]`,
    );
    return null;
  }
};

/** One schedule, told step by step; shrunk if it fails. */
const showOne = (seed: number): number => {
  const problem = problemOf(() => runFleet(seed, { trace: (line) => console.log(line) }));
  if (problem !== null) tellSmall(seed);
  console.log(JSON.stringify({ schedules: 1, seed, failures: problem === null ? [] : [{ seed, says: problem }] }));
  return problem === null ? 0 : 1;
};

const tellSmall = (seed: number): void => {
  const { says, trace, choices } = shrink(seed);
  console.log(`\nschedule ${seed}, made small (${choices.length} choices):`);
  for (const line of trace.slice(-traceMax)) console.log(`  ${line}`);
  console.log(`  ✗ ${says}\nThe whole of it: npm run simulate -- --seed ${seed} --only\n`);
};

type Sum = { schedules: number; failures: Told['failures'] };

/** All schedules, on as many threads as there are cores. */
const runAll = async ({ schedules, seed, seconds }: Asked, began: number): Promise<Sum> => {
  const threads = Math.min(availableParallelism(), schedules);
  const sum: Sum = { schedules: 0, failures: [] };
  const show = makeProgress(schedules, began);
  const untilMs = Date.now() + 1000 * seconds;
  await Promise.all(
    Array.from({ length: threads }, (_, at) => {
      const count = Math.floor(schedules / threads) + (at < schedules % threads ? 1 : 0);
      const part: Part = { from: seed + at, count, by: threads, untilMs, failuresMax };
      return runThread(part, ({ done, failures }) => {
        sum.schedules += done;
        sum.failures.push(...failures);
        show(sum);
      });
    }),
  );
  show(sum, true);
  sum.failures = sum.failures.slice(0, failuresMax);
  return sum;
};

const runThread = (part: Part, hear: (told: Told) => void): Promise<void> =>
  new Promise((resolve, reject) => {
    const thread = new Worker(new URL('../test/simulation/runner.ts', import.meta.url), { workerData: part });
    thread.on('message', hear);
    thread.once('error', reject);
    thread.once('exit', (code) => (code === 0 ? resolve() : reject(new Error(`a thread ended with ${code}`))));
  });

/** A line that is written over on a terminal; elsewhere nothing. */
const makeProgress = (schedules: number, began: number) => {
  let shownAt = 0;
  return (sum: Sum, over = false): void => {
    const now = performance.now();
    if (!process.stderr.isTTY || (!over && now - shownAt < 200)) return;
    shownAt = now;
    const rate = Math.round(sum.schedules / ((now - began) / 1000));
    process.stderr.write(`\r${sum.schedules} of ${schedules}, ${rate} a second, ${sum.failures.length} failed `);
    if (over) process.stderr.write('\n');
  };
};

process.exitCode = await main();
