import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type RequestListener, request } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { type Account, openProxy, type ProxyLimits } from './credential-proxy.ts';

const key = 'sk-ant-the-real-key-of-the-operator';
const roomy: ProxyLimits = {
  requestBytesMax: 1_000_000,
  responseBytesMax: 1_000_000,
  timeoutMs: 10_000,
  requestsMax: 8,
};

type Seen = { method: string; path: string; headers: IncomingHttpHeaders; body: string };

/** A provider that writes down what it is asked. */
const openProvider = async (answer: RequestListener = (_, response) => response.end('{}')) => {
  const seen: Seen[] = [];
  const server = createServer((asked, response) => {
    const one: Seen = { method: asked.method ?? '', path: asked.url ?? '', headers: asked.headers, body: '' };
    seen.push(one);
    asked.on('data', (chunk) => {
      one.body += chunk;
    });
    answer(asked, response);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.close();
    server.closeAllConnections();
  });
  return { seen, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
};

const open = async (accounts: Account[], limits: Partial<ProxyLimits> = {}) => {
  const proxy = await openProxy({ accounts, limits: { ...roomy, ...limits } });
  onTestFinished(proxy.close);
  return proxy;
};

const anthropicAt = (baseUrl: string): Account => ({ provider: 'anthropic', baseUrl, key });

/** Asks as an agent does, by what it found in its environment. */
const ask = (env: Record<string, string>, init: RequestInit = {}, path = '/v1/messages?beta=true') =>
  fetch(`${env.ANTHROPIC_BASE_URL}${path}`, {
    method: 'POST',
    body: '{"model":"m"}',
    ...init,
    headers: { 'x-api-key': env.ANTHROPIC_API_KEY ?? '', 'anthropic-version': '2023-06-01', ...init.headers },
  });

test('the key is added on the way out, and what the agent has opens nothing but this door', async () => {
  const provider = await openProvider((asked, response) => {
    response.writeHead(201, { 'content-type': 'application/json', 'request-id': 'r1', 'set-cookie': 'a=b' });
    asked.on('end', () => response.end('{"ok":true}'));
  });
  const { env } = (await open([anthropicAt(provider.url)])).admit('attempt');
  expect(JSON.stringify(env)).not.toContain(key);
  const response = await ask(env, { headers: { cookie: 'c=d', authorization: 'Bearer another' } });
  expect(response.status).toBe(201);
  expect(response.headers.get('request-id')).toBe('r1');
  expect(response.headers.get('set-cookie')).toBeNull();
  expect(await response.json()).toEqual({ ok: true });
  expect(provider.seen).toMatchObject([{ method: 'POST', path: '/v1/messages?beta=true', body: '{"model":"m"}' }]);
  const { headers } = provider.seen[0] as Seen;
  expect(headers).toMatchObject({ 'x-api-key': key, 'anthropic-version': '2023-06-01', 'accept-encoding': 'identity' });
  expect(headers.host).toBe(new URL(provider.url).host);
  expect(headers).not.toHaveProperty('cookie');
  expect(headers).not.toHaveProperty('authorization');
  expect(JSON.stringify(headers)).not.toContain(env.ANTHROPIC_API_KEY);
});

test('each provider gets its own key, in its own way, below its own path', async () => {
  const [one, other] = [await openProvider(), await openProvider()];
  const proxy = await open([
    anthropicAt(`${one.url}/gateway/`),
    { provider: 'openai', baseUrl: `${other.url}/llm/v1`, key: 'sk-the-other-key' },
  ]);
  const { env } = proxy.admit('attempt');
  await ask(env);
  const headers = { authorization: `Bearer ${env.OPENAI_API_KEY}` };
  await fetch(`${env.OPENAI_BASE_URL}/chat/completions`, { method: 'POST', body: '{}', headers });
  expect(one.seen.map(({ path }) => path)).toEqual(['/gateway/v1/messages?beta=true']);
  expect(other.seen.map(({ path }) => path)).toEqual(['/llm/v1/chat/completions']);
  expect(other.seen[0]?.headers.authorization).toBe('Bearer sk-the-other-key');
  expect(other.seen[0]?.headers).not.toHaveProperty('x-api-key');
  expect(Object.keys(proxy.admit('second', ['openai']).env).sort()).toEqual(['OPENAI_API_KEY', 'OPENAI_BASE_URL']);
});

test('an answer is streamed as it comes, and so is a request', async () => {
  const half = Promise.withResolvers<void>();
  const provider = await openProvider((_, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write('event: one\n\n');
    void half.promise.then(() => response.end('event: two\n\n'));
  });
  const { env } = (await open([anthropicAt(provider.url)])).admit('attempt');
  const reader = (await ask(env)).body?.getReader();
  expect(Buffer.from((await reader?.read())?.value ?? []).toString()).toBe('event: one\n\n');
  half.resolve();
  expect(Buffer.from((await reader?.read())?.value ?? []).toString()).toBe('event: two\n\n');
});

test.each([
  ['no pass', ''],
  ['the key itself', key],
  ['a pass that was never given', `sk-nexus-${'A'.repeat(32)}`],
])('%s opens nothing', async (_, pass) => {
  const provider = await openProvider();
  const { env } = (await open([anthropicAt(provider.url)])).admit('attempt');
  const response = await ask(env, { headers: { 'x-api-key': pass } });
  expect(response.status).toBe(401);
  // The CLI of Anthropic tries a 401 again for three minutes otherwise.
  expect(response.headers.get('x-should-retry')).toBe('false');
  expect(provider.seen).toEqual([]);
});

test('the pass of an attempt that has ended opens nothing, and what it had under way is cut off', async () => {
  const gone = Promise.withResolvers<void>();
  const provider = await openProvider((asked, response) => {
    response.write('first');
    asked.socket.once('close', gone.resolve);
  });
  const proxy = await open([anthropicAt(provider.url)], { timeoutMs: 600_000 });
  const [ended, other] = [proxy.admit('ended'), proxy.admit('other')];
  const hanging = await ask(ended.env);
  ended.close();
  await expect(hanging.text()).rejects.toThrow();
  await gone.promise;
  expect((await ask(ended.env)).status).toBe(401);
  expect(other.env.ANTHROPIC_API_KEY).not.toBe(ended.env.ANTHROPIC_API_KEY);
  const still = await ask(other.env);
  expect(still.status).toBe(200);
  await still.body?.cancel();
});

/** One request as raw as it can be; resolves with the status. */
const raw = (port: number, lines: string): Promise<string> =>
  new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(lines));
    socket.once('data', (data) => {
      resolve(/^HTTP\/1\.1 (\d+)/.exec(String(data))?.[1] ?? String(data));
      socket.destroy();
    });
    socket.once('error', reject);
  });

test('no other host is reached: not by an absolute address, a tunnel, a name in the path, or a way up', async () => {
  const [provider, elsewhere] = [await openProvider(), await openProvider()];
  const proxy = await open([anthropicAt(`${provider.url}/only/here`)]);
  const { env } = proxy.admit('attempt');
  const { host } = new URL(elsewhere.url);
  const withPass = `x-api-key: ${env.ANTHROPIC_API_KEY}\r\nhost: ${host}\r\nconnection: close\r\n\r\n`;
  expect(await raw(proxy.port, `GET ${elsewhere.url}/ HTTP/1.1\r\n${withPass}`)).toBe('403');
  expect(await raw(proxy.port, `CONNECT ${host} HTTP/1.1\r\n${withPass}`)).toBe('403');
  expect(await raw(proxy.port, `GET @${host}/ HTTP/1.1\r\n${withPass}`)).toBe('400');
  expect(await raw(proxy.port, `GET /../../up HTTP/1.1\r\n${withPass}`)).toBe('403');
  expect(await raw(proxy.port, `GET /%2e%2e/up HTTP/1.1\r\n${withPass}`)).toBe('403');
  expect(provider.seen).toEqual([]);
  // A second slash, or another Host, is only a strange path at the right place.
  expect(await raw(proxy.port, `GET //${host}/ HTTP/1.1\r\n${withPass}`)).toBe('200');
  expect(provider.seen.map(({ path, headers }) => [path, headers.host])).toEqual([
    [`/only/here//${host}/`, new URL(provider.url).host],
  ]);
  expect(elsewhere.seen).toEqual([]);
});

test('requests and answers over their size are refused and cut off', async () => {
  const provider = await openProvider((asked, response) => {
    asked.resume();
    asked.once('end', () => response.end('y'.repeat(5000)));
  });
  const proxy = await open([anthropicAt(provider.url)], { requestBytesMax: 1000, responseBytesMax: 4000 });
  const { env, use } = proxy.admit('attempt');
  const told = await ask(env, { body: 'x'.repeat(1001) });
  expect(told.status).toBe(413);
  expect(await told.text()).toContain('NEXUS_PROXY_REQUEST_MAX');
  expect(provider.seen).toEqual([]);
  // Not told beforehand how long it will be.
  const streamed = request(`${env.ANTHROPIC_BASE_URL}/v1/messages`, {
    method: 'POST',
    headers: { 'x-api-key': env.ANTHROPIC_API_KEY },
  });
  streamed.on('error', () => {});
  const answered = once(streamed, 'response');
  streamed.end('x'.repeat(1001));
  expect((await answered)[0].statusCode).toBe(413);
  await expect(ask(env).then((response) => response.text())).rejects.toThrow();
  expect(use()).toMatchObject({ requests: 3, refused: 3 });
});

test('a provider that takes too long is cut off, and one that is not there is told', async () => {
  const provider = await openProvider(() => {});
  const slow = (await open([anthropicAt(provider.url)], { timeoutMs: 100 })).admit('attempt');
  expect((await ask(slow.env)).status).toBe(504);
  const nobody = (await open([anthropicAt('http://127.0.0.1:1')])).admit('attempt');
  const response = await ask(nobody.env);
  expect(response.status).toBe(502);
  const says = await response.text();
  expect(says).toContain('127.0.0.1:1');
  expect(says).not.toContain(key);
});

test('an agent has only so many requests under way at a time', async () => {
  const provider = await openProvider((asked, response) => {
    if (asked.url === '/v1/slow') response.write('…');
    else response.end();
  });
  const { env } = (await open([anthropicAt(provider.url)], { requestsMax: 1 })).admit('attempt');
  const first = await ask(env, {}, '/v1/slow');
  const second = await ask(env);
  expect(second.status).toBe(429);
  expect(await second.text()).toContain('NEXUS_PROXY_REQUESTS');
  await first.body?.cancel();
});

test('what went through is counted, tokens as the provider tells them', async () => {
  const start = {
    type: 'message_start',
    message: { usage: { input_tokens: 100, cache_read_input_tokens: 7, output_tokens: 1 } },
  };
  const delta = { type: 'message_delta', usage: { output_tokens: 25 } };
  const stream = [start, delta].map((event) => `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`).join('');
  const document = { usage: { prompt_tokens: 50, completion_tokens: 5, prompt_tokens_details: { cached_tokens: 10 } } };
  const provider = await openProvider((asked, response) => {
    const isStream = asked.url === '/v1/stream';
    response.writeHead(200, { 'content-type': isStream ? 'text/event-stream' : 'application/json' });
    if (!isStream) {
      response.end(JSON.stringify(document));
      return;
    }
    // A chunk may end anywhere.
    response.write(stream.slice(0, 90));
    setImmediate(() => response.end(stream.slice(90)));
  });
  const pass = (await open([anthropicAt(provider.url)])).admit('attempt');
  await (await ask(pass.env, {}, '/v1/stream')).text();
  expect(pass.use()).toMatchObject({ requests: 1, tokens: { input: 100, output: 25, cacheRead: 7, cacheWrite: 0 } });
  await (await ask(pass.env, {}, '/v1/whole')).text();
  const { tokens, bytesReceived, bytesSent } = pass.use();
  expect(tokens).toEqual({ input: 140, output: 30, cacheRead: 17, cacheWrite: 0 });
  expect(bytesSent).toBe(2 * '{"model":"m"}'.length);
  expect(bytesReceived).toBe(stream.length + JSON.stringify(document).length);
});
