/**
 * What recall promises of its answers where memories are many: the planted one is found, the answer is what a look at
 * every memory would give, or nearly, and for that little is read.
 */
import type { Read, Side } from '@nexus/shared/bus';
import { loadConfig } from '@nexus/shared/config';
import { type Memories, memoryConfig, openMemory } from '@nexus/shared/memory';
import { silentLog } from '@nexus/shared/telemetry';
import { expect, test } from 'vitest';
import { impactsOf, wordsOf } from '../../../shared/src/memory/words.ts';
import { openRandom } from '../../simulation/random.ts';
import { testFabric } from '../../tools/redis.ts';

const many = 3000;
const settings = { ...loadConfig(memoryConfig, {}), memoriesMax: 100_000 };
const scopes = ['agent:builder', 'project:shop', 'shared'] as const;

/** Texts as people and programs write them: by Zipf's law, each with a head of six words that are seldom. */
const openTexts = () => {
  const { below } = openRandom(7);
  const next = (): number => below(1_000_000) / 1_000_000;
  const words = 20_000;
  const wordAt = (n: number) => `w${n.toString(26).replaceAll(/\d/g, (digit) => 'qrstuvwxyz'[Number(digit)] ?? '')}x`;
  const noise = (count: number) => Array.from({ length: count }, () => wordAt(Math.floor(words ** next()))).join(' ');
  const heads = Array.from({ length: many }, () =>
    Array.from({ length: 6 }, () => wordAt(200 + Math.floor(next() * (words - 200)))),
  );
  return { heads, noise, texts: heads.map((head) => `${head.join(' ')}\n${noise(60)}`) };
};

/** Counts what is read of the index. */
const counting = (side: Side) => {
  const read = { entries: 0, commands: 0, largest: 0 };
  const counted: Side = {
    ...side,
    read: async (commands: readonly Read[]) => {
      const rows = await side.read(commands);
      read.commands += commands.length;
      for (const [at, [command]] of commands.entries()) {
        if (command !== 'ZRANGE') continue;
        const count = (rows[at] as unknown[]).length;
        read.entries += count;
        read.largest = Math.max(read.largest, count);
      }
      return rows;
    },
  };
  return { read, side: counted };
};

const remember = async (memories: Memories, texts: readonly string[]): Promise<void> => {
  const source = { kind: 'note' as const, by: 'test', at: '2026-01-02T03:04:05.000Z' };
  for (let from = 0; from < texts.length; from += 200) {
    const some = texts.slice(from, from + 200);
    await Promise.all(
      some.map((content, n) => {
        const at = from + n;
        return memories.remember({ scope: scopes[at % 3] ?? 'shared', content, key: `${at}`, source });
      }),
    );
  }
};

/** The BM25 scores of all texts, each within its scope, with nothing left out. */
const exactly = (texts: readonly string[]) => {
  const found = texts.map((text) => new Map(impactsOf(wordsOf(text), settings.memoryWordsMax)));
  const total = texts.length / 3;
  const held = scopes.map((_, scope) => {
    const counts = new Map<string, number>();
    for (const [at, words] of found.entries()) {
      if (at % 3 === scope) for (const word of words.keys()) counts.set(word, (counts.get(word) ?? 0) + 1);
    }
    return counts;
  });
  return (question: string, countMax: number): number[] => {
    const asked = [...wordsOf(question)];
    const score = (at: number) =>
      asked.reduce((sum, [word, times]) => {
        const count = held[at % 3]?.get(word) ?? 0;
        const rarity = Math.log(1 + (50 + total - count + 0.5) / (count + 0.5)) * Math.min(2, times);
        return sum + (rarity * (found[at]?.get(word) ?? 0)) / 100;
      }, 0);
    const scores = texts.map((_, at) => score(at));
    return [...scores.keys()].sort((one, other) => (scores[other] ?? 0) - (scores[one] ?? 0)).slice(0, countMax);
  };
};

test('among thousands the planted memory is found by two of its words, as a look at all would, by a bounded read', {
  timeout: 120_000,
}, async () => {
  const bus = await testFabric().open('gateway', { observer: true });
  const { side, read } = counting(bus.side);
  const clock = Date.parse('2026-01-02T03:04:05.000Z');
  const redact = (text: string): string => text;
  const memories = openMemory({ side, keys: bus.keys, settings, redact, log: silentLog(), now: () => clock });
  const { heads, noise, texts } = openTexts();
  await remember(memories, texts);
  const bestOf = exactly(texts);
  const questions = 30;
  let [planted, same] = [0, 0];
  for (let n = 0; n < questions; n += 1) {
    const target = Math.floor((n / questions) * many);
    const [about, text] = [heads[target]?.slice(2, 4).join(' ') ?? '', noise(30)];
    const [entries, commands] = [read.entries, read.commands];
    const found = await memories.recall({ scopes, about, text, limit: 5 });
    // The last word that is read may exceed the budget by as much as any word may have.
    expect(read.entries - entries).toBeLessThanOrEqual(settings.memoryReadMax + 3 * 16);
    // How rare the words are, the tops of their lists, and what leads.
    expect(read.commands - commands).toBeLessThanOrEqual(2 * 3 + 3 * settings.memoryTermsMax + 4 * 5);
    const contents = found.map(({ memory }) => memory.content);
    if (contents.includes(texts[target] ?? '')) planted += 1;
    same += bestOf(`${about}\n${text}`, 5).filter((at) => contents.includes(texts[at] ?? '')).length;
  }
  // What holds the server up is one read, not their sum.
  expect(read.largest).toBeLessThanOrEqual(settings.memoryReadMax / 2);
  expect(planted).toBe(questions);
  expect(same / (5 * questions)).toBeGreaterThan(0.8);
});
