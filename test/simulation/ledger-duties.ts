/**
 * What the orchestrator and the project manager do with a message: they read, decide by the production code, and
 * settle. Documents lie in the model as they are, not as text.
 */
import assert from 'node:assert/strict';
import { AppError, fail } from '@nexus/shared/errors';
import type { TaskView } from '@nexus/shared/ledger';
import type { BoardHead, Plan, Subtask, TaskHead, TaskRequest, TaskResult } from '@nexus/shared/messages/domain';
import { endedTask } from '@nexus/shared/messages/domain';
import {
  decideBoardCompleted,
  decideCancelled,
  decideDeadline,
  decideDeleted,
  decidePrepared,
  decideReleased,
  decideSubmitted,
} from '../../services/orchestrator/decide.ts';
import type { Decision as TaskDecision } from '../../services/orchestrator/moves.ts';
import { decideEscalated, decidePatienceEnded, decidePersonAnswered } from '../../services/orchestrator/waiting.ts';
import {
  type BoardMessage,
  type Decision,
  decide,
  Missing,
  type TaskFacts,
  type View,
} from '../../services/project-manager/board.ts';
import { shareOf } from '../../services/project-manager/dispatch.ts';
import { node, rulesByDefault } from '../tools/board.ts';
import type { Fabric } from './fabric.ts';
import type { Write } from './fabric-port.ts';
import type { Mail } from './mail.ts';
import type { Result } from './settling.ts';
import type { World } from './world.ts';

const patience = { plansMax: 1, personTimeoutMs: 7 * 24 * 3_600_000 };

export const taskKey = (id: string): string => `task:${id}`;
export const boardKey = (id: string): string => `board:${id}`;

export const readTask = (fabric: Fabric, id: string): TaskView | null => {
  const hash = fabric.state.hashes.get(taskKey(id));
  if (hash === undefined) return null;
  return {
    revision: hash.get('revision') as number,
    head: hash.get('head') as TaskHead,
    request: hash.get('request') as TaskRequest,
    plan: (hash.get('plan') as Plan | undefined) ?? null,
    result: (hash.get('result') as TaskResult | undefined) ?? null,
  };
};

export const readBoard = (fabric: Fabric, id: string): View['board'] => {
  const hash = fabric.state.hashes.get(boardKey(id));
  if (hash === undefined) return null;
  const subtasks = new Map<string, Subtask>();
  for (const [field, value] of hash) if (field.startsWith('s:')) subtasks.set((value as Subtask).id, value as Subtask);
  return { revision: hash.get('revision') as number, head: hash.get('head') as BoardHead, subtasks };
};

/** What a handler read, for the step in which it decides. */
export type Memo = {
  task: TaskView | null;
  board: View['board'];
  view: View | null;
  load: ReadonlyMap<string, number>;
};

/** The first step of a handler: what it reads, all at one moment. */
export const readFor = (world: World, mail: Mail): Memo => {
  const { fabric } = world;
  const task = readTask(fabric, mail.task);
  const board = readBoard(fabric, mail.task);
  const load = new Map(fabric.state.hashes.get('load') as Map<string, number> | undefined);
  return { task, board, view: isForBoard(mail) ? viewOf(world, mail, task, board, load) : null, load };
};

/** The second step: what is decided on it. */
export const decideOn = (world: World, mail: Mail, memo: Memo): Result => {
  try {
    return memo.view === null ? orchestrate(world, mail, memo) : manage(world, mail, memo.view, memo.load);
  } catch (error) {
    if (error instanceof AppError && error.code !== 'BUG') return { is: 'failed', error };
    throw error;
  }
};

const boardKinds = new Set([
  ...['plan.accepted', 'attempt.begun', 'attempt.finished', 'verdict.reached', 'merge.finished'],
  ...['backoff.elapsed', 'escalation.answered', 'board.cancelled', 'board.discarded'],
]);
const isForBoard = ({ type }: Mail): boolean => boardKinds.has(type);

const orchestrate = (world: World, mail: Mail, { task, board }: Memo): Result => {
  const { payload } = mail;
  const { now } = world;
  switch (mail.type) {
    case 'task.submitted': {
      const { priority, payload: asked } = mail;
      const submission = { taskId: mail.task, request: asked.request, priority, actor: 'person', refusal: null };
      return early(world, settled(mail, task, decideSubmitted(task, submission, now)));
    }
    case 'repository.prepared':
      return settled(
        mail,
        task,
        decidePrepared(task, payload, () => world.planOf(mail.task), now),
      );
    case 'board.completed':
      return settled(mail, task, decideBoardCompleted(task, payload, board?.head ?? null, now));
    case 'release.finished':
      return settled(mail, task, decideReleased(task, payload, now));
    case 'cancellation.requested':
      if (task === null) return { is: 'postpone', delayMs: 1000 };
      return settled(mail, task, decideCancelled(task, payload, now));
    case 'deadline.reached':
      return settled(mail, task, decideDeadline(task, payload, now));
    case 'deletion.requested':
      return settled(mail, task, decideDeleted(task));
    case 'escalation.raised': {
      const planner = node({
        id: `replan-${payload.subtask_id}`.slice(0, 40),
        role: 'planner',
        kind: 'report',
        grows: true,
      });
      return settled(mail, task, decideEscalated(task, payload, planner, patience, now));
    }
    case 'person.answered':
      if (task === null) return { is: 'failed', error: fail('TASK_UNKNOWN', { task: mail.task }) };
      return settled(mail, task, decidePersonAnswered(task, payload, now));
    case 'patience.ended':
      return settled(mail, task, decidePatienceEnded(task, payload, now));
    default:
      return assert.fail(`nobody handles ${mail.type}`);
  }
};

/** Broken on purpose: the alarm of a deadline rings long before it. */
const early = (world: World, result: Result): Result =>
  result.is === 'done' && world.breaks.has('deadline rings early')
    ? { ...result, publish: result.publish.map((next) => (next.delayMs ? { ...next, delayMs: 1 } : next)) }
    : result;

const settled = ({ task: id }: Mail, view: TaskView | null, { change, publish }: TaskDecision): Result => {
  if (change === null) return { is: 'done', publish, write: [] };
  const index = { key: 'tasks:open', member: id };
  if (change === 'removed') {
    const gone: Write[] = [
      { op: 'remove', key: taskKey(id) },
      { op: 'unindex', ...index },
    ];
    return { is: 'done', publish, write: gone };
  }
  const { head } = change;
  const set: Record<string, unknown> = { ...change, ...(head ? { status: head.status } : {}) };
  const write: Write[] = [{ op: 'patch', key: taskKey(id), revision: view?.revision ?? 0, set }];
  if (head)
    write.push(endedTask(head.status) ? { op: 'unindex', ...index } : { op: 'index', ...index, score: world0(head) });
  return { is: 'done', publish, write };
};

const world0 = ({ created_at }: TaskHead): number => Date.parse(created_at);

export const roles = new Set(['builder', 'planner', 'tester', 'documenter']);
const agentFor = (role: string): string => {
  if (!roles.has(role)) throw fail('ROLE_UNKNOWN', { role, known: [...roles].join(', ') });
  return role;
};
const othersFor = (agent: string): string[] => (agent === 'builder' ? ['tester'] : []);

const viewOf = (world: World, mail: Mail, task: TaskView | null, board: View['board'], load: Memo['load']): View => {
  return {
    ...{ taskId: mail.task, board, read: 'all', rules: world.rules, othersFor },
    agentFor: world.breaks.has('any role') ? (role) => role : agentFor,
    ...{ chance: world.chooses.below(100) / 100, runtimes: ['command'], task: factsOf(task) },
    slots: { capacity: world.capacity(), load: world.breaks.has('dispatch ignores share') ? new Map() : load },
  };
};

const factsOf = (task: TaskView | null): TaskFacts | null =>
  task && {
    ...{ status: task.head.status, priority: task.head.priority, mode: task.head.mode },
    ...{ baseCommit: task.head.base_commit, setup: null, checks: [], runtimeAsked: false },
  };

const manage = (world: World, mail: Mail, view: View, known: Memo['load']): Result => {
  const told = { type: mail.type, payload: mail.payload } as BoardMessage;
  const decision = decide(view, told, world.now);
  assert(!(decision instanceof Missing), 'all was read, and something is missing');
  assertShare(world, view, decision, known);
  const { load, publish } = decision;
  const write = boardWrites(view, decision);
  if (load !== 0) write.push({ op: 'count', key: 'load', field: view.taskId, by: load });
  return { is: 'done', publish, write };
};

const boardWrites = (view: View, { head, subtasks, removed, discard }: Decision): Write[] => {
  const key = boardKey(view.taskId);
  const revision = view.board?.revision ?? 0;
  if (discard)
    return [
      { op: 'patch', key, revision, set: {} },
      { op: 'remove', key },
    ];
  if (head === undefined && subtasks.length === 0 && removed.length === 0) return [];
  const set: Record<string, unknown> = {};
  if (head) set.head = head;
  for (const part of subtasks) set[`s:${part.id}`] = part;
  return [{ op: 'patch', key, revision, set, del: removed.map((id) => `s:${id}`) }];
};

/** Nobody takes more than the share that the load allowed when it was read, but one slot always. */
const assertShare = (world: World, view: View, decision: Decision, known: Memo['load']): void => {
  if (decision.load <= 0 || view.board?.head.mode === 'sequential') return;
  const holds = decision.head?.dispatched.length ?? 0;
  const share = Math.max(1, shareOf({ capacity: world.capacity(), load: known }, view.taskId));
  assert(holds <= share, `${view.taskId} takes ${holds} slots while others work, and its share is ${share}`);
};

export const rulesOf = (taskAgentsMax: number) => ({
  ...rulesByDefault,
  ...{ taskAgentsMax, subtasksMax: 30, retries: 1, otherAgentsMax: 1, sentBackMax: 2, retryBaseMs: 500 },
});
