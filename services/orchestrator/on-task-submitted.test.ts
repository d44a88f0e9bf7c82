import { type HandlerTools, keysOf, type Message } from '@nexus/shared/bus';
import { openCatalog } from '@nexus/shared/catalog';
import { readTask } from '@nexus/shared/ledger';
import { silentLog } from '@nexus/shared/telemetry';
import { expect, test } from 'vitest';
import { openMemoryStore } from '../../test/tools/memory-store.ts';
import { onTaskSubmitted } from './on-task-submitted.ts';

const keys = keysOf('{test}');
const catalog = await openCatalog();

test('a scenario with a mistake in a message written by hand fails its task before anybody works on it', async () => {
  const store = openMemoryStore();
  const tools = { store, keys, catalog, now: Date.now, tell: () => {}, log: silentLog() };
  const request = { request: 'Rehearse it', scenario: 'name: broken\nsubtasks: [' };
  const message = { payload: { task_id: 'a-task', request }, priority: 'NORMAL', actor: 'by hand' };
  const outcome = await onTaskSubmitted(
    message as Message<'task.submitted'>,
    tools as unknown as HandlerTools & Parameters<typeof onTaskSubmitted>[1],
  );
  expect(outcome).toMatchObject({ is: 'done', publish: [{ type: 'release.requested' }] });
  if (outcome.is === 'done') store.settle(outcome.write);
  const task = await readTask(store, keys, 'a-task');
  expect(task?.head).toMatchObject({ status: 'failed', reason: expect.stringMatching(/^SCENARIO_INVALID: .*line \d/) });
});

test('a task that is submitted again is logged once by its id: the log of a message has it already', async () => {
  const store = openMemoryStore();
  const logged: object[] = [];
  const log = { ...silentLog(), info: (about: object) => void logged.push(about) };
  const tools = { store, keys, catalog, now: Date.now, tell: () => {}, log };
  const message = { payload: { task_id: 'a-task', request: { request: 'Do it' } }, priority: 'NORMAL', actor: 'x' };
  const submit = async () =>
    onTaskSubmitted(
      message as Message<'task.submitted'>,
      tools as unknown as HandlerTools & Parameters<typeof onTaskSubmitted>[1],
    );
  const outcome = await submit();
  if (outcome.is === 'done') store.settle(outcome.write);
  await submit();
  expect(logged).toEqual([{ status: expect.any(String) }]);
});

test('an agent that was added a moment ago is looked for before its task fails', async () => {
  const store = openMemoryStore();
  const older = await openCatalog();
  let newest = older;
  const source = '---\nname: wizard\ndescription: Conjures.\n---\nYou conjure.\n';
  const shared = new Map([['wizard', { source, revision: 1, by: 'x', at: '2026-01-02T03:04:05.000Z' }]]);
  const live = {
    ...older,
    agentFor: (role: string) => newest.agentFor(role),
    refresh: async () => {
      newest = await openCatalog({ shared });
      return true;
    },
  };
  const tools = { store, keys, catalog: live, now: Date.now, tell: () => {}, log: silentLog() };
  const submit = (task_id: string, role: string) =>
    onTaskSubmitted(
      { payload: { task_id, request: { request: 'Do it', roles: [role] } }, priority: 'NORMAL', actor: 'x' } as never,
      tools as unknown as HandlerTools & Parameters<typeof onTaskSubmitted>[1],
    );
  expect(await submit('a-task', 'wizard')).toMatchObject({ publish: [{ type: 'repository.requested' }] });
  expect(await submit('b-task', 'nobody')).toMatchObject({ publish: [{ payload: { outcome: 'failed' } }] });
});
