import { expect, test } from 'vitest';
import { type Found, rank } from './rank.ts';

const now = Date.parse('2026-02-01T00:00:00Z');
const dayMs = 86_400_000;
const found = (id: string, more: Partial<Found> & { importance?: number; ageDays?: number } = {}): Found => {
  const { importance = 0.5, ageDays = 0, ...rest } = more;
  const created_at = new Date(now - ageDays * dayMs).toISOString();
  const memory = { id, scope: 'shared', content: id, tags: [], importance, kind: 'note' as const };
  return {
    memory: { ...memory, sources: [], times: 1, created_at, last_used_at: null, uses: 0 },
    ...{ score: 1, fit: 1, shared: 3, likeness: null, ...rest },
  };
};
const order = (...all: Found[]) => rank(all, { now, halfLifeMs: 30 * dayMs }).map(({ memory }) => memory.id);

test('what fits better comes first', () => {
  expect(order(found('less', { score: 2 }), found('more', { score: 5 }))).toEqual(['more', 'less']);
});

test('of what fits alike the more important and the younger comes first', () => {
  expect(order(found('minor', { importance: 0.1 }), found('major', { importance: 0.9 }))).toEqual(['major', 'minor']);
  expect(order(found('old', { ageDays: 200 }), found('young', { ageDays: 1 }))).toEqual(['young', 'old']);
});

test('importance and age never bring forward what fits much less', () => {
  expect(
    order(found('fits', { score: 5, importance: 0, ageDays: 999 }), found('new', { score: 2, importance: 1 })),
  ).toEqual(['fits', 'new']);
});

test('what both words and meaning find comes before what one of them finds', () => {
  const both = found('both', { score: 3, likeness: 0.8 });
  const words = found('words', { score: 4 });
  const meaning = found('meaning', { score: 0, likeness: 0.9 });
  expect(order(words, meaning, both)[0]).toBe('both');
});
