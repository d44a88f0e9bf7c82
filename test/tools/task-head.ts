/**
 * One head of a task and one of its board, as tests need them: whole and valid, with what a test says otherwise.
 * Whoever adds a field to the schemas adds it here, and nowhere else among the tests.
 */
import type { BoardHead, PlannedSubtask, Subtask, TaskHead } from '@nexus/shared/messages/domain';

export const headAt = '2026-01-02T03:04:05.000Z';
export const headCommit = 'a'.repeat(40);

/** The head of a task at work. */
export const taskHeadOf = (task_id: string, more: Partial<TaskHead> = {}): TaskHead => ({
  task_id,
  title: 'Make it',
  status: 'in_progress',
  reason: null,
  priority: 'NORMAL',
  mode: 'parallel',
  workflow: null,
  created_at: headAt,
  updated_at: headAt,
  ended_at: null,
  deadline: null,
  repository: null,
  base: null,
  base_commit: null,
  warnings: [],
  actor: 'cli',
  ...more,
});

/** The head of a board on which nothing has happened yet. */
export const boardHeadOf = (task_id: string, more: Partial<BoardHead> = {}): BoardHead => ({
  task_id,
  priority: 'NORMAL',
  mode: 'parallel',
  created_at: headAt,
  counts: {},
  total: 0,
  ready: [],
  dispatched: [],
  queue: [],
  at_gate: null,
  integration: headCommit,
  base_commit: headCommit,
  before: null,
  proven: false,
  red: [],
  gate_runs: 0,
  attempts: 0,
  sent_back: 0,
  merged: 0,
  cost: { usd: null, tokens: null },
  outcome: null,
  reason: null,
  ...more,
});

/** A subtask as a plan names it. */
export const plannedOf = (id: string, more: Partial<PlannedSubtask> = {}): PlannedSubtask => ({
  id,
  title: id,
  role: 'builder',
  kind: 'code',
  goal: `Do ${id}`,
  acceptance: [],
  depends_on: [],
  files: [],
  time_box_minutes: 30,
  grows: false,
  stands_for_plan: false,
  ...more,
});

/** A subtask as it stands on a board, ready to begin. */
export const subtaskOf = (id: string, more: Partial<Subtask> = {}): Subtask => ({
  ...plannedOf(id),
  agent_id: 'builder',
  state: 'ready',
  order: 0,
  dependents: [],
  waiting_for: [],
  attempt: 0,
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
  ordered_at: null,
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
  ...more,
});
