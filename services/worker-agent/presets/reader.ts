/** Reads what a preset's program prints: lines of JSON become events, all else is words. */
import { noUsage, type Usage } from '@nexus/shared/spend';
import type { AgentEvent } from '../runtimes.ts';
import type { Preset, Rule } from './presets.ts';

export type Read = {
  session: string | null;
  model: string | null;
  /** Null: it told none. */
  usage: Usage | null;
  usd: number | null;
  errors: string[];
  toolCalls: number;
  turns: number;
};

type Json = Record<string, unknown>;
/** A line that never ends is not kept. */
const lineMax = 10_000_000;

/** `onText` gets what people read; `onEvent` what it did. */
export const openReader = (
  { rules }: Pick<Preset, 'rules'>,
  onText: (text: string) => void,
  onEvent: (event: AgentEvent) => void,
) => {
  const read: Read = { session: null, model: null, usage: null, usd: null, errors: [], toolCalls: 0, turns: 0 };
  let rest = '';
  const takeLine = (line: string): void => {
    const event = jsonIn(line);
    if (event === null) {
      if (line.trim() !== '') onText(`${line}\n`);
      return;
    }
    for (const rule of rules) {
      if (Object.entries(rule.when).every(([path, value]) => at(event, path) === value)) follow(rule, event);
    }
  };
  const follow = (rule: Rule, event: Json): void => {
    if (rule.means === 'session') read.session = textAt(event, rule.take.id) || read.session;
    else if (rule.means === 'model') read.model = textAt(event, rule.take.model) || read.model;
    else if (rule.means === 'error') read.errors.push(textAt(event, rule.take.message) || JSON.stringify(event));
    else if (rule.means === 'text' || rule.means === 'thinking') {
      const text = textAt(event, rule.take.text);
      if (rule.means === 'text') onText(text.endsWith('\n') ? text : `${text}\n`);
      onEvent({ kind: rule.means, text });
    } else if (rule.means === 'call') {
      const tool = rule.tool ?? textAt(event, rule.take.tool ?? '');
      const input = at(event, rule.take.input);
      read.toolCalls += 1;
      onText(`→ ${tool} ${(typeof input === 'string' ? input : JSON.stringify(input ?? '')).slice(0, 200)}\n`);
      onEvent({ kind: 'tool_call', id: textAt(event, rule.take.id), tool, input });
    } else if (rule.means === 'result') {
      const ok = rule.take.bad === undefined || String(at(event, rule.take.bad)) === rule.good;
      onEvent({ kind: 'tool_result', id: textAt(event, rule.take.id), ok, text: textAt(event, rule.take.text) });
    } else use(rule, event);
  };
  const use = (rule: Extract<Rule, { means: 'usage' }>, event: Json): void => {
    const { take, cacheInInput, total } = rule;
    const cached = countAt(event, take.cacheRead);
    const usage: Usage = {
      input_tokens: Math.max(0, countAt(event, take.input) - (cacheInInput ? cached : 0)),
      output_tokens: countAt(event, take.output),
      cache_read_tokens: cached,
      cache_write_tokens: countAt(event, take.cacheWrite),
    };
    read.turns += 1;
    const usd = take.usd === undefined ? null : at(event, take.usd);
    if (typeof usd === 'number') read.usd = (total ? 0 : (read.usd ?? 0)) + usd;
    read.usage = total ? usage : sum(read.usage ?? noUsage, usage);
    onEvent({ kind: 'usage', usage, ...(read.model === null ? {} : { model: read.model }) });
  };
  return {
    read,
    write: (chunk: string): void => {
      const lines = (rest + chunk).split('\n');
      rest = (lines.pop() ?? '').slice(0, lineMax);
      for (const line of lines) takeLine(line);
    },
    end: (): void => {
      takeLine(rest);
      rest = '';
    },
  };
};

const jsonIn = (line: string): Json | null => {
  if (!line.startsWith('{')) return null;
  try {
    return JSON.parse(line) as Json;
  } catch {
    return null;
  }
};

const at = (event: Json, path: string): unknown =>
  path.split('.').reduce<unknown>((inner, name) => (inner as Json | null | undefined)?.[name], event);

const textAt = (event: Json, path: string): string => {
  const value = at(event, path);
  if (value === undefined || value === null) return '';
  return typeof value === 'string' ? value : JSON.stringify(value);
};

const countAt = (event: Json, path: string | undefined): number => {
  const value = path === undefined ? 0 : at(event, path);
  return typeof value === 'number' && value > 0 ? Math.round(value) : 0;
};

const sum = (one: Usage, other: Usage): Usage => ({
  input_tokens: one.input_tokens + other.input_tokens,
  output_tokens: one.output_tokens + other.output_tokens,
  cache_read_tokens: one.cache_read_tokens + other.cache_read_tokens,
  cache_write_tokens: one.cache_write_tokens + other.cache_write_tokens,
});
