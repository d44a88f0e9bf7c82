/** Chance that can be repeated: the same seed makes the same choices. */

export type Random = ReturnType<typeof openRandom>;

/** A small generator (mulberry32) with the questions that a schedule asks. */
export const openRandom = (seed: number) => {
  let state = seed >>> 0;
  /** At least 0, less than 1. */
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
  const below = (limit: number): number => Math.floor(next() * limit);
  return {
    below,
    /** From `least` to `most`, both included. */
    between: (least: number, most: number): number => least + below(most - least + 1),
    chance: (probability: number): boolean => next() < probability,
    pick: <T>(values: readonly T[]): T => values[below(values.length)] as T,
    /** Takes one out of the list, whichever. */
    draw: <T>(values: T[]): T => values.splice(below(values.length), 1)[0] as T,
    some: <T>(values: readonly T[], probability: number): T[] => values.filter(() => next() < probability),
  };
};
