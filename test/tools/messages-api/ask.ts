/** One request to the Messages API, as a script looks at it. */
import type { IncomingHttpHeaders } from 'node:http';

export type Ask = {
  /** How many requests this script has had before, repeated ones too. */
  nth: number;
  /** How many answers of the model the conversation holds already. */
  turn: number;
  model: string;
  /** The names of the tools that the model was offered. */
  tools: string[];
  /** The first message of a person, without what the CLI puts around it. */
  prompt: string;
  /** All that people, and the CLI in their place, have said. */
  said: string[];
  /** The last of it. */
  lastPrompt: string;
  /** What the tools answered to the last calls. */
  results: { id: string; ok: boolean; text: string }[];
  system: string;
  headers: IncomingHttpHeaders;
  isStreamed: boolean;
  body: Body;
  /** As it came, for whoever looks at its signature. */
  raw: Raw;
};

/** A request; its path is the one that the script is asked at, with the script's name. */
export type Raw = { method: string; path: string; text: string };

type Part = { type: string; text?: string; tool_use_id?: string; is_error?: boolean; content?: unknown };
type Message = { role: string; content: string | Part[] };
type Body = {
  model: string;
  stream?: boolean;
  messages: Message[];
  system?: string | Part[];
  tools?: { name: string }[];
};

export const askOf = (headers: IncomingHttpHeaders, raw: Raw, nth: number): Ask => {
  const body = bodyOf(raw);
  const said = body.messages.filter(({ role }) => role === 'user').flatMap(({ content }) => textsOf(content));
  const last = body.messages.findLast(({ role }) => role === 'user')?.content ?? [];
  return {
    nth,
    turn: body.messages.filter(({ role }) => role === 'assistant').length,
    model: body.model,
    tools: (body.tools ?? []).map(({ name }) => name),
    prompt: said[0] ?? '',
    said,
    lastPrompt: said.at(-1) ?? '',
    results: (typeof last === 'string' ? [] : last)
      .filter(({ type }) => type === 'tool_result')
      .map((part) => ({ id: part.tool_use_id ?? '', ok: part.is_error !== true, text: textOf(part.content) })),
    system: textOf(body.system),
    headers,
    isStreamed: body.stream === true,
    body,
    raw,
  };
};

/** Clouds name the model in the path. */
const bodyOf = ({ path, text }: Raw): Body => {
  const body = JSON.parse(text) as Body;
  return {
    ...body,
    model: body.model ?? decodeURIComponent(/\/models?\/([^/]+?)(?:$|\/|:\w+$)/.exec(path)?.[1] ?? ''),
  };
};

/** What people said: reminders that the CLI adds begin with a mark of their own. */
const textsOf = (content: string | Part[]): string[] =>
  (typeof content === 'string' ? [{ type: 'text', text: content }] : content)
    .filter((part) => part.type === 'text')
    .map((part) => part.text ?? '')
    .filter((text) => !text.trimStart().startsWith('<system-reminder>'));

const textOf = (content: unknown): string => {
  if (typeof content === 'string') return content;
  return Array.isArray(content) ? content.map((part: Part) => part.text ?? '').join('\n') : '';
};
