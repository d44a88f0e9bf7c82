import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadConfig } from '@nexus/shared/config';
import { expect, onTestFinished, test } from 'vitest';
import { openPrices } from './prices.ts';
import { spendConfig } from './settings.ts';

const day = new Date('2026-11-01T00:00:00Z');
const usage = (input: number, output: number, read = 0, write = 0) => ({
  input_tokens: input,
  output_tokens: output,
  cache_read_tokens: read,
  cache_write_tokens: write,
});

const fileOf = (value: unknown): string => {
  const folder = mkdtempSync(join(tmpdir(), 'nexus-prices-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  writeFileSync(join(folder, 'prices.json'), typeof value === 'string' ? value : JSON.stringify(value));
  return join(folder, 'prices.json');
};

test('a call is priced by its tokens, those from and to the cache apart', () => {
  const { costOf, priceOf } = openPrices();
  expect(priceOf('claude-opus-5-5', day)).toMatchObject({
    inputUsdPerMTok: 4,
    outputUsdPerMTok: 20,
    asOf: '2026-10-24',
  });
  expect(costOf('claude-opus-5-5', usage(100_000, 10_000, 1_000_000, 20_000), day)).toBeCloseTo(0.4 + 0.2 + 0.2 + 0.1);
  expect(costOf('gpt-5-mini', usage(1_000_000, 0, 1_000_000), day)).toBeCloseTo(0.275);
});

test('the names that providers, platforms and people use mean the same row', () => {
  const { priceOf, nameOf } = openPrices();
  const opus = ['opus', 'claude-opus-5-5', 'claude-opus-5-5[1m]', 'anthropic/claude-opus-5-5', 'Claude-Opus-5-5'];
  expect(opus.map((name) => nameOf(name))).toEqual(opus.map(() => 'claude-opus-5-5'));
  expect(nameOf('us.anthropic.claude-sonnet-4-5-20250929-v1:0')).toBe('claude-sonnet-4-5');
  expect(nameOf('claude-opus-4@20250514')).toBe('claude-opus-4');
  expect(nameOf('gpt-5-2025-08-07')).toBe('gpt-5');
  expect(priceOf('haiku', day)?.inputUsdPerMTok).toBe(0.1);
});

test('a model that nobody knows has no price: not zero, and not that of its family', () => {
  const { priceOf, costOf } = openPrices();
  for (const name of ['claude-opus-9', 'gpt-5-super', 'my-model', '', 'constructor']) {
    expect([name, priceOf(name, day), costOf(name, usage(1000, 1000), day)]).toEqual([name, null, null]);
  }
});

test('a row holds from its day on', () => {
  const { priceOf } = openPrices();
  const reads = ['2026-10-01', '2026-10-07', '2026-11-20'].map(
    (date) => priceOf('claude-sonnet-5-5', new Date(date))?.cacheReadUsdPerMTok,
  );
  expect(reads).toEqual([0.2, 0.1, 0.1]);
});

test('a prompt that is longer than its tier costs what the longer one does, all of it', () => {
  const { costOf } = openPrices();
  expect(costOf('haiku', usage(60_000, 1000, 40_000), day)).toBeCloseTo(0.006 + 0.0005 + 0.0004);
  expect(costOf('haiku', usage(60_001, 1000, 40_000), day)).toBeCloseTo(0.03 + 0.0025 + 0.002, 4);
});

test('a file of a person adds models, and stands in place of rows of the table', () => {
  const file = fileOf({
    as_of: '2026-11-02',
    aliases: { mine: 'my-model' },
    models: {
      'my-model': { input: 1, output: 4 },
      'gpt-5': [{ input: 9, output: 9 }],
      'http://host/Local': { input: 0, output: 0 },
    },
  });
  const { priceOf, costOf } = openPrices(file);
  expect(priceOf('mine', day)).toMatchObject({ inputUsdPerMTok: 1, asOf: '2026-11-02' });
  // Without a price of its own, what comes from the cache costs what else it would.
  expect(costOf('my-model', usage(0, 0, 1_000_000), day)).toBe(1);
  expect(priceOf('gpt-5', day)?.inputUsdPerMTok).toBe(9);
  expect(priceOf('gpt-5-mini', day)?.inputUsdPerMTok).toBe(0.25);
  // Zero is a price where a person says so.
  expect(costOf('http://host/Local', usage(1000, 1000), day)).toBe(0);
});

test('a file of prices that cannot be used is refused with its name and what is wrong', () => {
  const wrong: [unknown, RegExp][] = [
    ['{"models":', /JSON/],
    [{ models: { x: { input: -1, output: 1 } } }, /models\.x\.0\.input/],
    [{ models: { x: { input: 1 } } }, /models\.x\.0\.output/],
    [{ models: { x: { input: 1, output: 1, price: 3 } } }, /price/],
  ];
  for (const [value, says] of wrong) {
    const file = fileOf(value);
    const refused = expect.objectContaining({ code: 'PRICES_INVALID', message: expect.stringMatching(says) });
    expect(() => openPrices(file)).toThrow(refused);
    expect(() => openPrices(file)).toThrow(expect.objectContaining({ details: expect.objectContaining({ file }) }));
  }
  expect(() => openPrices('/nowhere/prices.json')).toThrow(expect.objectContaining({ code: 'PRICES_INVALID' }));
});

test('a budget of zero, less, or no number is refused by its setting, and no limit is none', () => {
  for (const value of ['0', '-1', 'much', '0.0']) {
    expect(() => loadConfig(spendConfig, { NEXUS_BUDGET_DAY_USD: value })).toThrow(
      /NEXUS_BUDGET_DAY_USD is ".*": expected an amount above 0; left out, there is no limit/,
    );
  }
  expect(() => loadConfig(spendConfig, { NEXUS_BUDGET_TASK_TOKENS: '0' })).toThrow(/NEXUS_BUDGET_TASK_TOKENS/);
  expect(() => loadConfig(spendConfig, { NEXUS_PROVIDER_RATES: 'openai=many' })).toThrow(/openai=500\/m/);
  const config = loadConfig(spendConfig, { NEXUS_PROVIDER_RATES: 'openai=500/m, anthropic:claude-opus-5-5=50/m' });
  expect(config.budgetDayUsd).toBe(undefined);
  expect([...config.rates]).toEqual([
    ['openai', 500],
    ['anthropic:claude-opus-5-5', 50],
  ]);
});
