import type { BoardView, TaskView } from '@nexus/shared/ledger';
import type { Presence, Subtask, SubtaskState } from '@nexus/shared/messages/domain';
import { describe, expect, test } from 'vitest';
import { showTask } from './show-task.ts';

const at = '2026-11-20T10:00:00.000Z';
const running = { state: 'running', scopes: {} };
const left = { hub: '/hub', hasReport: false };

const subtask = (id: string, state: SubtaskState, agent_id: string, over: Partial<Subtask> = {}): Subtask => ({
  id,
  title: `Title of ${id}`,
  role: 'builder',
  kind: 'code',
  goal: 'g',
  acceptance: [],
  depends_on: [],
  files: [],
  time_box_minutes: 30,
  grows: false,
  stands_for_plan: false,
  agent_id,
  state,
  order: 0,
  dependents: [],
  waiting_for: [],
  attempt: 1,
  failures: 0,
  ladder: { retries: 0, agents: 0, plans: 0 },
  escalations: 0,
  step: 'first',
  resume_at: null,
  tried: { agents: [], runtimes: [] },
  other_runtime: null,
  sent_back: 0,
  plan_rejections: 0,
  gate_broken: 0,
  instance_id: null,
  began_at: null,
  ended_at: null,
  commit: null,
  merged_commit: null,
  report: null,
  evidence: [],
  hand_over: null,
  red: [],
  checks: [],
  history: [],
  reason: null,
  ...over,
});

const boardOf = (subtasks: Subtask[]): BoardView => {
  const counts: Partial<Record<SubtaskState, number>> = {};
  for (const { state } of subtasks) counts[state] = (counts[state] ?? 0) + 1;
  return {
    revision: 1,
    subtasks: new Map(subtasks.map((one) => [one.id, one])),
    head: { counts, total: subtasks.length, attempts: 0, sent_back: 0, merged: 0, gate_runs: 0 },
  } as unknown as BoardView;
};

const taskOf = (status: TaskView['head']['status']): TaskView => ({
  revision: 1,
  request: { request: 'Do it' },
  plan: null,
  result: null,
  head: {
    task_id: 'do-it-abcdef',
    title: 'Do it',
    status,
    reason: null,
    priority: 'NORMAL',
    mode: 'parallel',
    workflow: 'simple',
    created_at: at,
    updated_at: at,
    ended_at: null,
    deadline: null,
    repository: null,
    base: null,
    base_commit: null,
    warnings: [],
    actor: 'token:admin',
  },
});

describe('a task as people see it', () => {
  test('an agent is in progress before all else, then failed, then pending, then completed', () => {
    const board = boardOf([
      subtask('a', 'merged', 'one'),
      subtask('b', 'failed', 'one'),
      subtask('c', 'working', 'one'),
      subtask('d', 'merged', 'two'),
      subtask('e', 'failed', 'two'),
      subtask('f', 'blocked', 'two'),
      subtask('g', 'reported', 'three'),
      subtask('h', 'parked', 'three'),
      subtask('i', 'merged', 'four'),
      subtask('j', 'cancelled', 'five'),
      subtask('k', 'cancelled', 'four'),
    ]);
    const shown = showTask(taskOf('in_progress'), board, running, [], left);
    expect(shown.assigned_agents).toEqual({
      one: 'in_progress',
      two: 'failed',
      three: 'pending',
      four: 'completed',
      five: 'pending',
    });
    expect(shown.deliverables).toMatchObject({
      'Title of a': 'completed',
      'Title of c': 'in_progress',
      'Title of k': 'failed',
    });
  });

  test('progress is 100 only when the task is completed', () => {
    const progress = (status: TaskView['head']['status'], states: SubtaskState[]) =>
      showTask(taskOf(status), boardOf(states.map((state, n) => subtask(`s${n}`, state, 'a'))), running, [], left)
        .progress_percentage;
    expect(progress('in_progress', ['merged', 'merged'])).toBe(99);
    expect(progress('releasing', ['merged', 'reported'])).toBe(99);
    expect(progress('in_progress', ['merged', 'checking', 'working', 'blocked'])).toBe(37);
    expect(progress('in_progress', ['working', 'ready'])).toBe(0);
    expect(progress('failed', ['merged', 'failed'])).toBe(50);
    expect(progress('completed', ['merged'])).toBe(100);
    expect(showTask(taskOf('planning'), null, running, [], left).progress_percentage).toBe(0);
  });

  test('stopped is shown while control holds the fleet or the task, and never of an ended task', () => {
    const status = (stored: TaskView['head']['status'], held: Parameters<typeof showTask>[2]) =>
      showTask(taskOf(stored), null, held, [], left).status;
    expect(status('in_progress', { state: 'stopped', scopes: {} })).toBe('stopped');
    expect(status('in_progress', { state: 'running', scopes: { 'task:do-it-abcdef': 'paused' } })).toBe('stopped');
    expect(status('in_progress', { state: 'running', scopes: { 'task:other': 'stopped' } })).toBe('in_progress');
    expect(status('in_progress', { state: 'draining', scopes: {} })).toBe('in_progress');
    expect(status('completed', { state: 'stopped', scopes: {} })).toBe('completed');
  });

  test('the phase names what is worked on, and a line what its worker last told of this very attempt', () => {
    const board = boardOf([
      subtask('a', 'working', 'one', { attempt: 2 }),
      subtask('b', 'checking', 'two'),
      subtask('c', 'merged', 'two'),
    ]);
    const run = { task_id: 'do-it-abcdef', subtask_id: 'a', agent_id: 'one', since: at };
    const presence = {
      running: [
        { ...run, attempt: 1, doing: 'what was' },
        { ...run, attempt: 2, doing: 'writes tests' },
      ],
    } as unknown as Presence;
    const shown = showTask(taskOf('in_progress'), board, running, [presence], left);
    expect(shown.current_phase).toBe('working on Title of a; checking Title of b');
    expect(shown.subtasks.map(({ doing }) => doing)).toEqual(['writes tests', null, null]);
  });

  test('what was merged of a task that came to no good end is kept, and it is said where', () => {
    const board = boardOf([subtask('a', 'merged', 'one'), subtask('b', 'failed', 'one')]);
    const head = { ...board.head, merged: 1, integration: 'c'.repeat(40) };
    const kept = (status: TaskView['head']['status'], merged = 1) =>
      showTask(taskOf(status), { ...board, head: { ...head, merged } }, running, [], left).kept;
    const where = { hub: '/hub', ref: 'refs/nexus/do-it-abcdef/integration', commit: 'c'.repeat(40) };
    expect([kept('failed'), kept('cancelled')]).toEqual([where, where]);
    expect([kept('failed', 0), kept('completed'), kept('in_progress')]).toEqual([null, null, null]);
  });
});
