/** One reply of the server, as a test writes it, and how it goes out. */
import type { ServerResponse } from 'node:http';
import { setTimeout as after } from 'node:timers/promises';
import type { ChatRequest } from './demand.ts';

export type Reply = {
  text?: string;
  /** The text is this, as JSON. */
  json?: unknown;
  /** An input that is text goes out as it is, so that it need not be JSON. */
  calls?: { tool: string; input?: unknown; id?: string }[];
  refusal?: string;
  finish?: 'stop' | 'length' | 'tool_calls' | 'content_filter';
  usage?: { input?: number; output?: number; cached?: number } | null;
  /** An error in place of an answer; `retryAfter` in seconds. */
  status?: number;
  code?: string;
  message?: string;
  retryAfter?: number;
  /** Between the pieces of a streamed answer. */
  everyMs?: number;
  /** The connection is cut after so many pieces. */
  dropAfter?: number;
  /** After its last piece it neither ends nor says more; without a piece not even headers come. */
  hangs?: boolean;
  /** The text again and again, without end. */
  endless?: boolean;
};

/** Sends a reply in the way that the request asks for: whole, or as a stream of pieces. */
export const sendReply = async (response: ServerResponse, request: ChatRequest, reply: Reply): Promise<void> => {
  if (reply.status !== undefined) return refuse(response, reply);
  const spoken = { ...reply, text: reply.json === undefined ? (reply.text ?? '') : JSON.stringify(reply.json) };
  if (request.stream === true) return stream(response, request, spoken);
  if (reply.hangs) return;
  if (reply.dropAfter !== undefined) return void response.destroy();
  response.writeHead(200, { 'content-type': 'application/json' });
  const message = { role: 'assistant', content: spoken.text || null, refusal: reply.refusal ?? null };
  const calls = callsOf(reply);
  const choice = { index: 0, message: { ...message, ...(calls ? { tool_calls: calls } : {}) } };
  const body = { ...headOf(request, 'chat.completion'), usage: usageOf(reply) };
  response.end(JSON.stringify({ ...body, choices: [{ ...choice, finish_reason: finishOf(reply) }] }));
};

/** An error, in the provider's form. */
export const refuse = (
  response: ServerResponse,
  { status = 500, code, message, retryAfter }: Pick<Reply, 'status' | 'code' | 'message' | 'retryAfter'>,
): void => {
  const says =
    message ?? (status === 429 ? 'Rate limit reached for requests.' : `The server had an error (${status}).`);
  response.writeHead(status, {
    'content-type': 'application/json',
    ...(retryAfter === undefined ? {} : { 'retry-after': String(retryAfter) }),
  });
  response.end(JSON.stringify({ error: { message: says, type: 'error', param: null, code: code ?? null } }));
};

const stream = async (
  response: ServerResponse,
  request: ChatRequest,
  reply: Reply & { text: string },
): Promise<void> => {
  const pieces = piecesOf(reply);
  if (reply.hangs && pieces.length === 0) return;
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-cache' });
  const send = async (body: object): Promise<void> => {
    const chunk = { ...headOf(request, 'chat.completion.chunk'), ...body };
    if (response.write(`data: ${JSON.stringify(chunk)}\n\n`)) return;
    await new Promise((resolve) => response.once('drain', resolve).once('close', resolve));
  };
  let sent = 0;
  do {
    for (const delta of pieces) {
      if (reply.dropAfter !== undefined && sent >= reply.dropAfter) return drop(response);
      if (response.destroyed) return;
      await send({ choices: [{ index: 0, delta, finish_reason: null }] });
      sent += 1;
      if (reply.everyMs !== undefined) await after(reply.everyMs);
    }
    if (reply.endless) await after(1);
  } while (reply.endless && !response.destroyed);
  if (reply.hangs) return;
  if (reply.dropAfter !== undefined) return drop(response);
  await send({ choices: [{ index: 0, delta: {}, finish_reason: finishOf(reply) }] });
  if (request.stream_options?.include_usage && reply.usage !== null) await send({ choices: [], usage: usageOf(reply) });
  response.end('data: [DONE]\n\n');
};

/** Cuts the connection, with what was sent on its way. */
const drop = (response: ServerResponse): void => void response.socket?.destroySoon();

/** What is streamed: words, then the calls, their arguments in halves, as the provider does it. */
const piecesOf = (reply: Reply & { text: string }): object[] => [
  ...(reply.text.match(/\S+\s*|\s+/g) ?? []).map((content) => ({ content })),
  ...(reply.refusal === undefined ? [] : [{ refusal: reply.refusal }]),
  ...(callsOf(reply) ?? []).flatMap(({ id, type, function: { name, arguments: text } }, index) => {
    const half = Math.ceil(text.length / 2);
    const rest = { tool_calls: [{ index, function: { arguments: text.slice(half) } }] };
    const first = { tool_calls: [{ index, id, type, function: { name, arguments: text.slice(0, half) } }] };
    return text.length > half ? [first, rest] : [first];
  }),
];

const callsOf = ({ calls }: Reply) =>
  calls?.map(({ tool, input, id }, index) => ({
    id: id ?? `call_${Math.random().toString(36).slice(2, 10)}_${index}`,
    type: 'function' as const,
    function: { name: tool, arguments: typeof input === 'string' ? input : JSON.stringify(input ?? {}) },
  }));

const finishOf = ({ finish, calls }: Reply): string => finish ?? (calls ? 'tool_calls' : 'stop');

const usageOf = ({ usage }: Reply) => {
  const { input = 100, output = 20, cached = 0 } = usage ?? {};
  return {
    prompt_tokens: input,
    completion_tokens: output,
    total_tokens: input + output,
    prompt_tokens_details: { cached_tokens: cached },
  };
};

const headOf = ({ model }: ChatRequest, object: string) => ({ id: 'chatcmpl-test', object, created: 0, model });
