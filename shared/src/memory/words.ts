/**
 * From a text to the words that it is found by, and what each is worth.
 *
 * Words are lower case, without accents and plural endings; names of code count whole and in their parts
 * (`parseCsvFile`: parsecsvfile, parse, csv, file); where a script has no blanks, pairs of letters stand for words. The
 * impact of a word is its share of a BM25 score that needs no look at other texts: how often it stands there,
 * saturated, and damped by length against a fixed average. So postings never have to be written anew; how rare a word
 * is comes in when something is looked for.
 */
import { createHash } from 'node:crypto';

/** Word → how often it stands in a text; in the first line it counts twice, since that says what it is about. */
export type Words = Map<string, number>;

/** BM25: how fast repetition saturates, how much length damps, and the length that is neither long nor short. */
const saturation = 1.2;
const damping = 0.75;
const usualLength = 60;

/** The words of a text, in the order in which they stand. */
export const wordsOf = (text: string): Words => {
  const found: Words = new Map();
  const head = text.indexOf('\n');
  count(found, head === -1 ? text : text.slice(0, head), 2);
  if (head !== -1) count(found, text.slice(head), 1);
  return found;
};

/** The words that a text is found by, each with its impact in hundredths, the weightiest first: at most so many. */
export const impactsOf = (words: Words, countMax: number): [word: string, impact: number][] => {
  let length = 0;
  for (const times of words.values()) length += times;
  const norm = saturation * (1 - damping + (damping * length) / usualLength);
  return [...words]
    .map(([word, times]): [string, number] => [word, round((times * (saturation + 1)) / (times + norm))])
    .sort(([, one], [, other]) => other - one)
    .slice(0, countMax);
};

/** Equal for texts that say the same in other numbers: ids, times and counts are left out, and so is the order. */
export const fingerprintOf = (words: Words): string =>
  createHash('sha256')
    .update(
      [...words.keys()]
        .filter((word) => !/\d/.test(word))
        .sort()
        .join(' '),
    )
    .digest('base64url')
    .slice(0, 16);

/** How much two texts have in common, 0 to 1: the words of both against the words of either. */
export const likeness = (one: ReadonlySet<string>, other: ReadonlySet<string>): number => {
  if (one.size === 0 || other.size === 0) return 0;
  const both = one.intersection(other).size;
  return both / (one.size + other.size - both);
};

/** In hundredths, as whole numbers: Redis keeps and tells these in a fraction of the room and time of others. */
const round = (value: number): number => Math.round(value * 100);

const count = (found: Words, text: string, times: number): void => {
  const plain = text
    .normalize('NFKD')
    .replaceAll(/\p{Mn}+/gu, '')
    .normalize('NFC');
  for (const [run] of plain.matchAll(/[\p{L}\p{N}_$]+/gu)) {
    for (const word of partsOf(run)) found.set(word, (found.get(word) ?? 0) + times);
  }
};

const unspaced = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}]/u;

const partsOf = (run: string): string[] => {
  if (unspaced.test(run)) return pairsOf([...run.toLowerCase()]);
  const whole = run.replaceAll(/[_$]+/g, '');
  const parts = run.split(/[_$]+|(?<=\p{Ll}|\d)(?=\p{Lu})|(?<=\p{Lu})(?=\p{Lu}\p{Ll})/u).filter((part) => part !== '');
  const words = parts.length > 1 ? [whole, ...parts] : [whole];
  return words.map((word) => stem(word.toLowerCase())).filter(isWord);
};

const pairsOf = (letters: string[]): string[] =>
  letters.length === 1 ? letters : letters.slice(1).map((letter, at) => `${letters[at]}${letter}`);

/** Plural endings only: more would make other names of names. */
const stem = (word: string): string => {
  if (word.length < 4 || !word.endsWith('s') || /(ss|us|is)$/.test(word)) return word;
  return word.endsWith('ies') && word.length > 4 ? `${word.slice(0, -3)}y` : word.slice(0, -1);
};

/** Digests, long numbers and what stands in every text say nothing. */
const isWord = (word: string): boolean =>
  word.length >= 2 && word.length <= 40 && !stopWords.has(word) && !/^(?:\d{5,}|(?=[a-z]*\d)[0-9a-f]{10,})$/.test(word);

const stopWords = new Set(
  (
    'the and for that this with from are was were been have has had not but they them their then than there here ' +
    'when what which who will would can could should may might must shall into onto over under about after before ' +
    'between out off its it is as at be by do does did done if in no of on or so to up us we you your our he she ' +
    'his her an a i me my all any each more most other some such only own same too very just also how why where ' +
    'because while'
  ).split(' '),
);
