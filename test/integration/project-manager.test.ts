/**
 * The project manager on a real fabric, two of it side by side. Workers, gate and finalizer are played by buses
 * whose handlers answer at once, so that results crowd on one board.
 */
import { type Bus, done, type FollowUp, followUp, type Message } from '@nexus/shared/bus';
import { readBoard, readLoad } from '@nexus/shared/ledger';
import { writeTask } from '@nexus/shared/ledger/write';
import type { PayloadOf } from '@nexus/shared/messages';
import { expect, test } from 'vitest';
import type { Rules } from '../../services/project-manager/config.ts';
import { service } from '../../services/project-manager/main.ts';
import type { AuditTools } from '../../services/project-manager/on-audit-due.ts';
import type { Tools } from '../../services/project-manager/transition.ts';
import {
  attemptBegun,
  attemptFinished,
  baseCommit,
  check,
  commitOf,
  mergeFinished,
  type NodeGiven,
  planAccepted,
  rulesByDefault,
  verdictReached,
} from '../tools/board.ts';
import { eventually } from '../tools/eventually.ts';
import { memoriesOn } from '../tools/memories.ts';
import { consumeAll } from '../tools/messages.ts';
import { testFabric } from '../tools/redis.ts';

const at = '2026-01-02T03:04:05.000Z';
type Answer = (message: Message, said: FollowUp[]) => FollowUp[];

const answers = ({ type, payload }: Message): FollowUp[] => {
  if (type === 'subtask.dispatched') {
    const { task_id, subtask_id, attempt } = payload as PayloadOf<typeof type>;
    const commit = commitOf(`${subtask_id}${attempt}`);
    const told = [attemptBegun, attemptFinished].map((tell) => tell({ task_id, subtask_id, attempt }, { commit }));
    return told.map((one) => followUp(one.type, one.payload));
  }
  if (type === 'candidate.submitted') {
    const { integration: base, commit, ...of } = payload as PayloadOf<typeof type>;
    const { task_id, subtask_id, attempt } = of;
    const fields = { base, tested_commit: commitOf(`t${commit.slice(0, 18)}`), checks: [check()] };
    return [followUp('verdict.reached', verdictReached({ task_id, subtask_id, attempt }, fields).payload)];
  }
  if (type === 'merge.requested') {
    const { base: _, tested_commit: commit, ...of } = payload as PayloadOf<typeof type>;
    return [followUp('merge.finished', mergeFinished(of, { commit }).payload)];
  }
  return [];
};

const toolsByDefault: Tools & AuditTools = {
  running: async () => [],
  countOverdue: () => undefined,
  restMs: 0,
  rules: rulesByDefault,
  agentFor: (role) => role,
  othersFor: (agent) => (agent === 'builder' ? ['tester'] : []),
  runtimes: async () => [],
  random: () => 0.5,
  capacity: async () => 8,
};

const others = ['worker-agent', 'quality-checker', 'finalizer', 'orchestrator'] as const;

const openFleet = async (
  answer: Answer = (_, said) => said,
  rules: Partial<Rules> = {},
  playedNow = others.slice(),
) => {
  const fabric = testFabric();
  const managers: Bus[] = [];
  for (let count = 0; count < 2; count++) {
    const bus = await fabric.open('project-manager');
    const tools = { ...toolsByDefault, memories: memoriesOn(bus), rules: { ...rulesByDefault, ...rules } };
    bus.consume({ mode: 'stream', slots: 32, handlers: service.handlers, tools });
    managers.push(bus);
  }
  const seen: Message[] = [];
  const play = async (other: (typeof others)[number]): Promise<void> => {
    consumeAll(await fabric.open(other), other, {
      work: (told) => {
        const message = told as Message;
        seen.push(message);
        return done({ publish: answer(message, answers(message)) });
      },
    });
  };
  for (const other of playedNow) await play(other);
  const [bus] = managers as [Bus];
  return {
    fabric,
    bus,
    seen,
    play,
    start: async (id: string, nodes: readonly NodeGiven[]) => {
      await putTask(bus, fabric.redis, id);
      const { type, payload } = planAccepted(id, nodes);
      await bus.publish({ type, payload: payload as PayloadOf<'plan.accepted'>, thread: id, actor: 'test' });
    },
    completed: (id: string) =>
      eventually(`${id} is completed`, () =>
        seen.some(({ type, conversation_thread }) => type === 'board.completed' && conversation_thread === id),
      ),
  };
};

/** The task's document, as the orchestrator would have written it. */
const putTask = async (bus: Bus, redis: ReturnType<typeof testFabric>['redis'], id: string): Promise<void> => {
  const writes = writeTask(bus.keys, id, 0, {
    head: {
      ...{ task_id: id, title: 'Task', status: 'in_progress', reason: null, priority: 'NORMAL', mode: 'parallel' },
      ...{ workflow: null, created_at: at, updated_at: at, ended_at: null, deadline: null, repository: null },
      ...{ base: null, base_commit: baseCommit, warnings: [], actor: 'test' },
    },
    request: { request: 'Do it' },
  });
  for (const write of writes) {
    if (write.op === 'patch') await redis.hset(write.key, { ...write.set, revision: '1' });
    if (write.op === 'index') await redis.zadd(write.key, write.score, write.member);
  }
};

test('two project managers drive one wide board to its end, and every count is right', async () => {
  const { bus, start, completed, seen } = await openFleet();
  const wide = Array.from({ length: 40 }, (_, n) => ({ id: `n${n}` }));
  await start('wide-task', [...wide, { id: 'last', depends_on: wide.map(({ id }) => id) }]);
  await completed('wide-task');
  const board = await readBoard(bus.store, bus.keys, 'wide-task');
  expect(board?.head).toMatchObject({ counts: { merged: 41 }, merged: 41, attempts: 41, outcome: 'completed' });
  expect(seen.filter(({ type }) => type === 'candidate.submitted')).toHaveLength(41);
  expect(await readLoad(bus.store, bus.keys)).toEqual(new Map());
});

test('tasks side by side share the fleet, and all of them end', async () => {
  const { bus, start, completed } = await openFleet();
  const ids = ['task-a', 'task-b', 'task-c', 'task-d'];
  const nodes = Array.from({ length: 10 }, (_, n) => ({ id: `n${n}`, depends_on: n < 5 ? [] : [`n${n - 5}`] }));
  await Promise.all(ids.map((id) => start(id, nodes)));
  await Promise.all(ids.map(completed));
  expect(await readLoad(bus.store, bus.keys)).toEqual(new Map());
});

test('an attempt that fails is dispatched again when its wait is over', async () => {
  const { start, completed, seen } = await openFleet(({ type, payload }, said) => {
    if (type !== 'subtask.dispatched') return said;
    const { task_id, subtask_id, attempt } = payload as PayloadOf<typeof type>;
    if (attempt > 1) return said;
    const fields = { outcome: 'failed' as const, code: 'AGENT_CRASHED', says: 'It crashed.' };
    return [followUp('attempt.finished', attemptFinished({ task_id, subtask_id, attempt }, fields).payload)];
  });
  await start('crash-task', [{ id: 'build' }]);
  await completed('crash-task');
  const again = seen.filter(({ type }) => type === 'subtask.dispatched').at(-1);
  expect(again?.payload).toMatchObject({ attempt: 2, hand_over: { why: 'agent_failed', says: 'It crashed.' } });
});

test('a plan that cannot be worked off ends its task by the last word of its dead letter', async () => {
  const { bus, start, completed, seen } = await openFleet();
  await start('bad-task', [{ id: 'one', depends_on: ['one'] }]);
  await completed('bad-task');
  expect(seen.at(-1)?.payload).toMatchObject({ outcome: 'failed', reason: expect.stringContaining('PLAN_INVALID') });
  expect((await bus.dead.list()).letters).toMatchObject([
    { code: 'PLAN_INVALID', envelope: { type: 'plan.accepted' } },
  ]);
});

test('what only waited in a stream that somebody deleted is asked for again by the next audit', async () => {
  const { fabric, bus, start, play, completed, seen } = await openFleet(undefined, {}, ['orchestrator']);
  const { redis } = fabric;
  await start('lost-task', [{ id: 'build' }]);
  for (const service of ['worker-agent', 'quality-checker', 'finalizer'] as const) {
    const inbox = bus.keys.inbox(service, 'HIGH');
    await eventually(`an order waits for ${service}`, async () => (await redis.xlen(inbox)) === 1);
    await redis.del(inbox);
    await play(service);
    await bus.publish({ type: 'audit.due', payload: {}, thread: 'audit', actor: 'test' });
  }
  await completed('lost-task');
  const orders = seen.map(({ type }) => type);
  expect(orders).toEqual(['subtask.dispatched', 'candidate.submitted', 'merge.requested', 'board.completed']);
  const board = await readBoard(bus.store, bus.keys, 'lost-task');
  expect(board?.head).toMatchObject({ attempts: 1, gate_runs: 1, merged: 1, outcome: 'completed' });
});
