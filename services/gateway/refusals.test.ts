/** How the gateway says no: to bodies, to fields, and to what is no HTTP. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { expect, onTestFinished, test } from 'vitest';
import { able, bearer, problemIn, serve } from '../../test/tools/gateway.ts';

test.each([
  ['JSON that breaks off', Buffer.from('{"request": "a" "b"}'), /position 16/],
  ['bytes that are not UTF-8', Buffer.from([...Buffer.from('{"request":"'), 0xff, 0xfe, 0x22, 0x7d]), /not UTF-8/],
])('%s is refused with what is wrong with it', async (_what, payload, says) => {
  const { app, published } = await serve();
  const headers = { ...bearer, 'content-type': 'application/json' };
  const refused = problemIn(await app.inject({ method: 'POST', url: '/api/tasks', headers, payload }));
  expect(refused).toMatchObject({ status: 400, code: 'BODY_MALFORMED', detail: expect.stringMatching(says) });
  expect(published).toEqual([]);
});

test.each([
  ['base', '', 'must not be empty'],
  ['roles', [], 'must not be empty'],
  ['context', 7, 'must be an object'],
  ['analyst', 'yes', 'must be true or false'],
  ['setup', 'npm ci', 'must be a list'],
  ['workflow', 'w'.repeat(65), 'must have at most 64 characters'],
])('the field %s of %j: %s', async (field, value, says) => {
  const { ask } = await serve();
  const refused = problemIn(await ask('POST', '/api/tasks', { request: 'a', [field]: value }));
  expect(refused.problems).toEqual([{ field, says }]);
});

test('a query that is no number, and an id that is none, say what would be right', async () => {
  const { ask } = await serve();
  expect(problemIn(await ask('GET', '/api/tasks?limit=many')).problems?.[0]?.says).toBe('must be a whole number');
  expect(problemIn(await ask('GET', '/api/tasks?limit=0')).problems?.[0]?.says).toBe('must be at least 1');
});

test.each([
  ['what is no HTTP', 'HELLO THERE\r\n\r\n', 400, 'HTTP_MALFORMED'],
  ['headers without an end', `GET /health HTTP/1.1\r\nx: ${'y'.repeat(20_000)}\r\n\r\n`, 431, 'HEADERS_TOO_LARGE'],
])('%s is answered with a problem document', async (_what, sent, status, code) => {
  const { app } = await serve();
  const { port } = new URL(await app.listen({ host: '127.0.0.1', port: 0 }));
  const socket = connect(Number(port), '127.0.0.1');
  socket.write(sent);
  const [head = '', body = ''] = (await text(socket)).split('\r\n\r\n');
  expect(head).toContain(`HTTP/1.1 ${status} `);
  expect(head).toContain('application/problem+json');
  expect(JSON.parse(body)).toMatchObject({ status, code });
});

test.each([
  ['a host that nobody knows', 'https://host.invalid/shop.git'],
  ['a host that takes no connection', 'https://127.0.0.1:1/shop.git'],
])('%s is not called a missing repository', async (_what, repository) => {
  const { ask } = await serve();
  const refused = problemIn(await ask('POST', '/api/tasks', { request: 'a', repository }));
  expect(refused).toMatchObject({ status: 422, code: 'REPOSITORY_UNREACHED', problems: [{ field: 'repository' }] });
  expect(refused.detail).toContain(`The host of ${repository} could not be reached`);
});

test('a repository that a host does not have is called missing', async () => {
  const host = createServer((_request, response) => response.writeHead(404).end()).listen(0, '127.0.0.1');
  await once(host, 'listening');
  onTestFinished(() => {
    host.close();
  });
  const repository = `http://127.0.0.1:${(host.address() as AddressInfo).port}/shop.git`;
  const { ask } = await serve();
  expect(problemIn(await ask('POST', '/api/tasks', { request: 'a', repository })).code).toBe('REPOSITORY_MISSING');
});

test('a budget of a runtime that tells nothing of its use is taken, with the word that it bounds nothing', async () => {
  const mute = { ...able, runtimes: able.runtimes.map((runtime) => ({ ...runtime, tells_cost: false })) };
  const warningsOf = async (presences: (typeof able)[], body: object) => {
    const { ask } = await serve({ presences });
    return (await ask('POST', '/api/tasks', { request: 'a', ...body })).json().warnings;
  };
  const says = expect.stringContaining('the runtime command does not tell what it uses');
  expect(await warningsOf([mute], { budget: { usd: 1 } })).toEqual([says]);
  expect(await warningsOf([mute], {})).toEqual([]);
  expect(await warningsOf([able], { budget: { usd: 1 } })).toEqual([]);
});
