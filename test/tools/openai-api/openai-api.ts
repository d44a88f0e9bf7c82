/**
 * An OpenAI-compatible server of our own, scripted by each test: what real clients talk to where no provider can be
 * asked. It answers `POST /v1/chat/completions` (streamed or whole) and `GET /v1/models`, and is as strict as the
 * provider is: `demand.ts` says what it refuses. `reply.ts` says how a reply goes out: told in pieces, dropped in
 * the middle, hanging, endless, or as an error.
 *
 *     await using api = await openOpenaiApi([{ calls: [{ tool: 'finish', input: { summary: 'done' } }] }]);
 *     client({ baseURL: api.url, apiKey: api.key });
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { setTimeout as after } from 'node:timers/promises';
import { type ChatRequest, faultOf } from './demand.ts';
import { type Reply, refuse, sendReply } from './reply.ts';

export type { ChatMessage, ChatRequest } from './demand.ts';
export type { Reply } from './reply.ts';

/** The replies in their order (the last one again and again), or what decides each from the request. */
export type Script = Reply[] | ((request: ChatRequest, count: number) => Reply | Promise<Reply>);

export type OpenaiApi = AsyncDisposable & {
  /** The base address, with `/v1`. */
  url: string;
  key: string;
  /** Every chat request that was let in, in order. */
  requests: ChatRequest[];
  /** Chat requests that came at all, refused ones included. */
  asked(): number;
  /** Replies that are going out at this moment, hanging ones included. */
  open(): number;
  /** Resolves as soon as `holds` does, looked at after each request and each end of a reply. */
  until(holds: () => boolean): Promise<void>;
  close(): Promise<void>;
};

export type ApiOptions = {
  /** Null: a local server that wants none. */
  key?: string | null;
  models?: string[];
  /** So many chat requests in each window; what is over is refused with 429 and `retry-after`. */
  allows?: { count: number; everyMs: number };
  /** Left out: any that is free. */
  port?: number;
};

/** Starts the server on a free port of the loopback. */
export const openOpenaiApi = async (script: Script, options: ApiOptions = {}): Promise<OpenaiApi> => {
  const { key = 'sk-test-0123456789abcdef', models = ['test-model', 'test-model-mini'] } = options;
  const requests: ChatRequest[] = [];
  const sockets = new Set<Socket>();
  const waiting = new Set<() => void>();
  const window = windowOf(options.allows);
  let asked = 0;
  let open = 0;
  const changed = (): void => waiting.forEach((look) => void look());

  const chat = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const body = JSON.parse(await textOf(request)) as ChatRequest;
    asked += 1;
    const limited = window();
    if (limited !== null) return refuse(response, { status: 429, retryAfter: limited });
    const fault = faultOf(body, models);
    if (fault !== null) return refuse(response, fault);
    requests.push(body);
    open += 1;
    response.on('close', () => {
      open -= 1;
      changed();
    });
    changed();
    const reply = typeof script === 'function' ? await script(body, requests.length) : at(script, requests.length);
    await sendReply(response, body, reply);
  };

  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    if (key !== null && request.headers.authorization !== `Bearer ${key}`) {
      return refuse(response, { status: 401, code: 'invalid_api_key', message: 'Incorrect API key provided.' });
    }
    if (request.method === 'GET' && request.url === '/v1/models') {
      return sendJson(response, { object: 'list', data: models.map((id) => ({ id, object: 'model' })) });
    }
    if (request.method === 'POST' && request.url === '/v1/chat/completions') return chat(request, response);
    refuse(response, { status: 404, message: `Invalid URL (${request.method} ${request.url})` });
  };

  const server = createServer((request, response) => {
    answer(request, response).catch((thrown) => response.destroy(thrown as Error));
  });
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(options.port ?? 0, '127.0.0.1', resolve));
  const close = async (): Promise<void> => {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  };
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`,
    key: key ?? '',
    requests,
    asked: () => asked,
    open: () => open,
    until: (holds) =>
      new Promise((resolve) => {
        const look = (): void => {
          if (!holds()) return;
          waiting.delete(look);
          resolve();
        };
        waiting.add(look);
        look();
      }),
    close,
    [Symbol.asyncDispose]: close,
  };
};

const at = (script: Reply[], count: number): Reply =>
  script[Math.min(count, script.length) - 1] ?? { status: 500, message: 'The script has no reply.' };

/** Counts requests in fixed windows; says how many seconds are left of a window that is used up. */
const windowOf = (allows: ApiOptions['allows']): (() => number | null) => {
  let began = performance.now();
  let count = 0;
  return () => {
    if (allows === undefined) return null;
    const now = performance.now();
    if (now - began >= allows.everyMs) {
      began = now;
      count = 0;
    }
    count += 1;
    return count <= allows.count ? null : (began + allows.everyMs - now) / 1000;
  };
};

const textOf = async (request: IncomingMessage): Promise<string> => {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString('utf8');
};

const sendJson = (response: ServerResponse, body: unknown): void => {
  response.writeHead(200, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
};

/** A port on which nobody listens: an address that refuses every connection. */
export const deafUrl = async (): Promise<string> => {
  const api = await openOpenaiApi([]);
  await api.close();
  await after(0);
  return api.url;
};
