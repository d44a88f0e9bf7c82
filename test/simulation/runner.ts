/**
 * Runs a part of many schedules in a thread of its own, and tells every now and then how far it is. What fails is
 * told as it comes; the seeds are those from `from` on, every `by`-th of them.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { runFleet } from './fleet.ts';
import { problemOf } from './shrink.ts';

export type Part = { from: number; count: number; by: number; untilMs: number; failuresMax: number };
export type Told = { done: number; failures: { seed: number; says: string }[]; over: boolean };

const toldEvery = 200;

/** Runs the part; `tell` hears of every 200 schedules and of the end. */
export const runPart = (part: Part, tell: (told: Told) => void): void => {
  let untold: Omit<Told, 'over'> = { done: 0, failures: [] };
  let failed = 0;
  for (let at = 0; at < part.count && failed < part.failuresMax && Date.now() < part.untilMs; at += 1) {
    const seed = (part.from + at * part.by) % 4_294_967_296;
    const says = problemOf(() => runFleet(seed));
    untold.done += 1;
    if (says !== null) {
      untold.failures.push({ seed, says });
      failed += 1;
    }
    if (untold.done < toldEvery) continue;
    tell({ ...untold, over: false });
    untold = { done: 0, failures: [] };
  }
  tell({ ...untold, over: true });
};

if (parentPort !== null) {
  const port = parentPort;
  runPart(workerData as Part, (told) => port.postMessage(told));
}
