/**
 * A Messages API of our own, which the real CLI of Claude Code talks to in tests: what a model answers is scripted.
 *
 *   await using api = await openMessagesApi();
 *   const url = api.script('greeting', (ask) => ask.turn === 0 ? use('Bash', { command: 'ls' }) : say('Done.'));
 *
 * Every script has an address of its own (`ANTHROPIC_BASE_URL`), so many agents can be served side by side. A reply is
 * a message, streamed or whole as it is asked for; an error with its status and headers; a connection that is dropped,
 * or one that falls silent, before or amid the answer. What requests and events look like:
 * https://docs.claude.com/en/api/messages. Amazon Bedrock and Vertex are asked for the same under paths of their own;
 * the streams of Bedrock are not served here, so that the CLI asks for a whole answer.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type Ask, askOf } from './ask.ts';
import { type Reply, send } from './reply.ts';

export type { Ask } from './ask.ts';
export { type Block, blocks, drop, hang, type Reply, refuse, say, use } from './reply.ts';

/** Answers one request. Requests of one script come one after the other, unless its agent asks side by side. */
export type Script = (ask: Ask) => Reply | Promise<Reply>;

export type MessagesApi = {
  url: string;
  /** Serves a script under a name of its own; returns its address. The same name again replaces it. */
  script(name: string, script: Script): string;
  /** What was asked of a script so far, in order. */
  asks(name: string): Ask[];
  /** The key that it takes, where it does not take any; and its list of models, free for whoever has that. */
  knows: { key: string | null; models: string[] };
  /** Requests for which there is no script: nobody should have asked. */
  strays: string[];
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
};

export const openMessagesApi = async (): Promise<MessagesApi> => {
  const scripts = new Map<string, { script: Script; asks: Ask[] }>();
  const strays: string[] = [];
  const knows: MessagesApi['knows'] = { key: null, models: ['claude-opus-5-5', 'claude-sonnet-5-5'] };
  const server = createServer((request, response) => {
    response.on('error', () => undefined);
    void answer(request, response).catch((thrown) => {
      if (!response.headersSent) response.writeHead(500, { 'content-type': 'text/plain' });
      response.end(String(thrown));
    });
  });
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const [, name = '', ...rest] = (request.url ?? '').split('?')[0]?.split('/') ?? [];
    const path = `/${rest.join('/')}`;
    const text = await textOf(request);
    const served = scripts.get(name);
    if (request.method === 'HEAD' || path === '/api/hello') {
      response.writeHead(200).end();
    } else if (path === '/v1/messages/count_tokens') {
      json(response, 200, { input_tokens: Math.ceil(text.length / 4) });
    } else if (path === '/v1/models') {
      const isRefused = knows.key !== null && request.headers['x-api-key'] !== knows.key;
      const error = { type: 'authentication_error', message: 'invalid x-api-key' };
      const data = knows.models.map((id) => ({ type: 'model', id }));
      json(response, isRefused ? 401 : 200, isRefused ? { type: 'error', error } : { data, has_more: false });
    } else if (served && isAsked.test(path)) {
      const raw = { method: request.method ?? '', path: request.url ?? '', text };
      const ask = askOf(request.headers, raw, served.asks.length);
      served.asks.push(ask);
      await send(response, ask, await served.script(ask));
    } else {
      strays.push(`${request.method} ${request.url}`);
      json(response, 404, { type: 'error', error: { type: 'not_found_error', message: 'there is no such script' } });
    }
  };
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const close = async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  };
  return {
    url,
    script: (name, script) => {
      scripts.set(name, { script, asks: [] });
      return `${url}/${name}`;
    },
    asks: (name) => scripts.get(name)?.asks ?? [],
    knows,
    strays,
    close,
    [Symbol.asyncDispose]: close,
  };
};

const isAsked = /^\/v1\/messages$|^\/model\/[^/]+\/invoke$|^\/projects\/.+:(?:streamR|r)awPredict$/;

const textOf = async (request: IncomingMessage): Promise<string> => {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString('utf8');
};

const json = (response: ServerResponse, status: number, body: unknown): void => {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
};
