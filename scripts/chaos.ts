/**
 * `npm run chaos`: a fleet of real processes that is killed, paused, cut off, filled up and stopped while it works;
 * then a checker that shares no code with it looks whether anything was lost or done twice.
 *
 *   npm run chaos -- --tasks 300 --seed 7      that run again: the same seed makes the same choices
 *   npm run chaos                              20 tasks, a fresh seed, which is printed
 *                                              more tasks, too, until each kind of fault has happened
 *   npm run chaos -- --minutes 5               after five minutes nothing is started any more; what is open may end
 *   npm run chaos -- --only kill,redis         of kill, pause, redis, cut, disk, stop
 *   npm run chaos -- --fast                    shorter agents and pauses
 *   npm run chaos -- --quiet                   only the seed, what was found, and the line of JSON
 *   npm run chaos -- --keep                    keeps logs, hubs and Redis' files; kept anyway if something was found
 *
 * Standard output holds one line of JSON at the end: what was done and what was found. Every fault is told with its
 * time on standard error. Exit code 1 if a promise was broken, 2 for a wrong word, 130 after Ctrl-C.
 */
import { randomInt } from 'node:crypto';
import { type FaultKind, faultKinds } from '../test/chaos/fault-plan.ts';
import { runChaos } from '../test/chaos/run.ts';
import { readOptions } from './options.ts';

const { values } = readOptions(import.meta.filename, {
  options: {
    tasks: { type: 'string', default: '20' },
    seed: { type: 'string' },
    minutes: { type: 'string', default: '60' },
    only: { type: 'string', default: faultKinds.join(',') },
    open: { type: 'string', default: '12' },
    calm: { type: 'string', default: '180' },
    fast: { type: 'boolean', default: false },
    keep: { type: 'boolean', default: false },
    quiet: { type: 'boolean', default: false },
  },
});

const redraw = process.stderr.isTTY === true && process.env.TERM !== 'dumb';
const say = (line: string): void => {
  process.stderr.write(redraw ? `\r\u001b[K${line}\n` : `${line}\n`);
};
let shown = '';
const show = (line: string): void => {
  if (values.quiet) return;
  if (redraw) process.stderr.write(`\r\u001b[K${line.slice(0, process.stderr.columns ?? 120)}`);
  else if (line.replace(/^\d+ s/, '') !== shown) say(line);
  shown = line.replace(/^\d+ s/, '');
};

/** A whole number from `least` on, or a sentence about the option that says otherwise. */
const whole = (name: 'tasks' | 'seed' | 'open', text: string, least: number): number => {
  const number = Number(text);
  if (Number.isInteger(number) && number >= least) return number;
  throw new TypeError(`--${name} is a whole number from ${least} on, not ${text}`);
};

const chosen = (): FaultKind[] => {
  const only = values.only.split(',').filter((word) => word !== '') as FaultKind[];
  const unknown = only.filter((kind) => !faultKinds.includes(kind));
  if (unknown.length === 0) return only;
  throw new TypeError(`there is no fault ${unknown.join(', ')}; there are ${faultKinds.join(', ')}`);
};

const ending = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => ending.abort(signal));

const main = async (): Promise<number> => {
  const seed = whole('seed', values.seed ?? String(randomInt(2 ** 31)), 0);
  const tasks = whole('tasks', values.tasks, 1);
  const only = chosen();
  say(`chaos: ${tasks} tasks, seed ${seed}; again by: npm run chaos -- --tasks ${tasks} --seed ${seed}`);
  const result = await runChaos({
    ...{
      tasks,
      seed,
      only,
      show,
      say: values.quiet ? () => undefined : say,
      signal: ending.signal,
      fast: values.fast,
      keep: values.keep,
    },
    minutes: Number(values.minutes),
    openMax: whole('open', values.open, 1),
    calmMs: Number(values.calm) * 1000,
  });
  for (const violation of result.violations) say(`VIOLATION  ${violation}`);
  if (result.folder !== null) say(`kept: ${result.folder}`);
  process.stdout.write(`${JSON.stringify(result)}\n`);
  return result.violations.length === 0 ? 0 : 1;
};

try {
  process.exitCode = await main();
} catch (error) {
  const why = ending.signal.aborted ? ending.signal.reason : (error as Error).message;
  process.stdout.write(`${JSON.stringify({ violations: [`the run broke off: ${why}`] })}\n`);
  if (!ending.signal.aborted) process.stderr.write(`chaos: ${(error as Error).stack}\n`);
  process.exitCode = ending.signal.aborted ? 130 : error instanceof TypeError ? 2 : 1;
}
