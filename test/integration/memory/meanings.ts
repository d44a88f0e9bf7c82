/** Recall by meaning, with an embedding of the test's own: texts that mean the same share a direction, and no word. */
import { openMemory } from '@nexus/shared/memory';
import { expect, test } from 'vitest';
import { checkMemory } from '../../chaos/check-memory.ts';
import { testFabric } from '../../tools/redis.ts';
import { keepingLog } from '../faults/standing.ts';

const directions: [RegExp, readonly number[]][] = [
  [/money|currency|cents/i, [1, 0, 0]],
  [/login|password|sign/i, [0, 1, 0]],
];
const settings = {
  ...{ memoriesMax: 100, memoryHalfLife: 1000, memoryForgetBelow: 0.02, memoryWordsMax: 64 },
  ...{ memoryPostingsMax: 4096, memoryReadMax: 2000, memoryTermsMax: 24, memoryLikeness: 0.75 },
};

const embedding = () => {
  const asked: string[] = [];
  let dimensions = 3;
  return {
    asked,
    grow: () => {
      dimensions += 1;
    },
    embed: async (texts: readonly string[]): Promise<number[][]> => {
      asked.push(...texts);
      return texts.map((text) => {
        const direction = directions.find(([words]) => words.test(text))?.[1] ?? [0, 0, 1];
        return [...direction, 0, 0].slice(0, dimensions);
      });
    },
  };
};

const openOn = async (url: string | undefined, embed: (texts: readonly string[]) => Promise<number[][]>) => {
  const fabric = testFabric(url);
  const { side, keys } = await fabric.open('gateway', { observer: true });
  const { log, lines } = keepingLog();
  const memories = openMemory({ side, keys, settings, redact: (text) => text, embed, log });
  const keysThere = () => fabric.redis.keys(`${fabric.config.prefix}:memory:*`);
  return {
    memories,
    keysThere,
    lines,
    remember: (content: string, scope = 'shared') => {
      const source = { kind: 'note' as const, by: 'ada', at: '2026-01-02T03:04:05.000Z' };
      return memories.remember({ scope, content, key: content, source });
    },
    found: async (text: string) =>
      (await memories.recall({ scopes: ['shared', 'agent:a'], text, limit: 5 })).map(({ memory }) => memory.content),
    audit: async () => checkMemory(fabric.redis, fabric.config.prefix, await keysThere()),
  };
};

/** With vector sets meaning helps; without them words alone decide, and nobody is asked for vectors for long. */
export const meanings = (url: string | undefined, hasVectors: boolean): void => {
  const what = hasVectors ? 'meaning finds what shares no word' : 'without vector sets words alone decide';
  test(`${what}, and every vector goes with its memory`, async () => {
    const { embed, asked } = embedding();
    const { remember, found, memories, keysThere, audit, lines } = await openOn(url, embed);
    await remember('Amounts are kept in cents');
    await remember('The login form is slow', 'agent:a');
    expect(await found('which currency do we use')).toEqual(hasVectors ? ['Amounts are kept in cents'] : []);
    expect(await found('sign in')).toEqual(hasVectors ? ['The login form is slow'] : []);
    expect(await found('slow form')).toContain('The login form is slow');
    const before = asked.length;
    await remember('Something else');
    expect(asked.length > before).toBe(hasVectors);
    const said = 'Memories are found by their words alone: this Redis has no vector sets';
    expect(lines.map(({ text }) => text)).toEqual(hasVectors ? [] : [said]);
    expect(await audit()).toEqual([]);
    for (const scope of ['shared', 'agent:a']) await memories.remove({ scope });
    expect(await keysThere()).toEqual([]);
  });

  test('an embedding that fails, or one of other dimensions, keeps nothing from being kept and found', async () => {
    const { embed, grow } = embedding();
    const { remember, found, lines } = await openOn(url, embed);
    await remember('Amounts are kept in cents');
    grow();
    expect(await found('amounts')).toEqual(['Amounts are kept in cents']);
    await remember('The currency is the euro');
    expect(await found('the euro')).toContain('The currency is the euro');
    expect(await found('money')).toEqual(hasVectors ? ['The currency is the euro'] : []);
    expect(lines.some(({ text }) => text.includes('of another model, and begin anew'))).toBe(hasVectors);
    const other = await openOn(url, () => Promise.reject(new Error('no such model')));
    await other.remember('Amounts are kept in cents');
    expect(await other.found('amounts')).toEqual(['Amounts are kept in cents']);
    expect(other.lines.map(({ text }) => text)).toEqual(['Memories are found by their words alone for now']);
  });
};
