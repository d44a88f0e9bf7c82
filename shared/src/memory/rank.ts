/**
 * Which of the memories that were found come first: how well they fit, by words and by meaning, and their worth.
 *
 * Two orders, by words and by vectors, are joined by their ranks (reciprocal rank fusion): their scores are of two
 * kinds, their ranks are not. Importance and age then weigh, but never decide alone.
 */
import type { Memory } from './shape.ts';

export type Found = {
  memory: Memory;
  /** The BM25 score; 0 where no word is shared. */
  score: number;
  /** The share of the question's weight that it answers, 0 to 1. */
  fit: number;
  /** How many words of the question it holds. */
  shared: number;
  /** Likeness of meaning, 0 to 1; null where it was not found so. */
  likeness: number | null;
};

export type Ranked = Found & { rank: number };

/** Softens the difference between the first ranks; 60 is what its inventors use, and most others. */
const fusion = 60;

/** In order, the best first. */
export const rank = (found: readonly Found[], { now, halfLifeMs }: { now: number; halfLifeMs: number }): Ranked[] => {
  const byWords = found.filter(({ score }) => score > 0).sort((one, other) => other.score - one.score);
  const byMeaning = found
    .filter(({ likeness }) => likeness !== null)
    .sort((one, other) => (other.likeness ?? 0) - (one.likeness ?? 0));
  const top = byWords[0]?.score ?? 1;
  const isFused = byMeaning.length > 0;
  const relevance = (one: Found): number => {
    if (!isFused) return one.score / top;
    return [byWords.indexOf(one), byMeaning.indexOf(one)]
      .filter((place) => place >= 0)
      .reduce((sum, place) => sum + fusion / 2 / (fusion + place), 0);
  };
  const worth = ({ memory }: Found): number => {
    const age = Math.max(0, now - Date.parse(memory.last_used_at ?? memory.created_at));
    return 0.5 + 0.5 * memory.importance * 0.5 ** (age / halfLifeMs);
  };
  return found
    .map((one) => ({ ...one, rank: relevance(one) * worth(one) }))
    .sort((one, other) => other.rank - one.rank || other.memory.created_at.localeCompare(one.memory.created_at));
};
