import type { BoardView, TaskView } from '@nexus/shared/ledger';
import type { Presence, Subtask, SubtaskState } from '@nexus/shared/messages/domain';
import { describe, expect, test } from 'vitest';
import { subtaskOf, taskHeadOf } from '../../test/tools/task-head.ts';
import { showTask } from './show-task.ts';

const at = '2026-11-20T10:00:00.000Z';
const running = { state: 'running', scopes: {} };
const left = { hub: '/hub', hasReport: false };

const subtask = (id: string, state: SubtaskState, agent_id: string, over: Partial<Subtask> = {}): Subtask =>
  subtaskOf(id, { title: `Title of ${id}`, agent_id, state, attempt: 1, ...over });

const boardOf = (subtasks: Subtask[]): BoardView => {
  const counts: Partial<Record<SubtaskState, number>> = {};
  for (const { state } of subtasks) counts[state] = (counts[state] ?? 0) + 1;
  return {
    revision: 1,
    subtasks: new Map(subtasks.map((one) => [one.id, one])),
    head: { counts, total: subtasks.length, attempts: 0, sent_back: 0, merged: 0, gate_runs: 0 },
  } as unknown as BoardView;
};

const taskOf = (status: TaskView['head']['status'], more: Partial<TaskView['head']> = {}): TaskView => ({
  revision: 1,
  request: { request: 'Do it' },
  plan: null,
  result: null,
  head: taskHeadOf('do-it-abcdef', { status, created_at: at, updated_at: at, ...more }),
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
    expect(status('in_progress', { state: 'running', scopes: { 'task:do-it-abcdef': 'stopped' } })).toBe('stopped');
    // What runs goes on.
    expect(status('in_progress', { state: 'paused', scopes: {} })).toBe('in_progress');
    expect(status('in_progress', { state: 'running', scopes: { 'task:do-it-abcdef': 'paused' } })).toBe('in_progress');
    expect(status('in_progress', { state: 'running', scopes: { 'task:other': 'stopped' } })).toBe('in_progress');
    expect(status('in_progress', { state: 'draining', scopes: {} })).toBe('in_progress');
    expect(status('completed', { state: 'stopped', scopes: {} })).toBe('completed');
  });

  test('what holds it is told, since that is what has to be resumed', () => {
    const heldBy = (held: Parameters<typeof showTask>[2]) => showTask(taskOf('in_progress'), null, held, [], left).held;
    const itself = { 'task:do-it-abcdef': 'stopped' };
    expect(heldBy({ state: 'running', scopes: itself })).toEqual(['task']);
    expect(heldBy({ state: 'stopped', scopes: {} })).toEqual(['fleet']);
    expect(heldBy({ state: 'stopped', scopes: itself })).toEqual(['fleet', 'task']);
    expect(heldBy(running)).toBeUndefined();
  });

  describe('a subtask whose agent, service or instance is held', () => {
    const run = { task_id: 'do-it-abcdef', subtask_id: 'a', attempt: 1, agent_id: 'one', since: at, doing: 'tests' };
    const here = (service: string, instance_id: string, runs: object[] = []) =>
      ({ service, instance_id, running: runs, busy: runs.length }) as unknown as Presence;
    const [idle, busy] = [here('worker-agent', 'w1'), here('worker-agent', 'w1', [run])];
    const shown = (state: SubtaskState, scopes: Record<string, string>, presences: Presence[], fleet = 'running') => {
      const board = boardOf([subtask('a', state, 'one', { instance_id: state === 'ready' ? null : 'w1' })]);
      const { subtasks, current_phase } = showTask(
        taskOf('in_progress'),
        board,
        { state: fleet, scopes },
        presences,
        left,
      );
      return [subtasks[0]?.held?.map(({ part, is }) => `${part} ${is}`), current_phase];
    };

    test.each(['agent:one', 'service:worker-agent', 'instance:w1'])('says so once %s is stopped', (part) => {
      const holds = [[`${part} stopped`], `held (${part} is stopped): Title of a`];
      for (const state of ['working', 'ready'] as const)
        expect(shown(state, { [part]: 'stopped' }, [idle])).toEqual(holds);
      expect(shown('working', { [part]: 'stopped' }, [busy])).toEqual(holds);
    });

    test.each(['paused', 'draining'])('goes on under %s where it runs, and is held where it does not', (is) => {
      expect(shown('working', { 'agent:one': is }, [busy])).toEqual([undefined, 'working on Title of a']);
      expect(shown('working', { 'agent:one': is }, [idle])[0]).toEqual([`agent:one ${is}`]);
      expect(shown('ready', { 'task:do-it-abcdef': is }, [idle])[0]).toEqual([`task:do-it-abcdef ${is}`]);
      const gates = [here('quality-checker', 'q1'), here('quality-checker', 'q2', [run])];
      expect(shown('checking', { 'service:quality-checker': is }, gates.slice(0, 1))[0]).toEqual([
        `service:quality-checker ${is}`,
      ]);
      expect(shown('checking', { 'service:quality-checker': is }, gates)[0]).toBeUndefined();
    });

    test('is held by the fleet that is paused, and not by one that drains', () => {
      expect(shown('ready', {}, [idle], 'paused')).toEqual([
        ['fleet paused'],
        'held (the fleet is paused): Title of a',
      ]);
      expect(shown('ready', {}, [idle], 'draining')).toEqual([undefined, 'waiting for a free worker: Title of a']);
    });

    test('is not held by what somebody else can do, or by what does not concern it', () => {
      const other = here('worker-agent', 'w2', [run]);
      expect(shown('working', { 'instance:w1': 'stopped' }, [idle, other])[0]).toBeUndefined();
      expect(shown('ready', { 'instance:w1': 'stopped' }, [idle, other])[0]).toBeUndefined();
      expect(shown('working', { 'agent:two': 'stopped', 'service:finalizer': 'paused' }, [busy])[0]).toBeUndefined();
      expect(shown('merged', { 'agent:one': 'stopped' }, [idle])[0]).toBeUndefined();
    });
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
    const expired = showTask(taskOf('failed'), { ...board, head }, running, [], { ...left, hub: null });
    expect(expired).toMatchObject({ merged: 1, kept: null });
  });

  test('a subtask shows the last word of its gate, and until when it is parked', () => {
    const gate = (outcome: string) => ({ history: [{ outcome }, { outcome: 'finished' }] as Subtask['history'] });
    const board = boardOf([
      subtask('a', 'merged', 'one', gate('gate_unproven')),
      subtask('b', 'merged', 'one', gate('gate_passed')),
      subtask('c', 'reported', 'one'),
      subtask('d', 'parked', 'one', { resume_at: at }),
      subtask('e', 'working', 'one', { resume_at: at, ...gate('gate_conflict') }),
    ]);
    const shown = showTask(taskOf('in_progress'), board, running, [], left).subtasks;
    expect(shown.map(({ verdict }) => verdict)).toEqual(['unproven', 'passed', null, null, 'conflict']);
    expect(shown.map(({ resume_at }) => resume_at)).toEqual([null, null, null, at, null]);
  });

  test('what was put aside is parked, unless somebody runs it, it is held, or it is another attempt', () => {
    const waits = { until: at, waits_for: 'MODEL_LIMITED: It opens at five.' };
    const aside = [{ subtask_id: 'a', attempt: 2, ...waits }];
    const shown = (over: Partial<Subtask>, scopes: Record<string, string> = {}, runs: object[] = []) => {
      const presence = { service: 'worker-agent', instance_id: 'w1', busy: 1, running: runs } as unknown as Presence;
      const board = boardOf([subtask('a', 'working', 'one', { attempt: 2, instance_id: 'w1', ...over })]);
      const held = { state: 'running', scopes };
      const { subtasks, assigned_agents } = showTask(taskOf('in_progress'), board, held, [presence], {
        ...left,
        aside,
      });
      const [only] = subtasks;
      return [only?.state, only?.resume_at, only?.reason, assigned_agents.one];
    };
    expect(shown({})).toEqual(['parked', at, waits.waits_for, 'pending']);
    expect(shown({ state: 'ready' })).toEqual(['parked', at, waits.waits_for, 'pending']);
    const run = { task_id: 'do-it-abcdef', subtask_id: 'a', attempt: 2, agent_id: 'one', since: at, doing: '' };
    expect(shown({}, {}, [run])).toEqual(['working', null, null, 'in_progress']);
    expect(shown({}, { 'agent:one': 'paused' })[0]).toBe('working');
    expect(shown({ attempt: 3 })[0]).toBe('working');
    const ended = showTask(taskOf('failed'), null, running, [], { ...left, aside });
    expect(ended.parked).toBeUndefined();
  });

  test('a subtask whose worker is not alive is shown as such until another one runs it', () => {
    const run = { task_id: 'do-it-abcdef', subtask_id: 'a', attempt: 1, agent_id: 'one', since: at, doing: 'tests' };
    const alive = (instance_id: string, runs: object[] = []) => ({ instance_id, running: runs }) as unknown as Presence;
    const board = boardOf([subtask('a', 'working', 'one', { instance_id: 'w1' })]);
    const shown = (...presences: Presence[]) => {
      const [only] = showTask(taskOf('in_progress'), board, running, presences, left).subtasks;
      return [only?.worker_gone, only?.instance_id];
    };
    expect(shown(alive('w1'))).toEqual([false, 'w1']);
    expect(shown(alive('w2'))).toEqual([true, 'w1']);
    expect(shown(alive('w2', [run]))).toEqual([false, 'w2']);
  });

  test('what waits for a person is told, what waited longest first, and not of an ended task', () => {
    const wait = (subtask_id: string) => ({
      subtask_id,
      number: 1,
      since: at,
      until: at,
      reason: `Why ${subtask_id}?`,
    });
    const waiting = { ...wait('a'), others: [wait('b')] };
    const told = (status: TaskView['head']['status']) =>
      showTask(taskOf(status, { waiting } as Partial<TaskView['head']>), null, running, [], left).waiting;
    expect(told('waiting_for_person')).toEqual([
      { subtask_id: 'a', since: at, until: at, reason: 'Why a?' },
      { subtask_id: 'b', since: at, until: at, reason: 'Why b?' },
    ]);
    expect(told('failed')).toEqual([]);
  });
});
