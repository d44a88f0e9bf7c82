import { fail } from '@nexus/shared/errors';
import type { TaskView } from '@nexus/shared/ledger';
import type { BoardHead, Plan, TaskRequest, TaskResult, TaskStatus } from '@nexus/shared/messages/domain';
import { describe, expect, test } from 'vitest';
import {
  at,
  base,
  deadline,
  ended,
  head,
  headOf,
  kinds,
  merged,
  nothing,
  now,
  reportOn,
  request,
  statuses,
  task_id,
  view,
} from '../../test/tools/task-views.ts';
import { decideBoardCompleted, decidePrepared, decideReleased, decideSubmitted, type Submission } from './decide.ts';

describe('task.submitted', () => {
  const submission: Submission = { taskId: task_id, request, priority: 'LOW', actor: 'by hand', refusal: null };
  const submit = (more: Partial<Submission> = {}) => decideSubmitted(null, { ...submission, ...more }, now);

  test('makes a task that is being planned, asks for its repository and sets the alarm of its deadline', () => {
    const decision = submit({ request: { ...request, repository: '/repos/shop', base: 'main' } });
    expect(headOf(decision)).toEqual({
      ...head,
      status: 'planning',
      priority: 'LOW',
      created_at: at,
      updated_at: at,
      base: 'main',
      base_commit: null,
      actor: 'by hand',
    });
    expect(decision.publish).toEqual([
      {
        type: 'repository.requested',
        payload: { task_id, repository: '/repos/shop', base: 'main', title: 'Add an export' },
        key: '',
        priority: 'LOW',
      },
      { type: 'deadline.reached', payload: { task_id, deadline }, key: '', priority: 'LOW', delayMs: 3_600_000 },
    ]);
  });

  test('keeps the request whole, and takes its priority before that of the message', () => {
    const asked: TaskRequest = { request: 'Do', priority: 'CRITICAL', mode: 'sequential' };
    const decision = submit({ request: asked });
    expect(decision.change).toMatchObject({ request: asked });
    expect(headOf(decision)).toMatchObject({ priority: 'CRITICAL', mode: 'sequential', deadline: null });
    expect(kinds(decision)).toEqual(['repository.requested']);
  });

  test.each(statuses)('changes nothing if the task exists already, %s', (status) => {
    expect(decideSubmitted(view(status), submission, now)).toEqual(nothing);
  });

  test('fails at once, for all to see, what the catalog refuses', () => {
    const decision = submit({ refusal: fail('WORKFLOW_UNKNOWN', { workflow: 'magic', known: 'simple' }) });
    const reason = 'WORKFLOW_UNKNOWN: There is no workflow "magic". There are: simple.';
    expect(headOf(decision)).toMatchObject({ status: 'failed', reason, ended_at: at });
    expect(decision.publish).toEqual([
      { ...reportOn('failed', reason, { base_commit: null, repository: null }), priority: 'LOW' },
    ]);
  });

  test('fails at once what is due already, and names both times', () => {
    const decision = submit({ request: { ...request, deadline: '2030-01-01T12:00:00Z' } });
    const reason = `DEADLINE_PASSED: The deadline 2030-01-01T12:00:00Z is in the past; it is ${at} now.`;
    expect(headOf(decision)).toMatchObject({ status: 'failed', reason });
    expect(decision.change).toMatchObject({ request: { request: 'Add an export' } });
    expect(kinds(decision)).toEqual(['release.requested']);
  });

  test.each([
    ['\n\n## Add   an export\nwith a header', 'Add an export'],
    ['- one\n- two', 'one'],
    ['---', '---'],
    [`${'word '.repeat(40)}`, `${'word '.repeat(15).trim()}…`],
    ['日'.repeat(100), `${'日'.repeat(79)}…`],
    ['😀'.repeat(100), `${'😀'.repeat(79)}…`],
  ])('gives %j a title', (text, title) => {
    expect(headOf(submit({ request: { request: text } })).title).toBe(title);
  });
});

describe('repository.prepared', () => {
  const plan: Plan = {
    approach: 'A plan.',
    workflow: 'simple',
    mode: 'parallel',
    subtasks: [],
    risks: [],
    probability: null,
    price_usd: null,
  };
  const payload = { task_id, base_commit: base, warnings: ['It is dirty.'], code: null, says: '' };
  const prepared = (status: TaskStatus | null, more: Partial<Parameters<typeof decidePrepared>[1]> = {}) =>
    decidePrepared(status && view(status), { ...payload, ...more }, () => plan, now);

  test('plans the task with what was found, and hands the plan on', () => {
    const seen: unknown[] = [];
    const planFor = (...asked: unknown[]) => {
      seen.push(asked);
      return plan;
    };
    const decision = decidePrepared(view('planning'), payload, planFor, now);
    expect(seen).toEqual([[request, ['It is dirty.']]]);
    const warnings = ['It is dirty.'];
    expect(headOf(decision)).toEqual({ ...head, status: 'in_progress', workflow: 'simple', warnings, updated_at: at });
    expect(decision.change).toMatchObject({ plan });
    expect(decision.publish).toEqual([
      {
        type: 'plan.accepted',
        payload: { task_id, plan, priority: 'HIGH', base_commit: base },
        key: '',
        priority: 'HIGH',
      },
    ]);
  });

  test('that comes again to a task that has its plan, and waits for a person, changes nothing', () => {
    expect(decidePrepared(view('waiting_for_person', { plan }), payload, () => plan, now)).toEqual(nothing);
  });

  test('fails the task where there is no repository, with the sentence that says why', () => {
    const decision = prepared('planning', { base_commit: null, code: 'REPOSITORY_MISSING', says: 'There is none.' });
    expect(headOf(decision)).toMatchObject({ status: 'failed', reason: 'REPOSITORY_MISSING: There is none.' });
    expect(decision.publish).toEqual([reportOn('failed', 'REPOSITORY_MISSING: There is none.')]);
  });

  test('fails the task rather than leave it waiting where no commit is named', () => {
    expect(headOf(prepared('planning', { base_commit: null }))).toMatchObject({ status: 'failed' });
  });

  test('fails the task where it cannot be planned; a fault of our own is not the task’s', () => {
    const planWith = (error: Error) => () => {
      throw error;
    };
    const unknown = planWith(fail('ROLE_UNKNOWN', { role: 'wizard', known: 'builder' }));
    const decision = decidePrepared(view('planning'), payload, unknown, now);
    expect(headOf(decision)).toMatchObject({ status: 'failed', reason: expect.stringMatching(/^ROLE_UNKNOWN: /) });
    const ours = planWith(new TypeError('x is undefined'));
    expect(() => decidePrepared(view('planning'), payload, ours, now)).toThrow(TypeError);
  });

  test.each(['in_progress', 'releasing', ...ended] as const)(
    'that comes again or late to a task %s changes nothing',
    (status) => {
      expect(prepared(status)).toEqual(nothing);
    },
  );

  test('for a task that was deleted changes nothing', () => {
    expect(prepared(null)).toEqual(nothing);
  });

  test('for a task that is only accepted is our mistake', () => {
    expect(() => prepared('accepted')).toThrow(expect.objectContaining({ code: 'TRANSITION_ILLEGAL' }));
  });
});

describe('board.completed', () => {
  const check = (state: string) => ({ state }) as NonNullable<BoardHead['before']>[number];
  const board = {
    integration: merged,
    proven: true,
    before: [check('passed'), check('passed'), check('skipped'), check('broken')],
  } as BoardHead;
  const completed = (
    status: TaskStatus | null,
    more: Partial<Parameters<typeof decideBoardCompleted>[1]> = {},
    on: BoardHead | null = board,
  ) => {
    const payload = { task_id, outcome: 'completed' as const, reason: null, commit: merged, ...more };
    return decideBoardCompleted(status && view(status), payload, on, now);
  };

  test.each(['completed', 'failed'] as const)('tells with a task that %s what its board warns of', (outcome) => {
    const warned = { ...board, warnings: ['The plan was refused.'] };
    const own = Array.from({ length: 20 }, (_, at) => `Warning ${at}.`);
    const task = view('in_progress', { head: { ...head, status: 'in_progress', warnings: own } });
    const payload = { task_id, outcome, reason: null, commit: merged };
    expect(headOf(decideBoardCompleted(task, payload, warned, now)).warnings).toEqual([
      ...own.slice(0, 19),
      'The plan was refused.',
    ]);
  });

  test('has the result released, with the checks of its last gate', () => {
    const decision = completed('in_progress');
    expect(headOf(decision)).toMatchObject({ status: 'releasing', ended_at: null });
    const checks = { passed: 2, failed: 0, skipped: 1, broken: 1 };
    expect(decision.publish).toEqual([
      {
        type: 'release.requested',
        payload: {
          ...{ task_id, outcome: 'completed', reason: null, repository: '/repos/shop' },
          ...{ commit: merged, base_commit: base, checks, proven: true },
        },
        key: '',
        priority: 'HIGH',
      },
    ]);
  });

  test('releases a report alone on the commit that the task began with', () => {
    const untouched = { ...board, integration: base, before: null, proven: false };
    const [release] = completed('in_progress', { commit: null }, untouched).publish;
    const checks = { passed: 0, failed: 0, skipped: 0, broken: 0 };
    expect(release?.payload).toMatchObject({ commit: base, base_commit: base, checks, proven: false });
  });

  test('without a board proves nothing', () => {
    const [release] = completed('in_progress', { commit: null }, null).publish;
    expect(release?.payload).toMatchObject({ commit: base, proven: false });
  });

  const brokeDown = { outcome: 'failed' as const, reason: 'SUBTASK_FAILED: build', commit: null };

  test('that failed fails the task with its reason, and has nothing pushed but a report written', () => {
    const decision = completed('in_progress', brokeDown, { ...board, outcome: 'failed' });
    expect(headOf(decision)).toMatchObject({ status: 'failed', reason: 'SUBTASK_FAILED: build', ended_at: at });
    expect(decision.publish).toEqual([reportOn('failed', 'SUBTASK_FAILED: build')]);
  });

  test.each([
    ['stands', { ...board, outcome: null }],
    ['was never made', null],
  ])('that failed by a message that died closes the board that %s', (_, on) => {
    const decision = completed('in_progress', brokeDown, on);
    expect(kinds(decision)).toEqual(['board.cancelled', 'release.requested']);
    expect(decision.publish[0]?.payload).toEqual({ task_id, reason: 'SUBTASK_FAILED: build' });
  });

  test('goes on with a task that waits for a person', () => {
    expect(headOf(completed('waiting_for_person')).status).toBe('releasing');
  });

  test.each(['releasing', ...ended] as const)('that comes again or late to a task %s changes nothing', (status) => {
    expect(completed(status)).toEqual(nothing);
    expect(completed(status, { outcome: 'failed' })).toEqual(nothing);
  });

  test('for a task that was deleted changes nothing', () => {
    expect(completed(null)).toEqual(nothing);
  });

  test.each(['accepted', 'planning'] as const)('for a task %s is our mistake', (status) => {
    expect(() => completed(status)).toThrow(expect.objectContaining({ code: 'TRANSITION_ILLEGAL' }));
  });
});

describe('release.finished', () => {
  const result = { branch: `nexus/${task_id}`, commit: merged } as TaskResult;
  const released = (task: TaskView | null, more: Partial<Parameters<typeof decideReleased>[1]> = {}) =>
    decideReleased(task, { task_id, result, code: null, says: '', ...more }, now);

  test('completes the task with its result', () => {
    const decision = released(view('releasing'));
    expect(headOf(decision)).toMatchObject({ status: 'completed', reason: null, ended_at: at });
    expect(decision.change).toMatchObject({ result });
    expect(decision.publish).toEqual([]);
  });

  test.each([
    ['RELEASE_FAILED', 'It was refused.', 'RELEASE_FAILED: It was refused.'],
    ['BUG', 'Ours.', 'RELEASE_FAILED: The result could not be pushed to /repos/shop: BUG: Ours.'],
    [null, 'Nothing came.', 'RELEASE_FAILED: The result could not be pushed to /repos/shop: Nothing came.'],
  ])('that says %s fails the task', (code, says, reason) => {
    const decision = released(view('releasing'), { result: null, code, says });
    expect(headOf(decision)).toMatchObject({ status: 'failed', reason });
  });

  test.each(ended)('to a task %s records a result that exists now, and leaves its state', (status) => {
    expect(released(view(status))).toEqual({ change: { result }, publish: [] });
    expect(released(view(status, { result }))).toEqual(nothing);
    expect(released(view(status), { result: null, code: 'RELEASE_FAILED' })).toEqual(nothing);
  });

  test('for a task that was deleted changes nothing', () => {
    expect(released(null)).toEqual(nothing);
  });

  test.each(['accepted', 'planning', 'in_progress'] as const)('for a task %s is our mistake', (status) => {
    expect(() => released(view(status))).toThrow(expect.objectContaining({ code: 'TRANSITION_ILLEGAL' }));
  });
});
