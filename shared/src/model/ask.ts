/**
 * A question with an answer of a known shape: what NEXUS itself asks a model, to plan for example.
 *
 * The answer is held to its schema and to what else it has to satisfy; one that does not hold goes back with all that
 * is wrong with it, a bounded number of times. Who answers is a setting: a server (`ask-server.ts`) or Claude's CLI
 * (`ask-claude.ts`). Where nobody is configured there is no model, and whoever would ask does without.
 */
import { type AppError, fail, isFailure } from '@nexus/shared/errors';
import type { z } from 'zod';
import type { Gate } from './call.ts';
import type { Usage } from './chat.ts';
import { strictSchema } from './schema.ts';

export type Question<T> = {
  /** What is asked for, as one word: the name of the schema. */
  name: string;
  prompt: string;
  system?: string;
  /** Without optional properties: what may be missing is nullable. */
  schema: z.ZodType<T>;
  /** What else is wrong with an answer, a sentence each. */
  check?: (value: T) => string[];
  /** Another model than the configured one. */
  model?: string;
  signal: AbortSignal;
  /** For all tries together. */
  timeoutMs: number;
  gate?: Gate | undefined;
};

export type Answer<T> = {
  value: T;
  usage: Usage;
  model: string;
  /** Null: nobody knows the price. */
  usd: number | null;
  /** The price is what it would have cost; a subscription pays it. */
  notional: boolean;
  tries: number;
};

export type Model = {
  /** For people: which model, where. */
  says: string;
  /**
   * Throws `MODEL_ANSWER_INVALID` when no answer holds, `MODEL_TIMEOUT`, what a call of a model fails with, what the
   * gate throws, or the signal's reason.
   */
  ask<T>(question: Question<T>): Promise<Answer<T>>;
};

/** One turn of whoever answers: the question, and what was wrong with the answers before. */
export type Turn = {
  name: string;
  system: string;
  prompt: string;
  schema: Record<string, unknown>;
  /** Earlier answers with what was wrong with each. */
  before: { text: string; problems: string[] }[];
  model: string | undefined;
  signal: AbortSignal;
  gate: Gate | undefined;
};
export type Said = { text: string; usage: Usage; usd: number | null; model: string; notional: boolean };
export type Answering = { says: string; turn(turn: Turn): Promise<Said> };

/** Makes a model of whoever answers, one turn at a time. */
export const modelOf = (answering: Answering, triesMax: number): Model => ({
  says: answering.says,
  ask: async (question) => {
    const timeout = AbortSignal.timeout(question.timeoutMs);
    const signal = AbortSignal.any([question.signal, timeout]);
    try {
      return await tryAll(answering, question, signal, triesMax);
    } catch (thrown) {
      if (!timeout.aborted || question.signal.aborted || isFailure(thrown, 'MODEL_ANSWER_INVALID')) throw thrown;
      throw fail('MODEL_TIMEOUT', { name: question.name, seconds: Math.round(question.timeoutMs / 1000) });
    }
  },
});

const tryAll = async <T>(
  answering: Answering,
  question: Question<T>,
  signal: AbortSignal,
  triesMax: number,
): Promise<Answer<T>> => {
  const { name, system = '', prompt, model, gate } = question;
  const schema = strictSchema(question.schema);
  const before: Turn['before'] = [];
  let [usage, usd]: [Usage, number | null] = [nothing, 0];
  for (;;) {
    const said = await answering.turn({ name, system, prompt, schema, before, model, signal, gate });
    usage = sum(usage, said.usage);
    usd = usd === null || said.usd === null ? null : usd + said.usd;
    const read = readAnswer(question, said.text);
    if ('value' in read) {
      return { value: read.value, usage, usd, model: said.model, notional: said.notional, tries: before.length + 1 };
    }
    before.push({ text: said.text, problems: read.problems });
    if (before.length >= triesMax) throw invalid(name, said.model, before);
  }
};

const invalid = (name: string, model: string, before: Turn['before']): AppError => {
  const problems = (before.at(-1)?.problems ?? []).join('; ').slice(0, 1000);
  return fail('MODEL_ANSWER_INVALID', { model, name, tries: before.length, problems });
};

const readAnswer = <T>(question: Question<T>, text: string): { value: T } | { problems: string[] } => {
  let json: unknown;
  try {
    json = JSON.parse(bare(text));
  } catch (error) {
    return { problems: [`it is not JSON: ${(error as Error).message}`] };
  }
  const read = question.schema.safeParse(json);
  if (!read.success) {
    return { problems: read.error.issues.map(({ path, message }) => `${path.join('.') || 'the answer'}: ${message}`) };
  }
  const problems = question.check?.(read.data) ?? [];
  return problems.length === 0 ? { value: read.data } : { problems };
};

/** Small models put a fence around it, whatever they are told. */
const bare = (text: string): string =>
  text
    .trim()
    .replace(/^```(?:json)?\s*\n/, '')
    .replace(/\n```$/, '');

/** What is said to a model whose answer does not hold. */
export const complaintOf = (problems: readonly string[]): string =>
  `That does not hold:\n${problems
    .slice(0, 30)
    .map((problem) => `- ${problem}`)
    .join('\n')}\nAnswer again, with the whole, mended.`;

const nothing: Usage = { input_tokens: 0, output_tokens: 0, cache_read_tokens: 0, cache_write_tokens: 0 };
const sum = (one: Usage, other: Usage): Usage => ({
  input_tokens: one.input_tokens + other.input_tokens,
  output_tokens: one.output_tokens + other.output_tokens,
  cache_read_tokens: one.cache_read_tokens + other.cache_read_tokens,
  cache_write_tokens: one.cache_write_tokens + other.cache_write_tokens,
});
