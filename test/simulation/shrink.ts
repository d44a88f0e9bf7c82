/**
 * Makes a failing schedule small: choices are left out in chunks and made 0 for as long as it fails in the same way.
 */
import { choicesOf, runChoices } from './fleet.ts';
import type { WorldOptions } from './world.ts';

export type Failure = { seed: number; says: string; choices: number[]; trace: string[] };

/** What a schedule fails with, without the names and numbers that differ from run to run; null: it does not. */
export const problemOf = (run: () => unknown): string | null => {
  try {
    run();
    return null;
  } catch (error) {
    return (error as Error).message.split('\n')[0] ?? '';
  }
};

const kindOf = (problem: string | null): string | null => problem?.replaceAll(/\S*\d\S*/g, '#') ?? null;

/** The smallest schedule that was found within the time, with its trace. */
export const shrink = (seed: number, options: WorldOptions = {}, limitMs = 15_000): Failure => {
  const until = performance.now() + limitMs;
  let choices = choicesOf(seed, options);
  const kind = kindOf(problemOf(() => runChoices(choices, options)));
  const fails = (list: readonly number[]): boolean => kindOf(problemOf(() => runChoices(list, options))) === kind;
  for (let size = Math.ceil(choices.length / 2); size >= 1 && performance.now() < until; size = Math.floor(size / 2)) {
    for (let at = choices.length - size; at >= 0 && performance.now() < until; at -= size) {
      const without = choices.toSpliced(at, size);
      const zeroed = choices.toSpliced(at, size, ...Array.from({ length: size }, () => 0));
      if (fails(without)) choices = without;
      else if (choices.slice(at, at + size).some((one) => one > 0) && fails(zeroed)) choices = zeroed;
    }
  }
  const trace: string[] = [];
  const says = problemOf(() => runChoices(choices, { ...options, trace: (line) => trace.push(line) })) ?? '';
  return { seed, says, choices, trace };
};
