/**
 * Where a schedule's chance comes from: a seed, or the list of choices that an earlier run took. With a list,
 * choices can be left out and made smaller, and the schedule stays one; 0 is always the choice that does no harm.
 */
import { openRandom, type Random } from './random.ts';

export type Choices = Random & { readonly taken: readonly number[] };

/** Chooses by a seed. With `keep` it remembers what it chose, so that the same can be chosen again. */
export const chooseBySeed = (seed: number, keep = false): Choices => {
  const random = openRandom(seed);
  const taken: number[] = [];
  return makeChoices(taken, (limit) => {
    const chosen = random.below(limit);
    if (keep) taken.push(chosen);
    return chosen;
  });
};

/** Chooses as the list says, and 0 once it is used up. */
export const chooseAgain = (list: readonly number[]): Choices => {
  let at = 0;
  return makeChoices(list, (limit) => {
    const chosen = list[at] ?? 0;
    at += 1;
    return chosen < limit ? chosen : limit - 1;
  });
};

const fine = 4096;

const makeChoices = (taken: readonly number[], below: (limit: number) => number): Choices => {
  const chance = (probability: number): boolean => probability > 0 && below(fine) >= fine * (1 - probability);
  return {
    taken,
    below,
    between: (least, most) => least + below(most - least + 1),
    chance,
    pick: <T>(values: readonly T[]): T => values[below(values.length)] as T,
    draw: <T>(values: T[]): T => values.splice(below(values.length), 1)[0] as T,
    some: <T>(values: readonly T[], probability: number): T[] => values.filter(() => chance(probability)),
  };
};
