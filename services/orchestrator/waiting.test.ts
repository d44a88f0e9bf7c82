import type { TaskView } from '@nexus/shared/ledger';
import { plannedSubtask, type TaskHead, taskHead } from '@nexus/shared/messages/domain';
import { describe, expect, test } from 'vitest';
import { at, ended, head, headOf, kinds, nothing, now, statuses, task_id, view } from '../../test/tools/task-views.ts';
import { decideBoardCompleted, decideCancelled } from './decide.ts';
import { decideEscalated, decidePatienceEnded, decidePersonAnswered, waitsOf } from './waiting.ts';

const planner = plannedSubtask.parse({
  id: 'replan-build',
  title: 'Plan',
  role: 'planner',
  goal: 'Plan.',
  grows: true,
});
const patience = { plansMax: 1, personTimeoutMs: 3_600_000 };
const until = '2030-01-01T13:00:00.000Z';
const raised = {
  ...{ task_id, subtask_id: 'build', number: 1, attempts: 5, plans: 0, may_plan: true },
  ...{ title: 'Build', goal: 'Build it.', reason: 'AGENT_FAILED: It failed.' },
};
const wait = { subtask_id: 'build', number: 1, since: at, until, reason: raised.reason };
const escalate = (task: TaskView | null, more: Partial<typeof raised> = {}, by: typeof planner | null = planner) =>
  decideEscalated(task, { ...raised, ...more }, by, patience, now);
const on = (stands: TaskHead): TaskView => view(stands.status, { head: stands });
/** A task that waits for a person about `build`. */
const waiting = (): TaskView => on(headOf(escalate(view('in_progress'), { may_plan: false })));
const answer = (task: TaskView | null, subtask_id: string | null = null) =>
  decidePersonAnswered(task, { task_id, subtask_id, answer: 'retry', note: 'Mended.' }, now);
const silence = (task: TaskView | null, more: object = {}) =>
  decidePatienceEnded(task, { task_id, subtask_id: 'build', until, ...more }, now);

describe('escalation.raised', () => {
  test('is answered by a new plan, once, and the task goes on', () => {
    const decision = escalate(view('in_progress'));
    expect(headOf(decision)).toMatchObject({ status: 'in_progress', escalated: { build: 1 }, updated_at: at });
    expect(decision.publish).toMatchObject([
      { type: 'escalation.answered', key: 'build', payload: { number: 1, answer: 'plan', subtasks: [planner] } },
    ]);
  });

  test.each([
    ['it was planned anew before', { plans: 1 }, planner],
    ['no plan can help', { may_plan: false }, planner],
    ['nobody here can plan', {}, null],
  ])('asks a person where %s, and sets the alarm of the patience', (_, more, by) => {
    const decision = escalate(view('in_progress'), more, by);
    expect(taskHead.parse(headOf(decision))).toMatchObject({
      ...{ status: 'waiting_for_person', reason: raised.reason, ended_at: null },
      waiting: { ...wait, others: [] },
    });
    expect(decision.publish).toMatchObject([
      { type: 'escalation.answered', payload: { number: 1, answer: 'person', subtasks: [], says: raised.reason } },
      { type: 'patience.ended', delayMs: 3_600_000, payload: { task_id, subtask_id: 'build', until } },
    ]);
  });

  test('of a second subtask waits beside the first', () => {
    const decision = escalate(waiting(), { subtask_id: 'other', may_plan: false });
    expect(waitsOf(headOf(decision)).map(({ subtask_id }) => subtask_id)).toEqual(['build', 'other']);
    expect(headOf(decision).reason).toBe(raised.reason);
  });

  test('that is planned anew while another waits leaves the task waiting', () => {
    const decision = escalate(waiting(), { subtask_id: 'other' });
    expect(headOf(decision)).toMatchObject({ status: 'waiting_for_person', waiting: { subtask_id: 'build' } });
  });

  test('counts once: an echo, however late, changes nothing; the next one counts', () => {
    expect(escalate(waiting(), { may_plan: false })).toEqual(nothing);
    const goesOn = on(headOf(answer(waiting())));
    expect(escalate(goesOn, { may_plan: false })).toEqual(nothing);
    expect(headOf(escalate(goesOn, { may_plan: false, number: 2 })).status).toBe('waiting_for_person');
  });

  test.each([...ended, 'releasing', 'planning'] as const)('for a task %s changes nothing', (status) => {
    expect(escalate(view(status))).toEqual(nothing);
  });

  test('for a task that was deleted changes nothing', () => {
    expect(escalate(null)).toEqual(nothing);
  });
});

describe('person.answered', () => {
  test('lets what waits be tried again, and the task go on', () => {
    const decision = answer(waiting());
    expect(headOf(decision)).toMatchObject({ status: 'in_progress', reason: null });
    expect(headOf(decision)).not.toHaveProperty('waiting');
    expect(decision.publish).toMatchObject([
      { type: 'escalation.answered', key: 'build', payload: { number: 1, answer: 'retry', says: 'Mended.' } },
    ]);
  });

  const both = () => on(headOf(escalate(waiting(), { subtask_id: 'other', may_plan: false, reason: 'Too large.' })));

  test('for one of two leaves the task waiting for the other', () => {
    const decision = answer(both(), 'build');
    expect(headOf(decision)).toMatchObject({ status: 'waiting_for_person', reason: 'Too large.' });
    expect(waitsOf(headOf(decision)).map(({ subtask_id }) => subtask_id)).toEqual(['other']);
    expect(decision.publish).toHaveLength(1);
  });

  test('for all that waits reaches each of them', () => {
    const decision = answer(both());
    expect(decision.publish.map(({ key }) => key)).toEqual(['build', 'other']);
    expect(headOf(decision).status).toBe('in_progress');
  });

  test.each(statuses.filter((status) => status !== 'waiting_for_person'))('changes nothing of a task %s', (status) => {
    expect(answer(view(status))).toEqual(nothing);
  });

  test('for a subtask that does not wait changes nothing', () => {
    expect(answer(waiting(), 'other')).toEqual(nothing);
    expect(answer(null)).toEqual(nothing);
  });
});

describe('patience.ended', () => {
  test('fails the task with what it waited for, closes its board and asks for its report: PERSON_SILENT', () => {
    const decision = silence(waiting());
    expect(headOf(decision)).toMatchObject({
      ...{ status: 'failed', ended_at: at },
      reason: expect.stringMatching(
        /^PERSON_SILENT: Nobody .* 2030-01-01T13:00.*build waited .*: AGENT_FAILED: It failed\.$/,
      ),
    });
    expect(headOf(decision)).not.toHaveProperty('waiting');
    expect(kinds(decision)).toEqual(['board.cancelled', 'release.requested']);
  });

  test('counts only for the wait that it was set for', () => {
    expect(silence(waiting(), { until: at })).toEqual(nothing);
    expect(silence(waiting(), { subtask_id: 'other' })).toEqual(nothing);
    expect(silence(on(headOf(answer(waiting()))))).toEqual(nothing);
    expect(silence(null)).toEqual(nothing);
  });
});

test('a task that waits ends by a person’s word, or with its board, and waits no more', () => {
  const cancelled = headOf(decideCancelled(waiting(), { task_id, reason: 'Enough.' }, now));
  expect(cancelled).toMatchObject({ status: 'cancelled', reason: 'Enough.' });
  const died = { task_id, outcome: 'failed' as const, reason: 'POISON: it died', commit: null };
  const failed = headOf(decideBoardCompleted(waiting(), died, null, now));
  expect(failed).toMatchObject({ status: 'failed', reason: 'POISON: it died' });
  for (const one of [cancelled, failed]) expect(waitsOf(one)).toEqual([]);
  expect(waitsOf(head)).toEqual([]);
});
