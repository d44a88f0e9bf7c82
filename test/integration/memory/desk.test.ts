/** Memories over the API and the command line: a real gateway, the real client, the real verbs. */
import type { ClientProblem } from '@nexus/shared/client';
import { projectScope } from '@nexus/shared/memory';
import { expect, test } from 'vitest';
import { exitCodes } from '../../../services/cli/exit-codes.ts';
import { openHome, runNexus } from '../../tools/cli.ts';
import { serve, token } from '../../tools/live-gateway.ts';
import { memoriesOn } from '../../tools/memories.ts';

const at = '2026-01-02T03:04:05.000Z';

const open = async (env: Record<string, string> = {}) => {
  const { client, bus, url } = await serve(env, { worker: false });
  const memories = memoriesOn(bus);
  const learn = (task: string, content: string, scope = projectScope('/repos/shop')) =>
    memories.remember({
      ...{ scope, content, tags: ['sent_back'], importance: 0.6, key: `${task}/build/1/sent_back` },
      source: { kind: 'lesson', by: 'builder', task_id: task, subtask_id: 'build', attempt: 1, at },
    });
  const nexus = (...words: string[]) => runNexus(openHome(), words, url, { env: { NEXUS_TOKEN: token } });
  return { client, memories, learn, nexus, url };
};
const problem = (failed: Promise<unknown>): Promise<ClientProblem> =>
  failed.then(
    () => Promise.reject(),
    (error) => error,
  );

test('what people add is kept for whom they say, once, without secrets, and found by what it is about', async () => {
  const { client } = await open();
  const given = {
    content: 'Money is in cents; password = "hunter2-hunter2"',
    repository: '/repos/shop',
    tags: ['Money'],
  };
  const { status, memory } = await client.remember(given);
  expect([status, memory.scope, memory.tags]).toEqual(['kept', projectScope('/repos/shop'), ['money']]);
  expect(memory.content).toBe('Money is in cents; password = "(redacted)"');
  expect(memory.sources).toMatchObject([{ kind: 'note', by: 'token:admin', task_id: null }]);
  expect((await client.remember(given)).status).toBe('known');
  await client.remember({ content: 'Deploy on Mondays' });
  await client.remember({ content: 'Be brief', agent: 'builder' });
  const { memories, total, scopes } = await client.memories();
  expect([memories.map(({ score }) => score), total]).toEqual([[null, null, null], 3]);
  expect(scopes.map(({ scope, count }) => `${scope} ${count}`).sort()).toEqual([
    ...['agent:builder 1', `${projectScope('/repos/shop')} 1`, 'shared 1'],
  ]);
  expect((await client.memories({ agent: 'builder' })).memories.map(({ content }) => content)).toEqual(['Be brief']);
  const found = await client.memories({ q: 'how is money kept' });
  expect(found.memories).toMatchObject([{ id: memory.id, score: expect.any(Number), fit: expect.any(Number) }]);
  expect((await client.memories({ tag: 'money' })).total).toBe(1);
  expect((await client.memories({ limit: 2 })).next_offset).toBe(2);
});

test('what is not right is refused with what would be, and leaves nothing', async () => {
  const { client } = await open();
  const refused = async (failed: Promise<unknown>) => {
    const { status, code, problems } = await problem(failed);
    return [status, code, problems?.map(({ says }) => says).join()];
  };
  expect(await refused(client.remember({ content: '  ' }))).toEqual([
    ...[422, 'REQUEST_INVALID', 'is empty; say what is to be remembered'],
  ]);
  expect(await refused(client.remember({ content: 'x', agent: 'a', scope: 'shared' }))).toEqual([
    ...[422, 'REQUEST_INVALID', 'name one of scope, agent and repository at most'],
  ]);
  expect((await refused(client.remember({ content: 'x', scope: 'mine' })))[2]).toContain('agent:<id>');
  expect(await refused(client.forgetAll({}))).toEqual([
    ...[422, 'REQUEST_INVALID', 'name exactly one of task, scope, agent and repository'],
  ]);
  for (const failed of [client.memory('maaaaaaaaaaaa'), client.forget('maaaaaaaaaaaa')]) {
    expect(await refused(failed)).toEqual([404, 'MEMORY_UNKNOWN', undefined]);
  }
  expect((await problem(client.memory('nonsense'))).status).toBe(422);
  expect((await client.memories()).total).toBe(0);
});

test('looking needs read, adding and forgetting one needs operate, forgetting many needs admin', async () => {
  const { url } = await open({ NEXUS_TOKEN_READ: 'a-token-that-reads', NEXUS_TOKEN_OPERATE: 'a-token-that-operates' });
  const status = async (bearer: string, method: string, path: string, body?: unknown) => {
    const headers = { authorization: `Bearer ${bearer}`, 'content-type': 'application/json' };
    return (await fetch(url + path, { method, headers, ...(body ? { body: JSON.stringify(body) } : {}) })).status;
  };
  const add = ['POST', '/api/memory', { content: 'x y' }] as const;
  expect(await status('a-token-that-reads', 'GET', '/api/memory')).toBe(200);
  expect(await status('a-token-that-reads', ...add)).toBe(403);
  expect(await status('a-token-that-operates', ...add)).toBe(201);
  expect(await status('a-token-that-reads', 'DELETE', '/api/memory/maaaaaaaaaaaa')).toBe(403);
  expect(await status('a-token-that-operates', 'DELETE', '/api/memory/maaaaaaaaaaaa')).toBe(404);
  expect(await status('a-token-that-operates', 'DELETE', '/api/memory?scope=shared')).toBe(403);
  expect(await status(token, 'DELETE', '/api/memory?scope=shared')).toBe(200);
});

test('what a task has left is forgotten by a word of its own, and nothing else with it', async () => {
  const { learn, nexus, memories } = await open();
  await learn('first-task', 'Add a page: Build it (builder)\nThe owner line was missing.');
  await learn('second-task', 'Something else: Build it (builder)\nThe list was not sorted.');
  const { code, out } = await nexus('memory', 'rm', '--task', 'first-task');
  expect([code, out]).toEqual([0, 'Forgotten: 1.\n']);
  expect((await memories.list({ limit: 9, offset: 0 })).memories.map(({ sources }) => sources[0]?.task_id)).toEqual([
    'second-task',
  ]);
  expect((await nexus('memory', 'rm', '--task', 'first-task')).out).toBe('There was nothing to forget.\n');
});

test('the command line lists, searches, shows, adds and removes', async () => {
  const { learn, nexus } = await open();
  expect((await nexus('memory', 'ls')).out).toBe('Nothing is remembered yet.\n');
  const { id } = await learn('first-task', 'Add a page: Build it (builder)\nThe owner line was missing.');
  const list = await nexus('memory', 'ls', '--repo', '/repos/shop');
  expect(list.out).toMatch(new RegExp(`${id} +project:shop-[0-9a-f]{8} +lesson .*Add a page: Build it`));
  expect(list.out).toMatch(/Held: project:shop-[0-9a-f]{8} 1/);
  const shown = await nexus('memory', 'show', id);
  expect(shown.out).toContain(`from first-task/build, attempt 1 by builder, ${at}`);
  expect(shown.out).toContain('The owner line was missing.');
  expect((await nexus('memory', 'search', 'missing', 'owner')).out).toContain(id);
  expect((await nexus('memory', 'search', 'zeppelins')).out).toBe('Nothing that is remembered fits.\n');
  const added = await nexus('memory', 'add', 'Money is in cents', '--agent', 'builder', '--tag', 'money', '--json');
  expect(JSON.parse(added.out)).toMatchObject({ status: 'kept', memory: { scope: 'agent:builder', tags: ['money'] } });
  expect((await nexus('memory', 'add', 'Money is in cents', '--agent', 'builder')).out).toContain(
    'says the same already',
  );
  expect((await nexus('memory', 'rm', id)).out).toBe(`${id} is forgotten.\n`);
  const again = await nexus('memory', 'rm', id);
  expect([again.code, again.err]).toEqual([
    exitCodes.refused.code,
    expect.stringContaining(`There is no memory ${id}`),
  ]);
  const many = await nexus('memory', 'rm', '--agent', 'builder');
  expect([many.code, many.err]).toEqual([exitCodes.usage.code, expect.stringContaining('Forget for good 1 memory?')]);
  expect((await nexus('memory', 'rm', '--agent', 'builder', '--yes')).out).toBe('Forgotten: 1.\n');
  expect((await nexus('memory', 'rm')).code).toBe(exitCodes.usage.code);
  expect((await nexus('memory', 'add', 'x', '--importance', '7')).code).toBe(exitCodes.usage.code);
});
