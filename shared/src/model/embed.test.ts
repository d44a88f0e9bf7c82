import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { json } from 'node:stream/consumers';
import { loadConfig } from '@nexus/shared/config';
import { expect, onTestFinished, test } from 'vitest';
import { embedConfig, openEmbed } from './embed.ts';

/** A server that answers as it is told. */
const serving = async (answer: (body: Record<string, unknown>, response: ServerResponse) => void) => {
  const asked: { path: string | undefined; key: string | undefined; body: Record<string, unknown> }[] = [];
  const server = createServer(async (request: IncomingMessage, response) => {
    const body = (await json(request)) as Record<string, unknown>;
    asked.push({ path: request.url, key: request.headers.authorization, body });
    response.setHeader('content-type', 'application/json');
    answer(body, response);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const NEXUS_MODEL_URL = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;
  const env = { NEXUS_MODEL_URL, NEXUS_EMBEDDING_MODEL: 'small-embedding', OPENAI_API_KEY: 'sk-of-this-test' };
  const embed = (more: Record<string, string> = {}) => openEmbed(loadConfig(embedConfig, { ...env, ...more }));
  return { asked, embed };
};

test('texts become vectors in their order, by the model that is configured', async () => {
  const { asked, embed } = await serving(({ input }, response) => {
    const data = (input as string[]).map((text, index) => ({
      index,
      object: 'embedding',
      embedding: [text.length, 0.5],
    }));
    response.end(JSON.stringify({ object: 'list', model: 'small-embedding', data: data.reverse(), usage: {} }));
  });
  expect(await embed()?.(['one', 'three'])).toEqual([
    [3, 0.5],
    [5, 0.5],
  ]);
  expect(asked).toEqual([
    {
      ...{ path: '/v1/embeddings', key: 'Bearer sk-of-this-test' },
      body: { model: 'small-embedding', input: ['one', 'three'], encoding_format: 'float' },
    },
  ]);
});

test('without a server or a model there is no embedding', () => {
  expect(openEmbed(loadConfig(embedConfig, {}))).toBeNull();
  expect(openEmbed(loadConfig(embedConfig, { NEXUS_MODEL_URL: 'http://127.0.0.1:1/v1' }))).toBeNull();
  expect(openEmbed(loadConfig(embedConfig, { NEXUS_EMBEDDING_MODEL: 'small-embedding' }))).toBeNull();
});

test('what keeps it from an answer is told by its code, and asked once', async () => {
  const unknown = await serving((_body, response) => {
    response.statusCode = 404;
    response.end(JSON.stringify({ error: { message: 'no such model' } }));
  });
  await expect(unknown.embed()?.(['x'])).rejects.toMatchObject({ code: 'MODEL_UNKNOWN' });
  expect(unknown.asked).toHaveLength(1);
  const silent = await serving(() => undefined);
  const impatient = silent.embed({ NEXUS_EMBEDDING_TIMEOUT: '50ms' });
  await expect(impatient?.(['x'])).rejects.toMatchObject({ code: 'MODEL_UNREACHABLE' });
});
