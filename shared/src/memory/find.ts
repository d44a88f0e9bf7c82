/**
 * The memories that share words with a question, each with its BM25 score.
 *
 *   how rare each word is → the tops of the lists of the rarest → those that lead by these, as they lie → their scores
 *
 * Three round trips of small reads instead of one script: a script holds up the whole fabric for as long as it
 * computes, and most of that was moving ids into Lua and out of it. Here the longest single read takes the server
 * some ten microseconds, and what is left to compute is the asker's. No list is read to its end: the rarest words
 * come first, within a budget, so the time is the same in a huge scope; only the weakest contributions of common
 * words can be missed. What leads is then scored by all words of the question, from what lies with the memory itself.
 */
import type { Keys, Read, Side } from '@nexus/shared/bus';
import type { Found } from './rank.ts';
import type { MemorySettings } from './settings.ts';
import { fieldsOf, foundBy, readMemory } from './stored.ts';
import type { Words } from './words.ts';

export type Asked = {
  scopes: readonly string[];
  words: Words;
  /** So many at most, beside those that are wanted as well. */
  limit: number;
  /** Only what bears one of these. */
  tags?: readonly string[];
  /** Scope and id of what is wanted as well. */
  also?: readonly (readonly [scope: string, id: string])[];
};

type Source = { side: Side; keys: Keys; settings: Pick<MemorySettings, 'memoryReadMax' | 'memoryTermsMax'> };

/** A word of the question in a scope: how much it says there, and how many memories hold it. */
type Term = { word: string; rarity: number; held: number };
/** The terms of a scope, the weightiest first; `whole` is the weight of the question, with words that nobody holds. */
type Terms = { scope: string; terms: Term[]; rarities: ReadonlyMap<string, number>; whole: number };
/** What leads in the lists that were read. */
type Lead = { scope: string; id: string; score: number };

/** A question longer than that is about everything. */
const questionWordsMax = 48;
/** In a small scope most words are in most memories: so many without any are thought of beside those that there are. */
const background = 50;
/** What is read of a scope, and of a word, however many others are asked: less finds nothing. */
const scopeReadMin = 96;
const wordReadMin = 16;
/** Of a word whose impact was not kept with its memory. */
const usualImpact = 100;
/** Of the ids that bear a tag, so many go into one read. */
const askedAtOnce = 200;

/** In no order; with tags, also what shares no word. */
export const find = async (source: Source, asked: Asked): Promise<Found[]> => {
  const { side, keys } = source;
  const { limit, tags = [], also = [] } = asked;
  const all = await termsOf(source, asked);
  const leads = tags.length > 0 ? await tagged(source, all, tags) : await leading(source, all);
  const known = new Map(all.map((one) => [one.scope, one]));
  const chosen = new Map(best(leads, limit, all.length).map(({ id, scope }) => [id, scope]));
  for (const [scope, id] of also) if (known.has(scope)) chosen.set(id, scope);
  const rows = await side.read([...chosen.keys()].map((id): Read => ['HGETALL', keys.memory(id)]));
  return [...chosen].flatMap(([id, scope], at) => {
    const fields = fieldsOf(rows[at] as string[]);
    const [memory, terms] = [readMemory(id, fields), known.get(scope)];
    return memory === null || terms === undefined ? [] : [{ memory, ...scored(fields, terms), likeness: null }];
  });
};

/** How rare the words of a question are in each scope that holds anything; the smallest scope first. */
const termsOf = async ({ side, keys }: Source, { scopes, words }: Asked): Promise<Terms[]> => {
  const asked = [...new Set(scopes)];
  const weights = [...words].sort(([, one], [, other]) => other - one).slice(0, questionWordsMax);
  const names = weights.map(([word]) => word);
  const reads = asked.flatMap((scope): Read[] => [
    ['ZSCORE', keys.memoryScopes, scope],
    // No word, no field to ask for: the count of all stands in for an answer that nobody reads.
    names.length > 0 ? ['HMGET', keys.memoryWords(scope), ...names] : ['HLEN', keys.memoryWords(scope)],
  ]);
  const rows = await side.read(reads);
  return asked
    .map((scope, at) => ({ scope, total: Number(rows[2 * at] ?? 0), counts: rows[2 * at + 1] as (string | null)[] }))
    .filter(({ total }) => total > 0)
    .sort((one, other) => one.total - other.total)
    .map(({ scope, total, counts }) => {
      const all = weights.map(([word, times], at): Term => {
        const held = Number(counts[at] ?? 0);
        const rarity = Math.log(1 + (background + total - held + 0.5) / (held + 0.5)) * Math.min(2, times);
        return { word, held, rarity };
      });
      const terms = all.filter(({ held }) => held > 0).sort((one, other) => other.rarity - one.rarity);
      const rarities = new Map(terms.map(({ word, rarity }) => [word, rarity]));
      return { scope, terms, rarities, whole: all.reduce((sum, { rarity }) => sum + rarity, 0) };
    });
};

/** Reads the tops of the lists, the rarest words first: what a small scope leaves of its share is for the next. */
const leading = async ({ side, keys, settings }: Source, all: readonly Terms[]): Promise<Lead[]> => {
  const reads: { scope: string; rarity: number; read: Read }[] = [];
  let left = settings.memoryReadMax;
  for (const [at, { scope, terms }] of all.entries()) {
    const share = Math.max(scopeReadMin, left / (all.length - at));
    let ofScope = share;
    const rarest = terms.slice(0, settings.memoryTermsMax);
    for (const [nth, { word, rarity, held }] of rarest.entries()) {
      if (ofScope < 1) break;
      // No word may use up what others need.
      const countMax = Math.max(wordReadMin, Math.floor(ofScope / Math.min(4, rarest.length - nth)));
      const read: Read = ['ZRANGE', keys.memoryWord(scope, word), 0, countMax - 1, 'REV', 'WITHSCORES'];
      reads.push({ scope, rarity, read });
      ofScope -= Math.min(countMax, held);
    }
    left -= share - ofScope;
  }
  const rows = await side.read(reads.map(({ read }) => read));
  const leads = new Map<string, Lead>();
  for (const [at, { scope, rarity }] of reads.entries()) {
    for (const [id, impact] of pairs(rows[at])) add(leads, scope, id, (rarity * Number(impact)) / 100);
  }
  return [...leads.values()];
};

/** Who bears one of the tags, and nobody else, with the weight of the words that it holds. */
const tagged = async ({ side, keys, settings }: Source, all: readonly Terms[], tags: readonly string[]) => {
  const last = settings.memoryReadMax - 1;
  const asked = all.flatMap(({ scope, terms }) => tags.map((tag) => ({ scope, terms, tag })));
  const lists = await side.read(
    asked.map(({ scope, tag }): Read => ['ZRANGE', keys.memoryWord(scope, `#${tag}`), 0, last, 'REV']),
  );
  const leads = new Map<string, Lead>();
  const reads: { scope: string; ids: string[]; rarity: number; read: Read }[] = [];
  for (const [at, { scope, terms }] of asked.entries()) {
    const bearing = (lists[at] as string[]).filter((id) => !leads.has(id));
    for (const id of bearing) add(leads, scope, id, 0);
    for (let from = 0; from < bearing.length; from += askedAtOnce) {
      const ids = bearing.slice(from, from + askedAtOnce);
      for (const { word, rarity } of terms.slice(0, settings.memoryTermsMax)) {
        reads.push({ scope, ids, rarity, read: ['ZMSCORE', keys.memoryWord(scope, word), ...ids] });
      }
    }
  }
  const rows = await side.read(reads.map(({ read }) => read));
  for (const [at, { scope, ids, rarity }] of reads.entries()) {
    const impacts = rows[at] as (string | null)[];
    for (const [n, id] of ids.entries()) add(leads, scope, id, (rarity * Number(impacts[n] ?? 0)) / 100);
  }
  return [...leads.values()];
};

const add = (leads: Map<string, Lead>, scope: string, id: string, score: number): void => {
  const lead = leads.get(id);
  if (lead === undefined) leads.set(id, { scope, id, score });
  else lead.score += score;
};

/** The best of them; where several scopes are asked, none has more than half: its asker may want none of these. */
const best = (leads: Lead[], limit: number, scopes: number): Lead[] => {
  const counts = new Map<string, number>();
  const countMax = scopes > 1 ? Math.ceil(limit / 2) : limit;
  return leads
    .sort((one, other) => other.score - one.score || (one.id < other.id ? -1 : 1))
    .filter(({ scope }) => {
      const count = (counts.get(scope) ?? 0) + 1;
      counts.set(scope, count);
      return count <= countMax;
    })
    .slice(0, limit);
};

/** The score by all words of the question, the share of its weight that is answered, and the words that are shared. */
const scored = (fields: ReadonlyMap<string, string>, { rarities, whole }: Terms) => {
  const [words, impacts] = foundBy(fields);
  let [score, answered, shared] = [0, 0, 0];
  for (const [at, word] of words.entries()) {
    const rarity = rarities.get(word);
    if (rarity === undefined) continue;
    score += (rarity * Number(impacts[at] || usualImpact)) / 100;
    answered += rarity;
    shared += 1;
  }
  return { score, fit: whole > 0 ? answered / whole : 0, shared };
};

/** Members with their scores, which the client gives flat or in pairs, by its version. */
export const pairs = (rows: unknown): [string, string][] => {
  if (Array.isArray((rows as unknown[])[0])) return rows as [string, string][];
  const flat = rows as string[];
  return flat.flatMap((value, at): [string, string][] => (at % 2 === 0 ? [[value, flat[at + 1] ?? '']] : []));
};
