import type { TaskView } from '@nexus/shared/ledger';
import { describe, expect, test } from 'vitest';
import {
  at,
  deadline,
  ended,
  head,
  headOf,
  kinds,
  nothing,
  now,
  open,
  reportOn,
  task_id,
  view,
} from '../../test/tools/task-views.ts';
import { decideCancelled, decideDeadline, decideDeleted } from './decide.ts';

describe('cancellation.requested', () => {
  const cancelled = (task: TaskView | null, reason = 'no longer needed') =>
    decideCancelled(task, { task_id, reason }, now);

  test.each(open)('ends a task %s and closes its board, behind its plan', (status) => {
    const decision = cancelled(view(status));
    expect(headOf(decision)).toMatchObject({ status: 'cancelled', reason: 'no longer needed', ended_at: at });
    const payload = { task_id, reason: 'no longer needed' };
    expect(decision.publish).toEqual([
      { type: 'board.cancelled', payload, key: '', priority: 'HIGH' },
      reportOn('cancelled', 'no longer needed'),
    ]);
  });

  test.each(ended)('for a task %s changes nothing', (status) => {
    expect(cancelled(view(status))).toEqual(nothing);
  });

  test('without a reason says at least who', () => {
    expect(headOf(cancelled(view('planning'), ' ')).reason).toBe('Cancelled by a person.');
  });
});

describe('deadline.reached', () => {
  const reached = (task: TaskView | null, on = deadline) => decideDeadline(task, { task_id, deadline: on }, now);

  test.each(open)('fails a task %s and closes its board', (status) => {
    const decision = reached(view(status));
    expect(headOf(decision)).toMatchObject({
      status: 'failed',
      reason: `DEADLINE_MISSED: The deadline ${deadline} passed before the work was done.`,
    });
    expect(kinds(decision)).toEqual(['board.cancelled', 'release.requested']);
  });

  test.each(ended)('for a task %s changes nothing', (status) => {
    expect(reached(view(status))).toEqual(nothing);
  });

  test('counts if it is the same moment, however it is written, and only then', () => {
    expect(headOf(reached(view('planning'), '2030-01-01T13:00:00Z')).status).toBe('failed');
    expect(reached(view('planning'), '2030-01-01T13:00:01Z')).toEqual(nothing);
    expect(reached(view('planning', { head: { ...head, deadline: null } }))).toEqual(nothing);
    expect(reached(null)).toEqual(nothing);
  });
});

describe('deletion.requested', () => {
  test.each(ended)('removes a task %s with all that belongs to it', (status) => {
    const decision = decideDeleted(view(status));
    expect(decision.change).toBe('removed');
    expect(kinds(decision)).toEqual(['board.discarded', 'hub.discarded']);
  });

  test.each(open)('is refused for a task %s', (status) => {
    expect(() => decideDeleted(view(status))).toThrow(expect.objectContaining({ code: 'TASK_RUNNING' }));
  });

  test('that comes again changes nothing', () => {
    expect(decideDeleted(null)).toEqual(nothing);
  });
});
