/** Which known word a misspelled one was meant to be. */

/** The nearest of the words, or null where none is near: other case, other separators, letters swapped, or one off. */
export const nearestOf = (word: string, words: readonly string[]): string | null => {
  const plain = lettersOf(word);
  const near = words
    .map((known) => ({ known, off: offBy(lettersOf(known), plain) }))
    .filter(({ known, off }) => off < 1 || (known.length > 5 && off <= (known.length > 8 ? 2 : 1)))
    .toSorted((one, other) => one.off - other.off);
  return near[0]?.known ?? null;
};

/** The same letters in another order are a slip of the fingers, also in a short word. */
const offBy = (known: string, word: string): number =>
  known === word ? 0 : [...known].sort().join('') === [...word].sort().join('') ? 0.5 : distance(known, word);

const lettersOf = (word: string): string => word.toLowerCase().replaceAll(/[^a-z0-9]/g, '');

/** How many letters have to be put in, left out or changed to make one word the other. */
const distance = (one: string, other: string): number => {
  let row = Array.from({ length: other.length + 1 }, (_, at) => at);
  for (let i = 1; i <= one.length; i++) {
    const next = [i];
    for (let j = 1; j <= other.length; j++) {
      const changed = (row[j - 1] as number) + (one[i - 1] === other[j - 1] ? 0 : 1);
      next.push(Math.min((row[j] as number) + 1, (next[j - 1] as number) + 1, changed));
    }
    row = next;
  }
  return row[other.length] as number;
};
