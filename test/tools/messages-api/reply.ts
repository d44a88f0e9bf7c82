/** What a script may answer, and how it goes over the wire: streamed as events, or whole. */
import type { ServerResponse } from 'node:http';
import type { Ask } from './ask.ts';

export type Block =
  | { type: 'text'; text: string }
  | { type: 'thinking'; thinking: string; signature: string }
  | { type: 'tool_use'; id: string; name: string; input: unknown };

type Usage = {
  input_tokens?: number;
  output_tokens?: number;
  cache_read_input_tokens?: number;
  cache_creation_input_tokens?: number;
};
type Headers = Record<string, string>;

export type Reply =
  | { kind: 'message'; content: Block[]; stop?: string; usage?: Usage; headers?: Headers; pauseMs?: number }
  | { kind: 'error'; status: number; type: string; message: string; headers?: Headers }
  | { kind: 'hang' | 'drop'; when: 'before' | 'amid' };

type Message = Extract<Reply, { kind: 'message' }>;
type More = Omit<Message, 'kind' | 'content'>;

let calls = 0;
const nextCall = (): string => {
  calls += 1;
  return `toolu_${calls}`;
};

/** The model says something, and ends its turn. */
export const say = (text: string, more: More = {}): Reply => blocks([{ type: 'text', text }], more);

/** The model calls one tool, after it has said something where `text` is given. */
export const use = (name: string, input: unknown, text = '', more: More = {}): Reply =>
  blocks(
    [...(text === '' ? [] : [{ type: 'text' as const, text }]), { type: 'tool_use', id: nextCall(), name, input }],
    more,
  );

export const blocks = (content: Block[], more: More = {}): Reply => ({ kind: 'message', content, ...more });

/** The API refuses: 401 `authentication_error`, 429 `rate_limit_error`, 529 `overloaded_error`, … */
export const refuse = (status: number, type: string, message: string, headers: Headers = {}): Reply => ({
  kind: 'error',
  status,
  type,
  message,
  headers,
});

/** Nothing more comes, and the connection stays. */
export const hang = (when: 'before' | 'amid'): Reply => ({ kind: 'hang', when });
/** The connection breaks. */
export const drop = (when: 'before' | 'amid'): Reply => ({ kind: 'drop', when });

export const send = async (response: ServerResponse, ask: Ask, reply: Reply): Promise<void> => {
  if (reply.kind === 'error') return sendError(response, reply);
  if (reply.kind !== 'message') return breakOff(response, ask, reply);
  await (ask.isStreamed ? stream(response, ask, reply) : whole(response, ask, reply));
};

const sendError = (response: ServerResponse, reply: Extract<Reply, { kind: 'error' }>): void => {
  response.writeHead(reply.status, { 'content-type': 'application/json', ...reply.headers });
  response.end(JSON.stringify({ type: 'error', error: { type: reply.type, message: reply.message } }));
};

/** A connection that hangs is closed with the server. */
const breakOff = (response: ServerResponse, ask: Ask, reply: Extract<Reply, { kind: 'hang' | 'drop' }>): void => {
  if (reply.when === 'amid') {
    open(response, {});
    event(response, { type: 'message_start', message: shell(ask, {}) });
    event(response, { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } });
    event(response, { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: 'I begin' } });
  }
  if (reply.kind === 'drop') setTimeout(() => response.destroy(), 20);
};

const stream = async (response: ServerResponse, ask: Ask, reply: Message): Promise<void> => {
  open(response, reply.headers ?? {});
  event(response, { type: 'message_start', message: shell(ask, reply.usage ?? {}) });
  for (const [index, block] of reply.content.entries()) {
    if (reply.pauseMs) await new Promise((resolve) => setTimeout(resolve, reply.pauseMs));
    event(response, { type: 'content_block_start', index, content_block: emptied(block) });
    for (const delta of deltasOf(block)) event(response, { type: 'content_block_delta', index, delta });
    event(response, { type: 'content_block_stop', index });
  }
  event(response, {
    type: 'message_delta',
    delta: { stop_reason: stopOf(reply), stop_sequence: null },
    usage: { output_tokens: reply.usage?.output_tokens ?? 20 },
  });
  event(response, { type: 'message_stop' });
  response.end();
};

const whole = async (response: ServerResponse, ask: Ask, reply: Message): Promise<void> => {
  response.writeHead(200, { 'content-type': 'application/json', ...reply.headers });
  const message = shell(ask, reply.usage ?? {});
  const usage = { ...message.usage, output_tokens: reply.usage?.output_tokens ?? 20 };
  response.end(JSON.stringify({ ...message, content: reply.content, stop_reason: stopOf(reply), usage }));
};

const open = (response: ServerResponse, headers: Headers): void => {
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-cache', ...headers });
};

const event = (response: ServerResponse, body: { type: string } & Record<string, unknown>): void => {
  response.write(`event: ${body.type}\ndata: ${JSON.stringify(body)}\n\n`);
};

const shell = (ask: Ask, usage: Usage) => ({
  id: `msg_${ask.nth}_${ask.turn}`,
  type: 'message',
  role: 'assistant',
  model: ask.model,
  content: [] as Block[],
  stop_reason: null as string | null,
  stop_sequence: null,
  usage: {
    input_tokens: usage.input_tokens ?? 100,
    output_tokens: 1,
    cache_read_input_tokens: usage.cache_read_input_tokens ?? 0,
    cache_creation_input_tokens: usage.cache_creation_input_tokens ?? 0,
  },
});

const stopOf = ({ stop, content }: Message): string =>
  stop ?? (content.some(({ type }) => type === 'tool_use') ? 'tool_use' : 'end_turn');

const emptied = (block: Block): Block => {
  if (block.type === 'text') return { ...block, text: '' };
  return block.type === 'thinking' ? { ...block, thinking: '', signature: '' } : { ...block, input: {} };
};

const deltasOf = (block: Block): unknown[] => {
  if (block.type === 'text') return pieces(block.text).map((text) => ({ type: 'text_delta', text }));
  if (block.type === 'thinking') {
    return [
      { type: 'thinking_delta', thinking: block.thinking },
      { type: 'signature_delta', signature: block.signature },
    ];
  }
  return pieces(JSON.stringify(block.input)).map((partial_json) => ({ type: 'input_json_delta', partial_json }));
};

/** In a few pieces, as a model writes: never half a character. */
const pieces = (text: string): string[] => {
  const letters = [...text];
  const size = Math.max(20, Math.ceil(letters.length / 20));
  return Array.from({ length: Math.ceil(letters.length / size) }, (_, at) =>
    letters.slice(at * size, (at + 1) * size).join(''),
  );
};
