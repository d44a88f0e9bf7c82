/**
 * The HTTP side of the gateway in process: shapes, refusals, access, the document. The fleet behind it is
 * a plain object here; test/integration/gateway.test.ts runs the same server on a real Redis.
 */

import { hostname } from 'node:os';
import { controlCommand, letterEdit, lettersDecision, problem, taskAccepted } from '@nexus/shared/client/api';
import { loadConfig } from '@nexus/shared/config';
import { fail } from '@nexus/shared/errors';
import { taskRequest } from '@nexus/shared/messages/domain';
import { Validator } from '@seriousme/openapi-schema-validator';
import { describe, expect, test } from 'vitest';
import { able, bearer, problemIn, serve, unable } from '../../test/tools/gateway.ts';
import { authProblems } from './auth.ts';
import { gatewayConfig } from './config.ts';
import { examples } from './openapi.ts';

describe('submitting', () => {
  test('the bodies of the quick start are accepted as they are, and nothing is invented', async () => {
    const { ask, published } = await serve();
    const bodies = [
      { request: 'Create a simple hello world function' },
      {
        request: 'Build a secure user authentication system',
        priority: 'high',
        deadline: '2099-12-31T23:59:59Z',
        context: { project_type: 'web_application', technologies: ['Node.js', 'PostgreSQL', 'JWT'] },
      },
    ];
    for (const body of bodies) {
      const response = await ask('POST', '/api/tasks', body);
      expect(response.statusCode).toBe(202);
      const accepted = taskAccepted.parse(response.json());
      expect(accepted).toMatchObject({ status: 'accepted', estimated_completion: null, assigned_agents: [] });
      expect(accepted.tracking_url).toBe(`/api/tasks/${accepted.task_id}`);
      expect(response.headers.location).toBe(accepted.tracking_url);
    }
    expect(published.map(({ type }) => type)).toEqual(['task.submitted', 'task.submitted']);
    expect(published[1]).toMatchObject({ priority: 'HIGH', actor: 'token:admin', accept: true });
  });

  test.each([
    ['an empty request', { request: '  ' }, 'REQUEST_INVALID', 'request', /empty/],
    ['a request of more than 32 kB', { request: 'x'.repeat(32_769) }, 'REQUEST_INVALID', 'request', /32 kB/],
    ['a request with a NUL', { request: 'a\u0000b' }, 'REQUEST_INVALID', 'request', /NUL character/],
    ['a command with a NUL', { request: 'a', agent_command: 'a\0' }, 'REQUEST_INVALID', 'agent_command', /NUL/],
    ['no request at all', {}, 'REQUEST_INVALID', 'request', /missing/],
    ['an unknown field', { request: 'a', colour: 'red' }, 'REQUEST_INVALID', 'colour', /known are request, priority/],
    ['an unknown field inside', { request: 'a', budget: { eur: 1 } }, 'REQUEST_INVALID', 'budget.eur', /usd, tokens/],
    ['an unknown priority', { request: 'a', priority: 'soon' }, 'REQUEST_INVALID', 'priority', /CRITICAL, HIGH/],
    ['an unknown workflow', { request: 'a', workflow: 'magic' }, 'WORKFLOW_UNKNOWN', 'workflow', /magic.*feature/],
    ['an unknown role', { request: 'a', roles: ['wizard'] }, 'ROLE_UNKNOWN', 'roles', /wizard.*builder/],
    ['an unknown runtime', { request: 'a', runtime: 'magic' }, 'RUNTIME_UNKNOWN', 'runtime', /magic.*command/],
    ['a deadline without a zone', { request: 'a', deadline: 'soon' }, 'REQUEST_INVALID', 'deadline', /with its zone/],
    [
      'a check without a command',
      { request: 'a', checks: [{ name: 'x' }] },
      'REQUEST_INVALID',
      'checks[0].command',
      /missing/,
    ],
    ['an empty repository', { request: 'a', repository: '' }, 'REQUEST_INVALID', 'repository', /empty/],
    ['a base without a repository', { request: 'a', base: 'main' }, 'REQUEST_INVALID', 'base', /no repository/],
    [
      'a scenario where none are allowed',
      { request: 'a', scenario: 'x' },
      'REHEARSAL_OFF',
      'scenario',
      /NEXUS_REHEARSAL=on/,
    ],
    [
      'a scripted runtime without a scenario',
      { request: 'a', runtime: 'scripted' },
      'REQUEST_INVALID',
      'scenario',
      /missing/,
    ],
    [
      'another runtime for a command',
      { request: 'a', runtime: 'scripted', agent_command: 'x' },
      'REQUEST_INVALID',
      'scenario',
      /missing/,
    ],
    ['a list instead of an object', [], 'REQUEST_INVALID', '', /must be an object/],
  ])('%s is refused, with the field and what would be right', async (_what, body, code, field, says) => {
    const { ask, published } = await serve();
    const response = await ask('POST', '/api/tasks', body);
    expect(response.statusCode).toBe(422);
    const refused = problemIn(response);
    expect(refused.code).toBe(code);
    expect(refused.problems?.map((one) => one.field)).toContain(field);
    expect(refused.detail).toMatch(says);
    expect(published).toEqual([]);
  });

  test('a deadline in the past is refused with both dates', async () => {
    const { ask } = await serve();
    const refused = problemIn(await ask('POST', '/api/tasks', { request: 'a', deadline: '2024-01-01T00:00:00Z' }));
    expect(refused.code).toBe('DEADLINE_PASSED');
    expect(refused.detail).toContain('2024-01-01T00:00:00Z');
    expect(refused.detail).toContain(new Date().toISOString().slice(0, 10));
  });

  test('a scenario with a syntax error is refused with its line', async () => {
    const { ask } = await serve({ env: { NEXUS_REHEARSAL: 'on' } });
    const refused = problemIn(await ask('POST', '/api/tasks', { request: 'a', scenario: 'name: x\nsubtasks: [' }));
    expect(refused).toMatchObject({ code: 'SCENARIO_INVALID', status: 422 });
    expect(refused.detail).toMatch(/line \d/i);
  });

  test('a program that is not there is refused where every worker is on this machine', async () => {
    const here = await serve({ presences: [{ ...able, host: hostname() }] });
    const ask = (agent_command: string) => here.ask('POST', '/api/tasks', { request: 'a', agent_command });
    const refused = problemIn(await ask('/no/such/agent --fast'));
    expect(refused).toMatchObject({
      status: 422,
      code: 'AGENT_COMMAND_MISSING',
      problems: [{ field: 'agent_command' }],
    });
    expect(refused.detail).toContain('/no/such/agent');
    for (const there of ['/bin/sh -c true', 'on-some-path', './in-the-workspace', '/bin/$SHELL']) {
      expect([there, (await ask(there)).statusCode]).toEqual([there, 202]);
    }
    const elsewhere = await serve({ presences: [{ ...able, host: hostname() }, able] });
    const body = { request: 'a', agent_command: '/no/such/agent' };
    expect((await elsewhere.ask('POST', '/api/tasks', body)).statusCode).toBe(202);
  });

  test('no worker alive is 503 with Retry-After', async () => {
    const { ask } = await serve({ presences: [] });
    const response = await ask('POST', '/api/tasks', { request: 'a' });
    expect([response.statusCode, response.headers['retry-after']]).toEqual([503, '10']);
    // Who asks by HTTP is told what mends it, as who types `nexus run` is.
    expect(problemIn(response)).toMatchObject({ code: 'NO_WORKER', detail: expect.stringContaining('`nexus up`') });
  });

  test('WORKERS_STARTING: workers that have not told yet what they can run are 503, not refused for good', async () => {
    const beginning = { ...able, runtimes: [] };
    const { ask } = await serve({ presences: [beginning] });
    const response = await ask('POST', '/api/tasks', { request: 'a' });
    expect([response.statusCode, response.headers['retry-after']]).toEqual([503, '2']);
    expect(problemIn(response)).toMatchObject({ code: 'WORKERS_STARTING' });
    const { ask: later } = await serve({ presences: [beginning, able] });
    expect((await later('POST', '/api/tasks', { request: 'a' })).statusCode).toBe(202);
  });

  test('in containers hints name what is typed beside them, in problems and in warnings', async () => {
    const env = { NEXUS_COMMAND: 'docker compose exec gateway nexus' };
    const nobody = problemIn(await (await serve({ env, presences: [] })).ask('POST', '/api/tasks', { request: 'a' }));
    expect(nobody.detail).toContain('`docker compose up -d`');
    const { ask } = await serve({ env, state: 'stopped' });
    const { warnings } = (await ask('POST', '/api/tasks', { request: 'a' })).json();
    expect(warnings[0]).toContain('`docker compose exec gateway nexus resume --all`');
  });

  test('no usable runtime is 422 with what was looked for and the one mend; a command given mends it', async () => {
    const { ask } = await serve({ presences: [unable] });
    const refused = problemIn(await ask('POST', '/api/tasks', { request: 'a' }));
    expect(refused).toMatchObject({ code: 'NO_RUNTIME', status: 422 });
    expect(refused.detail).toContain('command (NEXUS_AGENT_COMMAND is not set)');
    expect(refused.detail).toContain('set NEXUS_AGENT_COMMAND');
    expect(refused.detail).not.toContain('scripted');
    const accepted = await ask('POST', '/api/tasks', { request: 'a', agent_command: 'my-agent' });
    expect(accepted.statusCode).toBe(202);
  });

  test('a fleet that drains takes nothing; a stopped one takes it and says that it waits', async () => {
    const draining = await serve({ state: 'draining' });
    expect(problemIn(await draining.ask('POST', '/api/tasks', { request: 'a' }))).toMatchObject({ code: 'DRAINING' });
    const stopped = await serve({ state: 'stopped' });
    const accepted = taskAccepted.parse((await stopped.ask('POST', '/api/tasks', { request: 'a' })).json());
    expect(accepted.warnings.join()).toContain('stopped');
  });

  test('a Redis that is nearly full takes no new work', async () => {
    const { ask } = await serve({ memory: 0.95 });
    expect(problemIn(await ask('POST', '/api/tasks', { request: 'a' }))).toMatchObject({
      code: 'BUS_MEMORY',
      status: 503,
    });
  });

  test('a request too large for an envelope travels under a key of its own', async () => {
    const { ask, published } = await serve();
    const response = await ask('POST', '/api/tasks', { request: 'a', context: { text: 'ü'.repeat(30_000) } });
    expect(response.statusCode).toBe(202);
    const [draft] = published;
    expect(draft?.attach?.[0]?.key).toBe(`{test}:request:${draft?.thread}`);
    expect(draft?.payload).toEqual({ task_id: draft?.thread, request_key: `{test}:request:${draft?.thread}` });
  });
});

describe('bodies', () => {
  test.each([
    ['what is not JSON', '{"request": ', 'application/json', 400, 'BODY_MALFORMED'],
    ['a form', 'request=a', 'application/x-www-form-urlencoded', 415, 'BODY_FOREIGN'],
    [
      'more than 256 kB',
      JSON.stringify({ request: 'x'.repeat(300_000) }),
      'application/json',
      413,
      'REQUEST_TOO_LARGE',
    ],
    ['nothing', '', 'application/json', 422, 'REQUEST_INVALID'],
    ['a poisoned prototype', '{"request":"a","__proto__":{"x":1}}', 'application/json', 400, 'BODY_MALFORMED'],
  ])('%s is refused as problem details', async (_what, payload, type, status, code) => {
    const { app } = await serve();
    const response = await app.inject({
      method: 'POST',
      url: '/api/tasks',
      headers: { ...bearer, 'content-type': type },
      payload,
    });
    expect(problemIn(response)).toMatchObject({ status, code, instance: '/api/tasks' });
    expect(response.statusCode).toBe(status);
  });

  test('unknown paths, tasks, letters and query fields are named', async () => {
    const { ask } = await serve();
    expect(problemIn(await ask('GET', '/api/nothing'))).toMatchObject({ status: 404, code: 'ROUTE_UNKNOWN' });
    expect(problemIn(await ask('GET', '/api/tasks/%zz'))).toMatchObject({ status: 404, code: 'ROUTE_UNKNOWN' });
    expect(problemIn(await ask('GET', '/api/tasks/Not%20One')).detail).toContain('lower-case letters');
    expect(problemIn(await ask('GET', '/api/tasks/no-such-task'))).toMatchObject({ status: 404, code: 'TASK_UNKNOWN' });
    expect(problemIn(await ask('POST', '/api/tasks/no-such-task/cancel'))).toMatchObject({ code: 'TASK_UNKNOWN' });
    expect(problemIn(await ask('GET', '/api/tasks?page=2')).problems?.[0]?.field).toBe('page');
    expect(problemIn(await ask('GET', '/api/tasks?limit=0')).problems?.[0]?.field).toBe('limit');
    expect(problemIn(await ask('POST', '/api/control', { command: 'HALT' })).problems?.[0]?.field).toBe('command');
  });
});

describe('access', () => {
  test('everything but health and the documentation asks for a token', async () => {
    const { app } = await serve();
    const status = async (url: string, headers = {}) => (await app.inject({ url, headers })).statusCode;
    for (const url of ['/health', '/ready', '/openapi.json', '/api/docs/'])
      expect([url, await status(url)]).toEqual([url, 200]);
    for (const url of ['/api/tasks', '/api/agents', '/metrics', '/api/events', '/api/nothing']) {
      expect([url, await status(url)]).toEqual([url, 401]);
      expect(await status(url, { authorization: 'Bearer wrong' })).toBe(401);
    }
    expect((await app.inject({ url: '/api/tasks' })).json().code).toBe('UNAUTHENTICATED');
    const foreign = { authorization: 'Bearer wrong' };
    expect((await app.inject({ url: '/api/tasks', headers: foreign })).json().code).toBe('TOKEN_UNKNOWN');
    expect(await status('/metrics', bearer)).toBe(200);
    const refused = await app.inject({ url: '/api/tasks' });
    expect(refused.headers['www-authenticate']).toContain('Bearer');
    expect(problemIn(refused).detail).toContain('nexus token');
  });

  test.each([
    ['REDIS_UNREACHABLE', false],
    ['REDIS_LOADING', false],
    ['REDIS_DISK', true],
    ['REDIS_READONLY', true],
    ['REDIS_REPLICAS', true],
  ] as const)(
    '%s refuses by its name what writes, and all else only where nothing can be read',
    async (code, reads) => {
      const failure = fail(code, { url: 'redis://h', message: 'Redis says so' });
      const { app, ask } = await serve({ failure });
      const refused = await ask('POST', '/api/tasks', { request: 'a' });
      expect([refused.statusCode, refused.headers['retry-after']]).toEqual([503, '5']);
      expect(problemIn(refused)).toMatchObject({ code, detail: failure.message });
      expect((await ask('GET', '/api/tasks')).statusCode).toBe(reads ? 200 : 503);
      expect((await app.inject({ url: '/health' })).statusCode).toBe(200);
    },
  );

  test('a narrower token gets as far as its scope', async () => {
    const { ask } = await serve({ env: { NEXUS_TOKEN_READ: 'reader', NEXUS_TOKEN_OPERATE: 'operator' } });
    const as = (name: string) => ({ authorization: `Bearer ${name}` });
    expect((await ask('GET', '/api/tasks', undefined, as('reader'))).statusCode).toBe(200);
    expect(problemIn(await ask('POST', '/api/tasks', { request: 'a' }, as('reader')))).toMatchObject({
      code: 'FORBIDDEN',
    });
    expect((await ask('POST', '/api/tasks', { request: 'a' }, as('operator'))).statusCode).toBe(202);
    const refused = await ask('POST', '/api/control', { command: 'STOP_ALL' }, as('operator'));
    expect([refused.statusCode, problemIn(refused).detail]).toEqual([403, expect.stringContaining('"admin"')]);
  });

  test('foreign names are refused in Host and Origin; loopback and added names are not', async () => {
    const { app } = await serve({ env: { NEXUS_HOSTS: 'nexus.example,fleet.example:8080' } });
    const status = async (headers: Record<string, string>) =>
      (await app.inject({ url: '/health', headers })).statusCode;
    for (const host of ['localhost:8080', '127.0.0.1:8080', '[::1]:8080', 'nexus.example', 'FLEET.example']) {
      expect([host, await status({ host })]).toEqual([host, 200]);
    }
    for (const host of ['evil.example', '127.0.0.1.evil.example', 'localhost.evil.example:8080', 'a b']) {
      expect([host, await status({ host })]).toEqual([host, 403]);
    }
    expect(await status({ host: 'localhost', origin: 'http://localhost:5173' })).toBe(200);
    expect(await status({ host: 'localhost', origin: 'https://evil.example' })).toBe(403);
    expect(await status({ host: 'localhost', origin: 'null' })).toBe(403);
    const refused = problemIn(await app.inject({ url: '/health', headers: { host: 'evil.example' } }));
    expect(refused).toMatchObject({ code: 'HOST_FOREIGN', detail: expect.stringContaining('NEXUS_HOSTS') });
  });

  test('no token is asked for where that was switched off, and only loopback may be so', async () => {
    const { app } = await serve({ env: { NEXUS_AUTH: 'off' } });
    expect((await app.inject({ url: '/api/agents' })).statusCode).toBe(200);
    const config = (env: Record<string, string>) => loadConfig(gatewayConfig, env);
    expect(authProblems(config({ NEXUS_AUTH: 'off' }))).toEqual([]);
    const anywhere = { NEXUS_AUTH: 'off', NEXUS_HOST: '0.0.0.0' };
    expect(authProblems(config(anywhere))).toEqual([expect.stringContaining('NEXUS_AUTH_OFF_ANYWHERE')]);
    expect(authProblems(config({ ...anywhere, NEXUS_AUTH_OFF_ANYWHERE: 'yes' }))).toEqual([]);
  });
});

describe('the document', () => {
  test('is valid OpenAPI 3.1 in the eyes of a validator that is not ours', async () => {
    const { app } = await serve();
    const response = await app.inject({ url: '/openapi.json' });
    const document = response.json();
    expect(document.openapi).toMatch(/^3\.1\./);
    expect(await new Validator().validate(document)).toEqual({ valid: true });
    const ids = Object.keys(document.components.schemas);
    expect(ids).toEqual(expect.arrayContaining(['TaskRequest', 'TaskAccepted', 'Task', 'Problem', 'AgentList']));
    expect(ids.filter((id) => id.endsWith('Input') || id === 'Envelope')).toEqual([]);
  });

  test('names for every operation its id, its security and the refusals that it can answer with', async () => {
    const { app } = await serve();
    const { paths } = (await app.inject({ url: '/openapi.json' })).json();
    const operations = Object.entries(paths).flatMap(([path, methods]) =>
      Object.entries(methods as Record<string, { operationId: string; security: object[]; responses: object }>).map(
        ([method, operation]) => ({ name: `${method} ${path}`, ...operation }),
      ),
    );
    expect(operations.length).toBeGreaterThan(18);
    expect(new Set(operations.map(({ operationId }) => operationId)).size).toBe(operations.length);
    for (const { name, security, responses } of operations) {
      const statuses = Object.keys(responses);
      expect([name, Array.isArray(security), statuses.some((status) => status.startsWith('4'))]).toEqual([
        name,
        true,
        true,
      ]);
      if (security.length > 0) expect([name, statuses]).toEqual([name, expect.arrayContaining(['401', '403'])]);
    }
  });

  test('says of every route once what it needs, and takes its own examples', async () => {
    const { app } = await serve();
    const document = (await app.inject({ url: '/openapi.json' })).json();
    expect(document.paths['/api/tasks'].get.description).toBe('Needs the scope `read`.');
    expect(JSON.stringify(document)).not.toContain('Default Response');
    const { 404: unknown, 422: invalid } = document.paths['/api/dead-letters/{id}'].get.responses;
    const example = (of: { content: object }) => problem.parse(Object.values(of.content)[0].example);
    expect([example(unknown).status, example(invalid).status]).toEqual([404, 422]);
    const { priority } = document.components.schemas.TaskRequest.properties;
    // A list of values would not hold the other spellings that are taken, such as those of the examples.
    expect(priority).toEqual({ type: 'string', description: expect.stringContaining('in any case') });
  });

  test('gives examples that the schemas take', () => {
    for (const example of examples.TaskRequest ?? []) taskRequest.parse(example);
    for (const example of examples.TaskAccepted ?? []) taskAccepted.parse(example);
    for (const example of examples.ControlCommand ?? []) controlCommand.parse(example);
    for (const example of examples.DeadLetterEdit ?? []) letterEdit.parse(example);
    for (const example of examples.DeadLettersDecision ?? []) lettersDecision.parse(example);
  });

  test('can be read with everything served from here', async () => {
    const { app } = await serve();
    const page = await app.inject({ url: '/api/docs/' });
    const { body } = await app.inject({ url: '/api/docs/static/swagger-initializer.js' });
    const [, logo = ''] = /data:image\/svg\+xml;base64,([^']+)/.exec(body) ?? [];
    expect(Buffer.from(logo, 'base64').toString()).toContain('>NEXUS<');
    expect(page.body).not.toMatch(/(src|href)="https?:/);
    const [, script = ''] = /src="\.(\/static\/swagger-ui-bundle\.js)"/.exec(page.body) ?? [];
    expect((await app.inject({ url: `/api/docs${script}` })).statusCode).toBe(200);
  });
});
