/**
 * Reads what the CLI prints while it works: tells it on as text and as events, and keeps what counts in the end.
 *
 * What counts: the id of the conversation, the last result (there can be several), the last word on limits, how full
 * the context is, and what was touched. Tokens of an answer are told with each of its blocks, so they count once. What
 * is told then is what went in: how much came out is told with the last result alone, and reckoned until then.
 */
import { noUsage, type Usage } from '@nexus/shared/spend';
import type { AgentEvent } from '../../runtimes.ts';
import {
  type AssistantEvent,
  eventOf,
  type LimitEvent,
  type ResultEvent,
  type TheirUsage,
  type UserEvent,
} from './events.ts';

export type Seen = {
  session: string | null;
  model: string | null;
  result: ResultEvent | null;
  limit: LimitEvent['rate_limit_info'] | null;
  /** An error of the API in the CLI's own words. */
  apiError: { status: number | null; error: string; says: string } | null;
  /** Tokens of the last request: so much of the context is in use. */
  context: number;
  /** What all answers so far have used. */
  usage: Usage;
  toolCalls: number;
  turns: number;
  read: Set<string>;
  written: Set<string>;
  commands: string[];
  /** The end of what was printed beside the events. */
  stderr: string;
};

export type Reader = {
  seen: Seen;
  push(chunk: string, stream?: 'stdout' | 'stderr'): void;
  /** Nothing more comes: an answer that was broken off is told of, too. */
  end(): void;
  /** The end of what the agent said and did, as text. */
  tail(): string;
};

type Options = {
  onText(text: string): void;
  onEvent(event: AgentEvent): void;
  /** After each event of the CLI, also of kinds that mean nothing to us. */
  onSeen(seen: Seen): void;
};

const tailMax = 16_000;
const commandsMax = 500;
const pathsMax = 2000;

export const openReader = (options: Options): Reader => {
  const seen: Seen = {
    ...{ session: null, model: null, result: null, limit: null, apiError: null, context: 0, toolCalls: 0, turns: 0 },
    usage: { input_tokens: 0, output_tokens: 0, cache_read_tokens: 0, cache_write_tokens: 0 },
    ...{ read: new Set<string>(), written: new Set<string>(), commands: [], stderr: '' },
  };
  let rest = '';
  let tail = '';
  const answers: Answers = { told: new Map(), open: new Map() };
  const say = (text: string): void => {
    tail = (tail + text).slice(-tailMax);
    options.onText(text);
  };
  const tell = { ...options, onText: say };
  const closeAll = (): void => {
    for (const agent of [...answers.open.keys()]) close(answers, agent, tell);
  };
  const readLine = (line: string): void => {
    const event = eventOf(line);
    if (event === null) {
      if (line.trim() !== '') say(`${line}\n`);
      return;
    }
    seen.session = event.session_id ?? seen.session;
    if (event.type === 'assistant') onAssistant(event, seen, answers, tell);
    else if (event.type === 'user') {
      close(answers, event.parent_tool_use_id ?? '', tell);
      onUser(event, tell);
    } else if (event.type === 'result') {
      closeAll();
      seen.result = event;
    } else if (event.type === 'rate_limit_event') seen.limit = event.rate_limit_info ?? seen.limit;
    else if (event.subtype === 'init') seen.model = event.model ?? seen.model;
    else if (event.subtype === 'api_retry') {
      const [status, delay_ms] = [event.error_status ?? null, Math.round(event.retry_delay_ms ?? 0)];
      if (status === 401 || status === 403)
        seen.apiError = { status, error: event.error ?? '', says: event.error ?? '' };
      tell.onEvent({ kind: 'retry', status, delay_ms, says: event.error ?? '' });
      say(`… the API answered ${status ?? 'nothing'} (${event.error ?? 'unknown'}); asked again in ${delay_ms} ms\n`);
    }
    options.onSeen(seen);
  };
  return {
    seen,
    push: (chunk, stream) => {
      if (stream === 'stderr') {
        seen.stderr = (seen.stderr + chunk).slice(-4000);
        say(chunk);
        return;
      }
      const lines = (rest + chunk).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) readLine(line);
    },
    end: closeAll,
    tail: () => tail,
  };
};

type Tell = Pick<Options, 'onText' | 'onEvent'>;

/** Answers, by their ids; and the one that each agent is giving, by the call that made the agent. */
type Answers = { told: Map<string, Told>; open: Map<string, string> };
type Told = { usage: Usage; model: string | undefined };

const onAssistant = (event: AssistantEvent, seen: Seen, answers: Answers, tell: Tell): void => {
  const { message } = event;
  if (event.error !== undefined || message.model === '<synthetic>') {
    const says = message.content?.map(({ text }) => text ?? '').join('') ?? '';
    if (event.error !== undefined) seen.apiError = { status: event.api_error_status ?? null, error: event.error, says };
    tell.onText(`${says}\n`);
    return;
  }
  // Agents of its agent may have another one.
  if (!event.parent_tool_use_id) seen.model = message.model ?? seen.model;
  count(event, seen, answers, tell);
  for (const part of message.content ?? []) {
    if (part.type === 'text' && part.text) {
      tell.onEvent({ kind: 'text', text: part.text });
      tell.onText(`${part.text}\n`);
    } else if (part.type === 'thinking' && part.thinking) {
      tell.onEvent({ kind: 'thinking', text: part.thinking });
    } else if (part.type === 'tool_use') {
      const [tool, input] = [part.name ?? '', part.input ?? {}];
      seen.toolCalls += 1;
      touch(tool, input, seen);
      tell.onEvent({ kind: 'tool_call', id: part.id ?? '', tool, input });
      tell.onText(`→ ${tool} ${inShort(input)}\n`);
    }
  }
};

/** Each block of an answer repeats the count of its whole. What sub-agents use counts, but fills no context of ours. */
const count = (event: AssistantEvent, seen: Seen, answers: Answers, tell: Tell): void => {
  const { id = '', model, usage: theirs, content = [] } = event.message;
  if (!theirs) return;
  const agent = event.parent_tool_use_id ?? '';
  const before = answers.told.get(id)?.usage;
  if (before === undefined) {
    close(answers, agent, tell);
    answers.open.set(agent, id);
  }
  const told = usageOf(theirs);
  const reckoned = (before?.output_tokens ?? 0) + content.reduce((sum, part) => sum + reckonedIn(part), 0);
  const usage = { ...told, output_tokens: Math.max(told.output_tokens, reckoned) };
  answers.told.set(id, { usage, model });
  for (const name of Object.keys(usage) as (keyof Usage)[]) {
    seen.usage[name] += Math.max(0, usage[name] - (before?.[name] ?? 0));
  }
  if (agent !== '') return;
  seen.context = usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens + usage.output_tokens;
  if (!before) seen.turns += 1;
};

/** An answer is whole when its calls are answered, when its agent gives the next one, or at the end. */
const close = ({ told, open }: Answers, agent: string, tell: Tell): void => {
  const id = open.get(agent);
  if (id === undefined) return;
  open.delete(agent);
  const { usage = noUsage, model } = told.get(id) ?? {};
  tell.onEvent({ kind: 'usage', usage, ...(model === undefined ? {} : { model }) });
};

/** How many tokens a block has, nearly: four bytes each. */
const reckonedIn = ({ text = '', thinking = '', input }: { text?: string; thinking?: string; input?: unknown }) =>
  Math.ceil(Buffer.byteLength(text + thinking + (input === undefined ? '' : JSON.stringify(input))) / 4);

export const usageOf = (theirs: TheirUsage): Usage => ({
  input_tokens: theirs.input_tokens ?? 0,
  output_tokens: theirs.output_tokens ?? 0,
  cache_read_tokens: theirs.cache_read_input_tokens ?? 0,
  cache_write_tokens: theirs.cache_creation_input_tokens ?? 0,
});

const onUser = ({ message }: UserEvent, tell: Tell): void => {
  if (typeof message.content === 'string') return;
  for (const part of message.content ?? []) {
    if (part.type !== 'tool_result') continue;
    const [ok, text] = [part.is_error !== true, textOf(part.content)];
    tell.onEvent({ kind: 'tool_result', id: part.tool_use_id ?? '', ok, text });
    tell.onText(`← ${ok ? '' : 'failed: '}${text.slice(0, 500)}${text.length > 500 ? ' …' : ''}\n`);
  }
};

const textOf = (content: unknown): string => {
  if (typeof content === 'string') return content;
  return Array.isArray(content) ? content.map((part: Part) => part.text ?? `(${part.type})`).join('\n') : '';
};
type Part = { type?: string; text?: string };

const touch = (tool: string, input: Record<string, unknown>, seen: Seen): void => {
  const path = [input.file_path, input.notebook_path, input.path].find((value) => typeof value === 'string');
  if (tool === 'Bash' && typeof input.command === 'string') {
    if (seen.commands.length < commandsMax) seen.commands.push(input.command.slice(0, 1000));
  } else if (typeof path === 'string') {
    const paths = ['Edit', 'Write', 'MultiEdit', 'NotebookEdit'].includes(tool) ? seen.written : seen.read;
    if (paths.size < pathsMax) paths.add(path);
  }
};

/** What a person wants to see of a call: its command or path, else the beginning of it all. */
const inShort = (input: Record<string, unknown>): string => {
  const main = [input.command, input.file_path, input.pattern, input.url, input.query, input.description];
  const shown = main.find((value) => typeof value === 'string') ?? JSON.stringify(input);
  return String(shown).replaceAll(/\s+/g, ' ').slice(0, 300);
};
