/** Views of a task as its decisions are made on, and what they say, for the tests of the orchestrator. */
import type { TaskView } from '@nexus/shared/ledger';
import {
  endedTask,
  type TaskHead,
  type TaskRequest,
  type TaskStatus,
  taskHead,
  taskStatus,
} from '@nexus/shared/messages/domain';
import type { Decision } from '../../services/orchestrator/moves.ts';

export const now = Date.parse('2030-01-01T12:00:00Z');
export const at = '2030-01-01T12:00:00.000Z';
export const deadline = '2030-01-01T14:00:00+01:00';
export const base = 'a'.repeat(40);
export const merged = 'b'.repeat(40);
export const task_id = 'add-export-x1y2z3';
export const nothing: Decision = { change: null, publish: [] };
export const statuses = taskStatus.options;
export const ended = statuses.filter(endedTask);
export const open = statuses.filter((status) => !endedTask(status));

export const request: TaskRequest = { request: 'Add an export', deadline };
export const head: TaskHead = {
  task_id,
  title: 'Add an export',
  status: 'planning',
  reason: null,
  priority: 'HIGH',
  mode: 'parallel',
  workflow: null,
  created_at: '2030-01-01T11:00:00.000Z',
  updated_at: '2030-01-01T11:00:00.000Z',
  ended_at: null,
  deadline,
  repository: '/repos/shop',
  base: null,
  base_commit: base,
  warnings: [],
  actor: 'somebody',
};
export const view = (status: TaskStatus, more: Partial<TaskView> = {}): TaskView => ({
  revision: 7,
  head: { ...head, status },
  request,
  plan: null,
  result: null,
  ...more,
});
export const headOf = (decision: Decision): TaskHead => {
  if (decision.change === null || decision.change === 'removed') throw new Error('no head was written');
  return taskHead.parse(decision.change.head);
};
/** What asks for the report of a task that ended badly. */
export const reportOn = (outcome: string, reason: string, more: object = {}) => ({
  type: 'release.requested',
  payload: {
    ...{ task_id, outcome, reason, repository: '/repos/shop', commit: null, base_commit: base, proven: false },
    checks: { passed: 0, failed: 0, skipped: 0, broken: 0 },
    ...more,
  },
  key: 'report',
  priority: 'HIGH',
});
export const kinds = (decision: Decision) => decision.publish.map((next) => next.type);
