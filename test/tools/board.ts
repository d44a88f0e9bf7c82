/**
 * A ledger in memory that the pure board is driven with: views with exactly the parts that were read, and a
 * settlement that refuses what was decided on an older revision, as the real one does. After every settlement
 * it asserts what must hold of any board, whatever led to it.
 */
import assert from 'node:assert/strict';
import type { FollowUp } from '@nexus/shared/bus';
import { fail } from '@nexus/shared/errors';
import type { PayloadOf } from '@nexus/shared/messages';
import {
  type BoardHead,
  boardHead,
  type Check,
  type PlannedSubtask,
  plannedSubtask,
  type Subtask,
  subtask,
} from '@nexus/shared/messages/domain';
import {
  type BoardMessage,
  type Decision,
  decide,
  Missing,
  type TaskFacts,
  type View,
} from '../../services/project-manager/board.ts';
import type { Rules } from '../../services/project-manager/config.ts';

type Stored = { revision: number; head: BoardHead; subtasks: Map<string, Subtask> };

/** The settings as a fleet has them by default. */
export const rulesByDefault: Rules = {
  taskAgentsMax: 8,
  subtasksMax: 200,
  retries: 3,
  otherAgentsMax: 1,
  retryBaseMs: 1000,
  retryWaitMaxMs: 300_000,
  sentBackMax: 3,
  gateBrokenMax: 2,
  planRejectionsMax: 2,
  readyListedMax: 32,
};

export const baseCommit = '0'.repeat(40);
/** Any text as a commit id that can be told from others. */
export const commitOf = (text: string): string => Buffer.from(text).toString('hex').padEnd(40, '0').slice(-40);

const roles = ['builder', 'planner', 'tester', 'reviewer', 'analyst', 'documenter'];
const agentFor = (role: string): string => {
  if (!roles.includes(role)) throw fail('ROLE_UNKNOWN', { role, known: roles.join(', ') });
  return role;
};

export type MemoryLedger = ReturnType<typeof openMemoryLedger>;

/** Who else can do what an agent does. */
const othersFor = (agent: string): string[] => (agent === 'builder' ? ['tester', 'documenter'] : []);

export type MemoryOptions = {
  rules?: Partial<Rules>;
  capacity?: number;
  /** What is left to chance in a decision; the whole wait, if it is left out. */
  chance?: () => number;
  /** The runtimes that workers can use. */
  runtimes?: readonly string[];
  /** How agents are chosen; left out, one for each role. */
  routing?: Partial<Pick<View, 'agentFor' | 'candidatesFor' | 'definitionOf'>>;
  /** Agent → attempts that it runs elsewhere. */
  running?: ReadonlyMap<string, number>;
};

export const openMemoryLedger = (options: MemoryOptions = {}) => {
  const rules = { ...rulesByDefault, ...options.rules };
  const boards = new Map<string, Stored>();
  const tasks = new Map<string, TaskFacts>();
  const load = new Map<string, number>();
  const stats = new Map<string, number>();
  const history = new Map<string, number>();
  const notes: Decision['notes'] = [];

  const view = (taskId: string, ids: readonly string[]): View => {
    const board = boards.get(taskId);
    return {
      taskId,
      board: board ? { ...board, subtasks: pick(board, ids) } : null,
      read: new Set(ids),
      rules,
      agentFor,
      othersFor,
      chance: options.chance?.() ?? 1,
      ...options.routing,
    };
  };
  /** The view with what was missing, all of it as it stands now. */
  const more = (old: View, missing: Missing): View => {
    if (missing.also === 'task') return { ...old, task: tasks.get(old.taskId) ?? null };
    if (missing.also === 'runtimes') return { ...old, runtimes: options.runtimes ?? [] };
    if (missing.also === 'crew') return { ...old, crew: { history, running: options.running ?? new Map() } };
    if (missing.also === 'slots') return { ...old, slots: { capacity: options.capacity ?? 100, load: new Map(load) } };
    const board = boards.get(old.taskId) ?? null;
    if (missing.parts === 'all') return { ...old, board, read: 'all' };
    const known = old.read;
    assert(known !== 'all' && missing.parts.every((id) => !known.has(id)), 'it asks for what was read');
    const read = new Set([...known, ...missing.parts]);
    return { ...old, board: board && { ...board, subtasks: pick(board, [...read]) }, read };
  };
  /** Carries a decision out; false: the board has moved since it was decided. */
  const settle = (taskId: string, revision: number, decision: Decision): boolean => {
    const board = boards.get(taskId);
    const { head, subtasks, removed, discard } = decision;
    const writes = discard || head !== undefined || subtasks.length + removed.length > 0;
    if (writes && (board?.revision ?? 0) !== revision) return false;
    if (discard) boards.delete(taskId);
    else if (writes) {
      const next = new Map(board?.subtasks);
      for (const id of removed) next.delete(id);
      for (const part of subtasks) next.set(part.id, part);
      const newHead = head ?? board?.head;
      assert(newHead, 'a new board has a head');
      boards.set(taskId, { revision: revision + 1, head: newHead, subtasks: next });
    } else assert(decision.load === 0 && decision.publish.length === 0, 'what changes nothing says nothing');
    count(load, taskId, decision.load);
    for (const counter of decision.stats) count(stats, counter, 1);
    for (const counter of decision.history) count(history, counter, 1);
    notes.push(...decision.notes);
    assertSound(boards.get(taskId) ?? null, load.get(taskId) ?? 0);
    return true;
  };
  /** Delivers one message the straight way: reads what is asked for, decides, settles. */
  const deliver = (message: BoardMessage, now = 0): FollowUp[] => {
    const { payload } = message;
    let at = view(payload.task_id, 'subtask_id' in payload ? [payload.subtask_id] : []);
    for (let reads = 0; ; reads++) {
      assert(reads < 32, 'the decision does not come to an end');
      const decision = decide(at, message, now);
      if (!(decision instanceof Missing)) {
        assert(settle(payload.task_id, at.board?.revision ?? 0, decision));
        return decision.publish;
      }
      at = more(at, decision);
    }
  };
  return { rules, boards, tasks, load, stats, history, notes, view, more, settle, deliver };
};

const pick = (board: Stored, ids: readonly string[]): Map<string, Subtask> =>
  new Map(ids.flatMap((id) => (board.subtasks.has(id) ? [[id, board.subtasks.get(id) as Subtask]] : [])));

const count = (counters: Map<string, number>, name: string, by: number): void => {
  const value = (counters.get(name) ?? 0) + by;
  if (value === 0) counters.delete(name);
  else counters.set(name, value);
};

/** What holds of every board after every message. */
export const assertSound = (board: Stored | null, load: number): void => {
  if (!board) {
    assert.equal(load, 0, 'no board, no slots');
    return;
  }
  const { head } = board;
  const parts = [...board.subtasks.values()];
  const counts: Record<string, number> = {};
  for (const { state } of parts) counts[state] = (counts[state] ?? 0) + 1;
  assert.deepEqual({ ...head.counts }, counts, 'the counts are those of the parts');
  assert.equal(head.total, parts.length);
  assert.equal(load, head.dispatched.length, 'a slot is counted for each that is dispatched');
  const at = (state: string) => parts.filter((part) => part.state === state).map(({ id }) => id);
  const listed = new Set([...head.ready, ...head.dispatched]);
  assert.equal(listed.size, head.ready.length + head.dispatched.length, 'nobody is listed twice');
  const able = new Set([...at('ready'), ...at('working')]);
  assert(listed.isSubsetOf(able), 'who is listed may work');
  assert(new Set(at('working')).isSubsetOf(new Set(head.dispatched)), 'who works was dispatched');
  assert(able.size === 0 || listed.size + gated(head).length > 0, 'who may work waits for somebody');
  assert.deepEqual(
    gated(head).sort(),
    [...at('checking'), ...at('merging')].sort(),
    'who has a commit is in the queue',
  );
  for (const part of parts) assertPart(part, board.subtasks, head);
};

const gated = (head: BoardHead): string[] => [...head.queue, ...(head.at_gate === null ? [] : [head.at_gate])];

const assertPart = (part: Subtask, parts: ReadonlyMap<string, Subtask>, head: BoardHead): void => {
  const open = part.depends_on.filter((id) => !['merged', 'reported'].includes(parts.get(id)?.state ?? 'none'));
  const ended = head.outcome !== null;
  if (!ended) assert.deepEqual([...part.waiting_for].sort(), open.sort(), `${part.id} waits for what is open`);
  for (const id of part.depends_on) assert(parts.get(id)?.dependents.includes(part.id), `${id} knows ${part.id}`);
  for (const id of part.dependents) assert(parts.get(id)?.depends_on.includes(part.id), `${id} depends on ${part.id}`);
  if (!ended && part.state === 'blocked') assert(open.length > 0, `${part.id} is blocked for nothing`);
  assert(part.history.length <= 20);
};

/** The same, and that everything is what the schemas say; slower, for single steps. */
export const assertReadable = (board: Stored): void => {
  boardHead.parse(board.head);
  for (const part of board.subtasks.values()) subtask.parse(part);
};

// --- what others say, with the fields that nobody looks at filled in -----------------------------

export const taskFacts: TaskFacts = {
  status: 'in_progress',
  priority: 'NORMAL',
  mode: 'parallel',
  baseCommit,
  runtimeAsked: false,
  setup: ['npm ci'],
  checks: [{ name: 'test', command: 'npm test' }],
};

export type NodeGiven = Partial<PlannedSubtask> & { id: string };
export const node = (given: NodeGiven): PlannedSubtask =>
  plannedSubtask.parse({ title: `Title of ${given.id}`, role: 'builder', goal: `Do ${given.id}`, ...given });

export const planAccepted = (
  taskId: string,
  nodes: readonly NodeGiven[],
  mode: 'parallel' | 'sequential' = 'parallel',
): BoardMessage => ({
  type: 'plan.accepted',
  payload: {
    task_id: taskId,
    priority: 'HIGH',
    base_commit: baseCommit,
    plan: {
      approach: '',
      workflow: 'simple',
      mode,
      subtasks: nodes.map(node),
      risks: [],
      probability: null,
      price_usd: null,
    },
  },
});

type Told<K extends BoardMessage['type']> = Extract<BoardMessage, { type: K }>;
type Of = { task_id: string; subtask_id: string; attempt: number };

export const attemptBegun = (of: Of): Told<'attempt.begun'> => ({
  type: 'attempt.begun',
  payload: { ...of, agent_id: 'builder', instance_id: 'worker-1', began_at: new Date(0).toISOString() },
});

export const attemptFinished = (
  of: Of,
  fields: Partial<PayloadOf<'attempt.finished'>> = {},
): Told<'attempt.finished'> => ({
  type: 'attempt.finished',
  payload: {
    ...of,
    agent_id: 'builder',
    instance_id: 'worker-1',
    outcome: 'finished',
    runtime: null,
    code: null,
    says: '',
    commit: null,
    wip: null,
    report: null,
    plan: null,
    evidence: null,
    log_tail: '',
    files: [],
    began_at: null,
    duration_ms: 5,
    cost: { usd: null, tokens: null },
    ...fields,
  },
});

export const verdictReached = (of: Of, fields: Partial<PayloadOf<'verdict.reached'>>): Told<'verdict.reached'> => ({
  type: 'verdict.reached',
  payload: {
    ...of,
    verdict: 'passed',
    base: baseCommit,
    tested_commit: null,
    checks: [],
    before: null,
    still_red: [],
    alarms: [],
    files: [],
    gate_runs: 1,
    says: '',
    log_tail: '',
    ...fields,
  },
});

export const mergeFinished = (of: Of, fields: Partial<PayloadOf<'merge.finished'>>): Told<'merge.finished'> => ({
  type: 'merge.finished',
  payload: { ...of, outcome: 'merged', commit: null, says: '', ...fields },
});

export const check = (fields: Partial<Check> = {}): Check => ({
  name: 'test',
  state: 'passed',
  command: 'npm test',
  exit_code: 0,
  duration_ms: 1,
  tests: null,
  failing: [],
  failing_before: false,
  why: '',
  log_tail: '',
  log: null,
  ...fields,
});
