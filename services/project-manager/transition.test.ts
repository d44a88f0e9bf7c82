import {
  type FollowUp,
  type HandlerTools,
  keysOf,
  type LiveEvent,
  type Message,
  type Outcome,
} from '@nexus/shared/bus';
import { fail } from '@nexus/shared/errors';
import { readBoard, readLoad, readStats } from '@nexus/shared/ledger';
import { writeAttempt, writeBoard, writeTask } from '@nexus/shared/ledger/write';
import type { TaskRequest } from '@nexus/shared/messages/domain';
import { silentLog } from '@nexus/shared/telemetry';
import { expect, test } from 'vitest';
import {
  attemptBegun,
  attemptFinished,
  baseCommit,
  planAccepted,
  rulesByDefault,
  taskFacts,
  verdictReached,
} from '../../test/tools/board.ts';
import { openMemoryStore } from '../../test/tools/memory-store.ts';
import type { BoardMessage } from './board.ts';
import { onPlanAccepted } from './on-plan-accepted.ts';
import { type Tools, transition } from './transition.ts';

const keys = keysOf('{transition}');
const at = '2026-01-02T03:04:05.000Z';

const openFleet = async (wished: Partial<TaskRequest> = {}) => {
  const store = openMemoryStore();
  const told: LiveEvent[] = [];
  const tools: HandlerTools & Tools = {
    log: silentLog(),
    signal: new AbortController().signal,
    now: () => Date.parse(at),
    claim: { instanceId: 'project-manager-1', token: 'token', epoch: 0 },
    store,
    keys,
    begin: async () => {},
    checkpoint: async () => {},
    tell: (event) => told.push(event),
    rules: rulesByDefault,
    agentFor: (role) => `${role}_agent`,
    othersFor: () => [],
    runtimes: async () => [],
    random: () => 0.5,
    capacity: async () => 4,
  };
  const { priority, mode, checks } = taskFacts;
  store.settle(
    writeTask(keys, 'task', 0, {
      head: {
        ...{ task_id: 'task', title: 'Task', status: 'in_progress', reason: null, priority, mode, workflow: null },
        ...{ created_at: at, updated_at: at, ended_at: null, deadline: null, repository: null, base: null },
        ...{ base_commit: baseCommit, warnings: [], actor: 'cli' },
      },
      request: { request: 'Do it', checks, ...wished },
    }),
  );
  const handle = async (message: BoardMessage): Promise<Outcome> =>
    transition(message as Message<'plan.accepted'>, tools);
  /** Handles a message and settles what came of it, as often as it takes. */
  const deliver = async (message: BoardMessage): Promise<FollowUp[]> => {
    const outcome = await handle(message);
    if (outcome.is !== 'done') throw new Error(`it is not done but ${outcome.is}`);
    return store.settle(outcome.write) ? outcome.publish : deliver(message);
  };
  return { store, tools, told, handle, deliver };
};

const nodes = [
  { id: 'look', kind: 'report' as const },
  { id: 'build', depends_on: ['look'] },
];
const of = (id: string, attempt = 1) => ({ task_id: 'task', subtask_id: id, attempt });

test('a handler reads the ledger, and answers with the board, its follow-ups and its counters', async () => {
  const { store, told, deliver } = await openFleet();
  const [first] = await deliver(planAccepted('task', nodes));
  expect(first).toMatchObject({ type: 'subtask.dispatched', payload: { agent_id: 'builder_agent' } });
  expect(await readLoad(store, keys)).toEqual(new Map([['task', 1]]));
  await deliver(attemptBegun(of('look')));
  await deliver(attemptFinished(of('look')));
  const [candidate] = await deliver(attemptFinished(of('build'), { commit: 'b'.repeat(40) }));
  expect(candidate).toMatchObject({ type: 'candidate.submitted', payload: { checks: taskFacts.checks } });
  expect((await readBoard(store, keys, 'task'))?.head).toMatchObject({ counts: { reported: 1, checking: 1 } });
  expect(await readLoad(store, keys)).toEqual(new Map());
  expect(await readStats(store, keys, '2026-01-02')).toEqual(new Map([['agent:builder:completed', 1]]));
  expect(told.map(({ subtask_id, text }) => `${subtask_id} ${text}`)).toEqual([
    ...['look ready', 'build blocked', 'look working', 'look reported', 'build ready', 'build checking'],
  ]);
});

test.each([
  ['what the project declares', {}, null],
  ['none', { setup: [] }, []],
  ['its own', { setup: ['make deps'] }, ['make deps']],
])('a task that asks for %s as its set-up gets that at the gate', async (_, wished, setup) => {
  const { deliver } = await openFleet(wished);
  await deliver(planAccepted('task', [{ id: 'build' }]));
  const [candidate] = await deliver(attemptFinished(of('build'), { commit: 'b'.repeat(40) }));
  expect(candidate).toMatchObject({ type: 'candidate.submitted', payload: { setup } });
});

test('a transition on a large board reads it no more often than on a small one', async () => {
  const reads: number[] = [];
  for (const size of [1, 300]) {
    const { store, deliver } = await openFleet();
    const others = Array.from({ length: size }, (_, n) => ({ id: `n${n}`, depends_on: ['build'] }));
    await deliver(planAccepted('task', [...nodes, ...others]));
    store.reads.clear();
    await deliver(attemptFinished(of('look')));
    reads.push(store.reads.get(keys.board('task')) ?? 0);
  }
  expect(reads[1]).toBe(reads[0]);
});

test('an agent that was added a moment ago is looked for before its plan is buried', async () => {
  const { tools, told, deliver } = await openFleet();
  const roles = ['analyst'];
  tools.agentFor = (role) => {
    if (!roles.includes(role)) throw fail('ROLE_UNKNOWN', { role, known: roles.join(', ') });
    return `${role}_agent`;
  };
  tools.refresh = async () => false;
  await expect(deliver(planAccepted('task', nodes))).rejects.toMatchObject({ code: 'PLAN_INVALID' });
  tools.refresh = async () => roles.push('builder');
  const [first] = await deliver(planAccepted('task', nodes));
  expect(first).toMatchObject({ type: 'subtask.dispatched', payload: { agent_id: 'builder_agent' } });
  expect(told.map(({ text }) => text)).toEqual(['ready', 'blocked']);
});

test('a message that comes too late is done with nothing', async () => {
  const { deliver, handle } = await openFleet();
  await deliver(planAccepted('task', nodes));
  expect(await handle(verdictReached(of('build'), {}))).toEqual({ is: 'done', publish: [], write: [] });
  expect(await handle(attemptFinished(of('look', 7)))).toEqual({ is: 'done', publish: [], write: [] });
});

test('of two handlers that decide on one revision one settles, the other decides again (rules 11, 13)', async () => {
  const { store, handle, deliver } = await openFleet();
  await deliver(planAccepted('task', [{ id: 'one' }, { id: 'two' }]));
  const [one, two] = await Promise.all([handle(attemptBegun(of('one'))), handle(attemptBegun(of('two')))]);
  if (one.is !== 'done' || two.is !== 'done') throw new Error('both are done');
  expect(store.settle(one.write)).toBe(true);
  expect(store.settle(two.write)).toBe(false);
  await deliver(attemptBegun(of('two')));
  expect((await readBoard(store, keys, 'task'))?.head.counts).toEqual({ working: 2 });
});

test('a board that moves between two reads is read anew', async () => {
  const { store, tools, deliver } = await openFleet();
  await deliver(planAccepted('task', [...nodes, { id: 'aside' }]));
  const { readFields } = store;
  let disturbed = false;
  tools.store = {
    ...store,
    readFields: async (key, fields) => {
      if (!disturbed && key === keys.board('task') && fields.includes('s:build')) {
        disturbed = true;
        tools.store = store;
        await deliver(attemptBegun(of('aside')));
      }
      return readFields(key, fields);
    },
  };
  await deliver(attemptFinished(of('look')));
  expect(disturbed).toBe(true);
  expect((await readBoard(store, keys, 'task'))?.head.counts).toEqual({ reported: 1, ready: 1, working: 1 });
});

test('a crowd of results on one board keeps nobody from deciding', async () => {
  const { store, tools, deliver, handle } = await openFleet();
  await deliver(planAccepted('task', nodes));
  const key = keys.board('task');
  let reads = 0;
  tools.store = {
    ...store,
    readFields: async (name, fields) => {
      // Somebody else settles before every single read.
      if (name === key) store.settle(writeBoard(keys, 'task', Number(store.hashes.get(key)?.get('revision')), {}));
      reads++;
      return store.readFields(name, fields);
    },
  };
  const publish = [{ key: 'build-1' }, { key: 'look-1-ended' }];
  expect(await handle(attemptFinished(of('look')))).toMatchObject({ is: 'done', publish });
  expect(reads).toBeLessThan(12);
});

test('a discarded board goes only at the revision that was looked at, with its slots and checkpoints', async () => {
  const { store, handle, deliver } = await openFleet();
  await deliver(planAccepted('task', nodes));
  store.settle(writeAttempt(keys, 'task', 'look', 0, { ended: 1 }));
  const discarding = await handle({ type: 'board.discarded', payload: { task_id: 'task' } });
  await deliver(attemptFinished(of('look'), { outcome: 'failed', code: 'COMMAND_MISSING' }));
  if (discarding.is !== 'done') throw new Error('it is done');
  expect(store.settle(discarding.write)).toBe(false);
  await deliver({ type: 'board.discarded', payload: { task_id: 'task' } });
  expect(store.hashes.has(keys.board('task'))).toBe(false);
  expect(store.hashes.has(keys.attempt('task', 'look'))).toBe(false);
  expect(await readLoad(store, keys)).toEqual(new Map());
});

test('a plan that cannot be worked off is thrown as PLAN_INVALID, so that its dead letter fails the task', async () => {
  const { tools } = await openFleet();
  const message = planAccepted('task', [{ id: 'one', depends_on: ['one'] }]) as Message<'plan.accepted'>;
  await expect(onPlanAccepted(message, tools)).rejects.toMatchObject({ code: 'PLAN_INVALID' });
});
