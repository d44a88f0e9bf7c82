/** The client against real HTTP servers that answer as a gateway would, or as one never should. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { ClientProblem, type FleetEvent, openClient } from './client.ts';
import { readEvents } from './sse.ts';

const listen = async (answer: (request: IncomingMessage, response: ServerResponse) => void): Promise<string> => {
  const server = createServer(answer).listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
};

const thrownBy = async (work: Promise<unknown>): Promise<ClientProblem> => {
  const thrown = await work.then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(thrown).toBeInstanceOf(ClientProblem);
  return thrown as ClientProblem;
};

test('a request carries the token, the body as JSON and the key against repetition', async () => {
  const seen: Record<string, unknown>[] = [];
  const url = await listen(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const { method, url: path, headers } = request;
    seen.push({
      method,
      path,
      token: headers.authorization,
      type: headers['content-type'],
      key: headers['idempotency-key'],
      body: Buffer.concat(chunks).toString(),
    });
    response.writeHead(202, { 'content-type': 'application/json' }).end('{"task_id":"a"}');
  });
  const client = openClient({ url: `${url}/`, token: 'secret' });
  expect(await client.submit({ request: 'Ä' }, { idempotencyKey: 'k' })).toEqual({ task_id: 'a' });
  await client.tasks({ limit: 5, status: 'stopped' });
  await client.cancel('a/b');
  expect(seen).toEqual([
    {
      method: 'POST',
      path: '/api/tasks',
      token: 'Bearer secret',
      type: 'application/json',
      key: 'k',
      body: '{"request":"Ä"}',
    },
    { method: 'GET', path: '/api/tasks?limit=5&status=stopped', token: 'Bearer secret', body: '' },
    expect.objectContaining({ path: '/api/tasks/a%2Fb/cancel', body: '{}' }),
  ]);
});

test('a refusal is thrown with its code, its fields and when to come again', async () => {
  const url = await listen((_request, response) => {
    response.writeHead(503, { 'content-type': 'application/problem+json', 'retry-after': '10' });
    const problems = [{ field: 'runtime', says: 'no' }];
    response.end(JSON.stringify({ status: 503, code: 'NO_WORKER', title: 'No worker', detail: 'Nobody.', problems }));
  });
  const problem = await thrownBy(openClient({ url }).agents());
  expect(problem).toMatchObject({
    status: 503,
    code: 'NO_WORKER',
    title: 'No worker',
    detail: 'Nobody.',
    message: 'Nobody.',
    problems: [{ field: 'runtime', says: 'no' }],
    retryAfter: 10,
  });
});

test('a server that is no gateway is told apart from one that does not answer', async () => {
  const url = await listen((_request, response) => {
    response.writeHead(502, { 'content-type': 'text/html' }).end('<h1>Bad gateway</h1>');
  });
  expect(await thrownBy(openClient({ url }).agents())).toMatchObject({ status: 502, code: 'GATEWAY_FOREIGN' });
  const gone = await thrownBy(openClient({ url: 'http://127.0.0.1:9' }).agents());
  expect(gone).toMatchObject({ status: 0, code: 'GATEWAY_UNREACHABLE' });
  expect(gone.detail).toContain('http://127.0.0.1:9');
});

test('an unhealthy answer is an answer', async () => {
  const url = await listen((_request, response) => {
    response.writeHead(503, { 'content-type': 'application/json' });
    response.end('{"status":"failing","says":"Redis is gone.","since":"2026-11-20T10:00:00.000Z"}');
  });
  expect(await openClient({ url }).ready()).toMatchObject({ status: 'failing', says: 'Redis is gone.' });
});

test('events go on after the id that was given, and end without an error when the caller has had enough', async () => {
  const asked: (string | undefined)[] = [];
  const url = await listen((request, response) => {
    asked.push(request.headers['last-event-id'] as string | undefined, request.url);
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write(': hello\nretry: 2000\n\nid: 1-1.0\nevent: event\ndata: {"id":"1-1.0","kind":"event"}\n\n');
  });
  const stop = new AbortController();
  const got: FleetEvent[] = [];
  for await (const event of openClient({ url }).events({ after: '1-0.0', task: 'a', signal: stop.signal })) {
    got.push(event);
    stop.abort();
  }
  expect(got).toEqual([{ id: '1-1.0', kind: 'event' }]);
  expect(asked).toEqual(['1-0.0', '/api/events?task=a']);
});

test('a stream of events is read whole, wherever its bytes are cut', async () => {
  const text =
    '\n: comment\r\nid: 7\r\nevent: a\r\ndata: one\r\ndata: ü\r\n\r\ndata:two\rid\r\rid: x\0y\ndata\n\ndata: cut off';
  const bytes = new TextEncoder().encode(text);
  const expected = [
    { id: '7', event: 'a', data: 'one\nü' },
    { id: '', event: 'message', data: 'two' },
    { id: '', event: 'message', data: '' },
  ];
  for (const size of [1, 2, 3, 5, 1000]) {
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => {
        for (let from = 0; from < bytes.length; from += size) controller.enqueue(bytes.slice(from, from + size));
        controller.close();
      },
    });
    const got = [];
    for await (const event of readEvents(body)) got.push(event);
    expect(got).toEqual(expected);
  }
});

test('a gateway that takes the request and says nothing, or stops in the middle, is told as silent', async () => {
  for (const answer of ['nothing', 'half']) {
    const url = await listen((_request, response) => {
      if (answer === 'half') response.writeHead(200, { 'content-type': 'application/json' }).write('{"tasks":');
    });
    const thrown = await thrownBy(openClient({ url, timeoutMs: 100 }).tasks());
    expect(thrown).toMatchObject({ status: 0, code: 'GATEWAY_SILENT' });
    expect(thrown.detail).toContain('within 0.1 s');
  }
});
