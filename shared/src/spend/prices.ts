/**
 * What models cost: `price-table.json`, with the day from which each row holds, and what a person adds to it by
 * NEXUS_PRICES. A model that stands in neither has no price; nothing is ever taken for free because it is not known.
 */
import { readFileSync } from 'node:fs';
import { fail } from '@nexus/shared/errors';
import { z } from 'zod';
import type { Usage } from './gate.ts';

/** USD per million tokens. */
export type Price = {
  inputUsdPerMTok: number;
  outputUsdPerMTok: number;
  cacheReadUsdPerMTok: number;
  cacheWriteUsdPerMTok: number;
  /** The day on which the row was last compared with the provider's list. */
  asOf: string;
  /** What a call costs whose prompt, caches included, is longer than that. */
  above: (Omit<Price, 'asOf' | 'above'> & { promptTokens: number }) | null;
};

export type Prices = {
  /** The price of a model as its provider, a CLI or a person names it; null if nobody knows it. */
  priceOf(model: string, at?: Date): Price | null;
  /** The name under which a model stands in the table; one that does not, as it is called. */
  nameOf(model: string): string;
  /** What one call costs in USD; null if the model has no price. Of several calls together it is only near. */
  costOf(model: string, usage: Usage, at?: Date): number | null;
};

const amount = z.number().nonnegative();
const rates = { input: amount, output: amount, cache_read: amount.optional(), cache_write: amount.optional() };
const day = z.iso.date();
const row = z.strictObject({
  ...rates,
  from: day.optional(),
  as_of: day.optional(),
  above: z.strictObject({ ...rates, prompt_tokens: z.int().positive() }).optional(),
});
/** A file of prices: one row a model, or several with the days from which they hold. */
const priceFile = z.strictObject({
  says: z.string().optional(),
  as_of: day.optional(),
  sources: z.array(z.string()).optional(),
  aliases: z.record(z.string(), z.string()).default({}),
  models: z.record(
    z.string(),
    z.preprocess((value) => (Array.isArray(value) ? value : [value]), z.array(row).min(1)),
  ),
});
type PriceFile = z.infer<typeof priceFile>;
type Row = z.infer<typeof row>;

/** Opens the table, with a person's own file of prices over it. Throws `PRICES_INVALID`, which names file and field. */
export const openPrices = (file?: string | undefined): Prices => {
  const ours = readPrices(new URL('./price-table.json', import.meta.url).pathname);
  const theirs = file === undefined ? { aliases: {}, models: {} } : readPrices(file);
  const models = { ...ours.models, ...theirs.models };
  const aliases = { ...ours.aliases, ...theirs.aliases };
  const since = (name: string): string => (name in theirs.models ? theirs.as_of : undefined) ?? ours.as_of ?? '';
  const find = (model: string) => namesOf(model, aliases).find((one) => Object.hasOwn(models, one));
  const priceOf: Prices['priceOf'] = (model, at = new Date()) => {
    const name = find(model);
    const rows = name === undefined ? undefined : models[name];
    if (name === undefined || rows === undefined) return null;
    const today = at.toISOString().slice(0, 10);
    const found = rows.filter(({ from = '' }) => from <= today).toSorted((one, other) => order(one, other));
    const last = found.at(-1);
    return last === undefined ? null : priceFrom(last, last.as_of ?? since(name));
  };
  return {
    priceOf,
    nameOf: (model) => find(model) ?? model,
    costOf: (model, usage, at) => {
      const price = priceOf(model, at);
      return price === null ? null : costAt(price, usage);
    },
  };
};

const order = ({ from: one = '' }: Row, { from: other = '' }: Row): number => (one < other ? -1 : one > other ? 1 : 0);

/** What a call costs at a price. */
export const costAt = (price: Price, usage: Usage): number => {
  const prompt = usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens;
  const rate = price.above !== null && prompt > price.above.promptTokens ? price.above : price;
  const micro =
    usage.input_tokens * rate.inputUsdPerMTok +
    usage.output_tokens * rate.outputUsdPerMTok +
    usage.cache_read_tokens * rate.cacheReadUsdPerMTok +
    usage.cache_write_tokens * rate.cacheWriteUsdPerMTok;
  return micro / 1e6;
};

const readPrices = (file: string): PriceFile => {
  const invalid = (problem: string) => fail('PRICES_INVALID', { file, problem });
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    throw invalid((error as Error).message);
  }
  const read = priceFile.safeParse(value);
  if (read.success) return read.data;
  throw invalid(read.error.issues.map((issue) => `${issue.path.join('.') || 'the file'}: ${issue.message}`).join('; '));
};

/** Without a price of its own a cache is charged like what it holds: never too little. */
const ratesOf = (given: Pick<Row, 'input' | 'output' | 'cache_read' | 'cache_write'>) => ({
  inputUsdPerMTok: given.input,
  outputUsdPerMTok: given.output,
  cacheReadUsdPerMTok: given.cache_read ?? given.input,
  cacheWriteUsdPerMTok: given.cache_write ?? given.input,
});

const priceFrom = (given: Row, asOf: string): Price => ({
  ...ratesOf(given),
  asOf,
  above: given.above ? { ...ratesOf(given.above), promptTokens: given.above.prompt_tokens } : null,
});

/**
 * The names under which a model may stand in the table, the closest first: as it is called, as what an alias stands
 * for, without what routes and platforms put before it, without the day of its release, or a context's size.
 */
const namesOf = (model: string, aliases: Readonly<Record<string, string>>): string[] => {
  const given = model.trim();
  const plain = given
    .toLowerCase()
    .replace(/^.*\//, '')
    .replace(/^(?:[a-z]+\.)?anthropic\./, '')
    .replace(/\[1m\]$/, '')
    .replace(/-v\d+(?::\d+)?$/, '')
    .replace(/@/, '-');
  const undated = plain.replace(/-(?:\d{8}|\d{4}-\d{2}-\d{2}|latest|0)$/, '');
  return [given, plain, undated].flatMap((name) => [name, ...(aliases[name] === undefined ? [] : [aliases[name]])]);
};
