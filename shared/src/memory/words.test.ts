import { describe, expect, test } from 'vitest';
import { fingerprintOf, impactsOf, likeness, wordsOf } from './words.ts';

const listed = (text: string) => [...wordsOf(text).keys()];

describe('the words of a text', () => {
  test('are lower case, without stop words, plural endings and accents', () => {
    expect(listed('The Tests of the Café were failing')).toEqual(['test', 'cafe', 'failing']);
  });

  test('hold names of code whole and in their parts', () => {
    expect(listed('parseCsvFile')).toEqual(['parsecsvfile', 'parse', 'csv', 'file']);
    expect(listed('AGENT_FAILED')).toEqual(['agentfailed', 'agent', 'failed']);
    expect(listed('HTTPServer2')).toEqual(['httpserver2', 'http', 'server2']);
  });

  test('leave digests and long numbers out, and keep short ones', () => {
    expect(listed('commit 3f2a9c0d1e4b at 1763655301 answered 404')).toEqual(['commit', 'answered', '404']);
  });

  test('are pairs of letters where a script has no blanks', () => {
    expect(listed('日本語')).toEqual(['日本', '本語']);
  });

  test('count twice in the first line, which says what it is about', () => {
    expect(Object.fromEntries(wordsOf('export\nexport csv'))).toEqual({ export: 3, csv: 1 });
  });

  test('are none where there is nothing to say', () => {
    expect(listed(' \n…!')).toEqual([]);
  });
});

describe('the impact of a word', () => {
  test('grows with repetition, less and less, and never beyond its limit', () => {
    const impact = (times: number) => impactsOf(wordsOf(`a\n${'word '.repeat(times)}`), 9)[0]?.[1] ?? 0;
    expect(impact(2) - impact(1)).toBeGreaterThan(impact(8) - impact(7));
    expect(impact(1000)).toBeLessThanOrEqual(220);
  });

  test('is smaller in a long text than in a short one', () => {
    const long = `x\nneedle ${Array.from({ length: 200 }, (_, at) => `word${at}`).join(' ')}`;
    const of = (text: string) => new Map(impactsOf(wordsOf(text), 500)).get('needle') ?? 0;
    expect(of(long)).toBeLessThan(of('x\nneedle'));
  });

  test('chooses the words that are kept', () => {
    expect(impactsOf(wordsOf('x\nrare common common common'), 1).map(([word]) => word)).toEqual(['common']);
  });
});

describe('sameness', () => {
  test('looks away from numbers, digests and order', () => {
    const one = fingerprintOf(wordsOf('x\n3 tests failed after 120 ms at 9f8e7d6c5b4a'));
    expect(fingerprintOf(wordsOf('x\nafter 97 ms failed 4 tests'))).toBe(one);
    expect(fingerprintOf(wordsOf('x\n3 checks failed after 120 ms'))).not.toBe(one);
  });

  test('is told in degrees', () => {
    const set = (text: string) => new Set(wordsOf(text).keys());
    expect(likeness(set('red green blue'), set('red green blue'))).toBe(1);
    expect(likeness(set('red green blue'), set('red green yellow'))).toBe(0.5);
    expect(likeness(set(''), set(''))).toBe(0);
  });
});
