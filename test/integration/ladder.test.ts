/**
 * The ladder on a real fabric: project manager and orchestrator as they are, with workers, gate and finalizer that
 * answer as a test says.
 */
import { type Bus, done, type FollowUp, followUp, type Message } from '@nexus/shared/bus';
import { openCatalog } from '@nexus/shared/catalog';
import { listTasks, listWaiting, readBoard, readLoad, readTask } from '@nexus/shared/ledger';
import type { PayloadOf } from '@nexus/shared/messages';
import { planFile } from '@nexus/shared/messages/domain';
import { expect, test } from 'vitest';
import { service as orchestrator } from '../../services/orchestrator/main.ts';
import type { Tools as OrchestratorTools } from '../../services/orchestrator/settle-task.ts';
import type { Rules } from '../../services/project-manager/config.ts';
import { service as projectManager } from '../../services/project-manager/main.ts';
import type { AuditTools } from '../../services/project-manager/on-audit-due.ts';
import type { MemoryTools } from '../../services/project-manager/on-memory-noted.ts';
import type { Tools as ManagerTools } from '../../services/project-manager/transition.ts';
import {
  attemptFinished,
  baseCommit,
  check,
  commitOf,
  mergeFinished,
  rulesByDefault,
  verdictReached,
} from '../tools/board.ts';
import { eventually } from '../tools/eventually.ts';
import { memoriesOn } from '../tools/memories.ts';
import { consumeAll } from '../tools/messages.ts';
import { testFabric } from '../tools/redis.ts';

const catalog = await openCatalog();
const smaller = { id: 'smaller', title: 'A smaller piece', role: 'builder', goal: 'Do half of it.' };
type Dispatched = PayloadOf<'subtask.dispatched'>;
/** How an attempt ends; null: its agent works on. */
type Work = (order: Dispatched) => Partial<PayloadOf<'attempt.finished'>> | null;

const failing = { outcome: 'failed', code: 'AGENT_FAILED', says: 'It failed.' } as const;
const withCommit = ({ subtask_id, attempt }: Dispatched) => ({ commit: commitOf(`${subtask_id}${attempt}`) });
const result = {
  ...{ branch: 'nexus/x', commit: baseCommit, repository: '/repos/x', proven: true, undo: null, look: null },
  ...{ start: null, checks: { passed: 1, failed: 0, skipped: 0, broken: 0 } },
};

const answers = (message: Message, work: Work): FollowUp[] => {
  const { type, payload } = message;
  const nothing = { code: null, says: '' };
  if (type === 'repository.requested') {
    const { task_id } = payload as PayloadOf<typeof type>;
    return [followUp('repository.prepared', { task_id, base_commit: baseCommit, warnings: [], ...nothing })];
  }
  if (type === 'subtask.dispatched') {
    const order = payload as Dispatched;
    const { task_id, subtask_id, attempt, agent_id } = order;
    const end = work(order);
    if (end === null) return [];
    const finished = attemptFinished({ task_id, subtask_id, attempt }, { agent_id, ...end });
    return [followUp(finished.type, finished.payload)];
  }
  if (type === 'candidate.submitted') {
    const { task_id, subtask_id, attempt, integration: base, commit } = payload as PayloadOf<typeof type>;
    const fields = { base, tested_commit: commitOf(`t${commit.slice(0, 18)}`), checks: [check()] };
    return [followUp('verdict.reached', verdictReached({ task_id, subtask_id, attempt }, fields).payload)];
  }
  if (type === 'merge.requested') {
    const { base: _, tested_commit: commit, ...of } = payload as PayloadOf<typeof type>;
    return [followUp('merge.finished', mergeFinished(of, { commit }).payload)];
  }
  if (type !== 'release.requested') return [];
  const { task_id, outcome } = payload as PayloadOf<typeof type>;
  const released = outcome === 'completed' ? result : null;
  return [followUp('release.finished', { task_id, result: released, ...nothing })];
};

type Settings = { rules?: Partial<Rules>; patience?: Partial<OrchestratorTools['patience']>; retentionMs?: number };

const openFleet = async (work: Work, settings: Settings = {}, agentFor = (role: string) => role) => {
  const fabric = testFabric();
  const bus = await fabric.open('orchestrator');
  const upper: OrchestratorTools = {
    catalog,
    patience: { plansMax: 1, personTimeoutMs: 3_600_000, ...settings.patience },
    retentionMs: settings.retentionMs ?? 3_600_000,
  };
  bus.consume({ mode: 'stream', slots: 8, handlers: orchestrator.handlers, tools: upper });
  const manager = await fabric.open('project-manager');
  const lower: ManagerTools & AuditTools & MemoryTools = {
    memories: memoriesOn(manager),
    rules: { ...rulesByDefault, retryBaseMs: 20, ...settings.rules },
    agentFor,
    othersFor: (agent) => catalog.othersFor(agent).map(({ agent_id }) => agent_id),
    runtimes: async () => [],
    running: async () => [],
    countOverdue: () => {},
    random: () => 0.5,
    capacity: async () => 8,
  };
  manager.consume({ mode: 'stream', slots: 8, handlers: projectManager.handlers, tools: lower });
  const seen: Message[] = [];
  for (const other of ['worker-agent', 'quality-checker', 'finalizer'] as const) {
    consumeAll(await fabric.open(other), other, {
      work: (told) => {
        seen.push(told as Message);
        return done({ publish: answers(told as Message, work) });
      },
    });
  }
  const head = async (id: string) => (await readTask(bus.store, bus.keys, id))?.head;
  return {
    bus,
    fabric,
    head,
    submit: (id: string, roles = ['builder']) =>
      bus.publish({ type: 'task.submitted', payload: { request: { request: 'Build it', roles } }, ...of(id) }),
    reached: (id: string, status: string) =>
      eventually(`${id} is ${status}`, async () => {
        const now = await head(id);
        return now?.status === status && now;
      }),
    said: <K extends Message['type']>(type: K): PayloadOf<K>[] =>
      seen.filter((one) => one.type === type).map(({ payload }) => payload as PayloadOf<K>),
    board: (id: string) => readBoard(bus.store, bus.keys, id),
    nothingHeld: () =>
      eventually('nothing is held', async () => {
        const { inboxes } = await bus.counts();
        return Object.values(inboxes).every(({ waiting, held }) => waiting + held === 0);
      }),
  };
};
const of = (id: string) => ({ thread: id, actor: 'test' });
const load = ({ bus }: { bus: Bus }) => readLoad(bus.store, bus.keys);

test('three failures, another agent, a new plan, a person, and then it completes', async () => {
  let mended = false;
  const work: Work = (order) => {
    if (order.grows) return { plan: { file: planFile.parse({ subtasks: [smaller] }) } };
    return mended ? withCommit(order) : failing;
  };
  const fleet = await openFleet(work, { rules: { retries: 2, otherAgentsMax: 1 } });
  const { bus, said, board } = fleet;
  await fleet.submit('hard-task');
  const waiting = await fleet.reached('hard-task', 'waiting_for_person');
  expect(said('subtask.dispatched').map((one) => `${one.subtask_id} ${one.attempt} ${one.agent_id}`)).toEqual([
    ...['builder 1 builder', 'builder 2 builder', 'builder 3 builder', 'builder 4 code_developer'],
    'replan-builder 1 planner',
    ...['smaller 1 builder', 'smaller 2 builder', 'smaller 3 builder', 'smaller 4 code_developer'],
  ]);
  expect(waiting.waiting).toMatchObject({ subtask_id: 'smaller', number: 1, reason: 'AGENT_FAILED: It failed.' });
  expect(await listWaiting(bus.store, bus.keys)).toEqual([{ task_id: 'hard-task', since: waiting.waiting?.since }]);
  const stands = await eventually('the board waits, too', async () => {
    const now = await board('hard-task');
    return now?.head.counts.waiting_for_person === 1 && now;
  });
  const lines = stands.subtasks.get('smaller')?.history.map(({ step, agent_id }) => `${step} ${agent_id}`);
  expect(lines).toEqual(['first builder', 'retry builder', 'retry builder', 'other_agent code_developer']);
  expect(await load(fleet)).toEqual(new Map());
  mended = true;
  const answer = { task_id: 'hard-task', subtask_id: null, answer: 'retry' as const, note: 'The disk is mended.' };
  await bus.publish({ type: 'person.answered', payload: answer, ...of('hard-task') });
  await fleet.reached('hard-task', 'completed');
  expect(said('subtask.dispatched').at(-1)).toMatchObject({
    ...{ subtask_id: 'smaller', attempt: 5, agent_id: 'builder' },
    hand_over: { says: expect.stringContaining('A person says: The disk is mended.') },
  });
  expect(await listWaiting(bus.store, bus.keys)).toEqual([]);
});

test('nobody answers: the task fails with what it waited for, with its board closed and a report', async () => {
  const rules = { retries: 0, otherAgentsMax: 0 };
  const fleet = await openFleet(() => failing, { rules, patience: { plansMax: 0, personTimeoutMs: 100 } });
  const { bus, board, said } = fleet;
  await fleet.submit('silent-task');
  const { reason } = await fleet.reached('silent-task', 'failed');
  expect(reason).toMatch(/^PERSON_SILENT: Nobody answered until .*Subtask builder waited .*AGENT_FAILED: It failed\./);
  await eventually('the board is closed', async () => (await board('silent-task'))?.head.outcome === 'cancelled');
  const [report] = await eventually('the report is asked for', () => {
    const asked = said('release.requested');
    return asked.length > 0 && asked;
  });
  expect(report).toMatchObject({ outcome: 'failed', reason, commit: null, base_commit: baseCommit });
  await fleet.nothingHeld();
  expect((await fleet.head('silent-task'))?.status).toBe('failed');
  expect([await listWaiting(bus.store, bus.keys), await listTasks(bus.store, bus.keys, { open: true })]).toEqual([
    [],
    [],
  ]);
});

test('a task whose board cannot go on, because a message of it died, fails, and its board is closed', async () => {
  const agentFor = (role: string) => {
    if (role === 'planner') throw new Error('out of planners');
    return role;
  };
  const work: Work = ({ subtask_id }) => (subtask_id === 'builder' ? failing : null);
  const rules = { retries: 0, otherAgentsMax: 0 };
  const fleet = await openFleet(work, { rules }, agentFor);
  await fleet.submit('dead-task', ['builder']);
  const { reason } = await fleet.reached('dead-task', 'failed');
  expect(reason).toMatch(/PLAN_INVALID/);
  const closed = await eventually('the board is closed', async () => {
    const now = await fleet.board('dead-task');
    return now?.head.outcome && now;
  });
  expect(closed.head).toMatchObject({ outcome: 'cancelled', dispatched: [], counts: { cancelled: 1 } });
  expect((await fleet.bus.dead.list()).letters).toMatchObject([{ code: 'PLAN_INVALID' }]);
  expect(await load(fleet)).toEqual(new Map());
});

test('a parked subtask holds no slot, and its alarm lies in the park (rule 15)', async () => {
  const work: Work = (order) => (order.attempt === 1 ? failing : null);
  const fleet = await openFleet(work, { rules: { retryBaseMs: 7_200_000 } });
  const { bus, board } = fleet;
  await fleet.submit('patient-task');
  const parked = await eventually('it is parked', async () => {
    const now = await board('patient-task');
    return now?.head.counts.parked === 1 && now;
  });
  const { resume_at, ladder } = parked.subtasks.get('builder') ?? {};
  expect(ladder).toEqual({ retries: 1, agents: 0, plans: 0 });
  expect(Date.parse(resume_at ?? '') - Date.now()).toBeGreaterThan(60_000);
  expect(await load(fleet)).toEqual(new Map());
  await fleet.nothingHeld();
  expect((await bus.counts()).parked).toBe(1);
});

test('hubs of tasks that ended long ago go, each once; those of younger tasks stay', async () => {
  const fleet = await openFleet(withCommit, { retentionMs: 0 });
  const { bus, said } = fleet;
  for (const id of ['old-task', 'older-task']) {
    await fleet.submit(id);
    await fleet.reached(id, 'completed');
  }
  const due = () => bus.publish({ type: 'retention.due', payload: {}, thread: '', actor: 'test' });
  await due();
  await eventually('both go', () => said('hub.expired').length === 2);
  await due();
  await fleet.nothingHeld();
  expect(
    said('hub.expired')
      .map(({ task_id }) => task_id)
      .sort(),
  ).toEqual(['old-task', 'older-task']);
  expect((await fleet.head('old-task'))?.status).toBe('completed');
});

test('a second submission of a known task changes nothing, and is told', async () => {
  const fleet = await openFleet(() => null);
  const { bus, fabric } = fleet;
  await fleet.submit('known-task');
  await fleet.reached('known-task', 'in_progress');
  const before = await fleet.head('known-task');
  await fleet.submit('known-task');
  const told = await eventually('it is told', async () =>
    (await fabric.redis.xrange(bus.keys.journal, '-', '+')).flat(2).find((text) => text.includes('submitted again')),
  );
  expect(told).toMatch(/\\"known-task\\" was submitted again. It is in_progress/);
  expect(await fleet.head('known-task')).toEqual(before);
});
