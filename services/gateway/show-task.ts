/**
 * A task as people see it: pure functions from what the ledger holds to what the API answers.
 *
 * Nothing is estimated here. Progress counts subtasks that ended, and half of those whose work exists but
 * is not proven yet; it is 100 only when the task is completed.
 */
import type { BudgetShown, CostSum } from '@nexus/shared/client';
import type { ShareState, ShownStatus, SubtaskShort, TaskDetail, TaskShort } from '@nexus/shared/client/api';
import { refs } from '@nexus/shared/git';
import type { BoardView, TaskView } from '@nexus/shared/ledger';
import {
  type BoardHead,
  endedTask,
  type Presence,
  type Subtask,
  type SubtaskState,
  type TaskHead,
  verdictName,
} from '@nexus/shared/messages/domain';
import { type Held, holdsOf, holdWords, runnerOf, setAside } from './at-work.ts';
import type { PutAside } from './parked.ts';

export const showShort = (
  head: TaskHead,
  board: BoardHead | null,
  held: Held,
  aside: readonly PutAside[] = [],
): TaskShort => ({
  task_id: head.task_id,
  title: head.title,
  status: shownStatus(head, held),
  reason: head.reason,
  priority: head.priority,
  progress_percentage: progressOf(head, board),
  waiting: waitingOf(head),
  ...questionsOf(head),
  ...(aside.length === 0 || endedTask(head.status)
    ? {}
    : { parked: aside.map(({ subtask_id, until, waits_for }) => ({ subtask_id, until, waits_for })) }),
  created_at: head.created_at,
  updated_at: head.updated_at,
  ended_at: head.ended_at,
});

export const showTask = (
  task: TaskView,
  board: BoardView | null,
  held: Held,
  presences: readonly Presence[],
  { hub, hasReport, spent, budget, aside = [] }: Beside,
): TaskDetail => {
  const { head, request, result } = task;
  const shown: SubtaskShort[] = [];
  const subtasks = [...(board?.subtasks.values() ?? [])].map((subtask) => {
    const holds = endedTask(head.status) ? [] : holdsOf(presences, head.task_id, subtask, held);
    // A hold is lifted by a command, so it is told before a wait that ends by itself.
    const seen = holds.length > 0 ? subtask : setAside(presences, head.task_id, subtask, aside);
    shown.push({
      ...showSubtask(presences, head.task_id, seen),
      ...(holds.length === 0 ? {} : { held: holds }),
    });
    return seen;
  });
  return {
    ...showShort(head, board?.head ?? null, held, aside),
    request: request.request,
    current_phase: phaseOf(head, shown, held),
    ...(endedTask(head.status) ? {} : heldBy(head.task_id, held)),
    mode: head.mode,
    workflow: head.workflow,
    deadline: head.deadline,
    estimated_completion: null,
    assigned_agents: agentsOf(subtasks),
    deliverables: sharesBy(subtasks, (subtask) => subtask.title),
    subtasks: shown,
    attempts: board?.head.attempts ?? 0,
    sent_back: board?.head.sent_back ?? 0,
    merged: board?.head.merged ?? 0,
    gate_runs: board?.head.gate_runs ?? 0,
    cost: costOf(spent, board),
    ...(budget === undefined ? {} : { budget }),
    repository: head.repository,
    base: head.base,
    base_commit: head.base_commit,
    warnings: head.warnings,
    result,
    // What was pushed before the task ended is where it was asked for.
    kept: result === null ? keptOf(head, board, hub) : null,
    actor: head.actor,
    tracking_url: trackingUrl(head.task_id),
    report_url: hasReport ? `${trackingUrl(head.task_id)}/report` : null,
  };
};

/** What does not stand in the ledger of the task. */
type Beside = {
  hub: string | null;
  hasReport: boolean;
  spent?: CostSum;
  budget?: BudgetShown;
  aside?: readonly PutAside[];
};

/** The ledger of costs knows of attempts that were put aside or cut off, too; without a line, the board is asked. */
const costOf = (spent: CostSum | undefined, board: BoardView | null): TaskDetail['cost'] => {
  if (spent === undefined || spent.calls === 0) return board?.head.cost ?? { usd: null, tokens: null };
  const { usd, notional_usd, unpriced_calls, calls, tokens } = spent;
  return { usd: unpriced_calls === calls ? null : usd, tokens, notional_usd, unpriced_calls };
};

/** A task that the gateway has accepted and the orchestrator has not read yet. */
export const showAccepted = (taskId: string, acceptedAt: string, held: Held): TaskDetail => ({
  task_id: taskId,
  title: taskId,
  status: isHeld(taskId, held) ? 'stopped' : 'accepted',
  reason: null,
  priority: null,
  progress_percentage: 0,
  waiting: [],
  created_at: acceptedAt,
  updated_at: acceptedAt,
  ended_at: null,
  request: null,
  current_phase: 'waiting for the orchestrator',
  ...heldBy(taskId, held),
  mode: null,
  workflow: null,
  deadline: null,
  estimated_completion: null,
  assigned_agents: {},
  deliverables: {},
  subtasks: [],
  attempts: 0,
  sent_back: 0,
  merged: 0,
  gate_runs: 0,
  cost: { usd: null, tokens: null },
  repository: null,
  base: null,
  base_commit: null,
  warnings: [],
  result: null,
  kept: null,
  actor: null,
  tracking_url: trackingUrl(taskId),
  report_url: null,
});

/** What it waits for a person about, the longest first; empty where it has ended, or waits for nobody. */
export const waitingOf = ({ status, waiting }: Pick<TaskHead, 'status' | 'waiting'>): TaskShort['waiting'] => {
  if (!waiting || endedTask(status)) return [];
  const { others, ...first } = waiting;
  return [first, ...others].map(({ subtask_id, since, until, reason }) => ({ subtask_id, since, until, reason }));
};

/** What agents of a task asked, if anything. */
export const questionsOf = ({ questions = [] }: Pick<TaskHead, 'questions'>): Pick<TaskShort, 'questions'> =>
  questions.length === 0 ? {} : { questions: questions.map((one) => ({ ...one, waits: one.waits !== null })) };

/** What a person can still answer. */
export const openQuestionsOf = ({ status, questions = [] }: Pick<TaskHead, 'status' | 'questions'>) =>
  endedTask(status) ? [] : questions.filter(({ answer }) => answer === null);

export const trackingUrl = (taskId: string): string => `/api/tasks/${taskId}`;

/** `stopped` stands in no document: it is what a task looks like while control holds it. */
export const shownStatus = (head: Pick<TaskHead, 'task_id' | 'status'>, held: Held): ShownStatus =>
  !endedTask(head.status) && isHeld(head.task_id, held) ? 'stopped' : head.status;

/** Under PAUSE what runs goes on, so its task is shown as it is. */
const isHeld = (taskId: string, held: Held): boolean => 'held' in heldBy(taskId, held);

const heldBy = (taskId: string, { state, scopes }: Held): Pick<TaskDetail, 'held'> => {
  const held: TaskDetail['held'] = [
    ...(state === 'stopped' ? (['fleet'] as const) : []),
    ...(scopes[`task:${taskId}`] === 'stopped' ? (['task'] as const) : []),
  ];
  return held.length === 0 ? {} : { held };
};

/** What was merged has passed its gate: worth having, though the task did not come to its end. */
const keptOf = ({ task_id, status }: TaskHead, board: BoardView | null, hub: string | null): TaskDetail['kept'] => {
  if (status === 'completed' || !endedTask(status)) return null;
  if (hub === null || board === null || board.head.merged === 0) return null;
  return { hub, ref: refs(task_id).integration, commit: board.head.integration };
};

/** What a worker last told of the attempt that it runs right now. */
export const doingOf = (presences: readonly Presence[], taskId: string, subtask: Subtask): string | null =>
  presences
    .flatMap(({ running }) => running)
    .find((run) => run.task_id === taskId && run.subtask_id === subtask.id && run.attempt === subtask.attempt)?.doing ??
  null;

const showSubtask = (presences: readonly Presence[], taskId: string, subtask: Subtask): SubtaskShort => {
  const checks = { passed: 0, failed: 0, skipped: 0, broken: 0 };
  for (const { state } of subtask.checks) checks[state] += 1;
  return {
    id: subtask.id,
    title: subtask.title,
    role: subtask.role,
    agent_id: subtask.agent_id,
    kind: subtask.kind,
    state: subtask.state,
    depends_on: subtask.depends_on,
    attempt: subtask.attempt,
    failures: subtask.failures,
    sent_back: subtask.sent_back,
    plan_rejections: subtask.plan_rejections,
    instance_id: runnerOf(presences, taskId, subtask) ?? subtask.instance_id,
    began_at: subtask.began_at,
    ended_at: subtask.ended_at,
    commit: subtask.commit,
    merged_commit: subtask.merged_commit,
    reason: subtask.reason,
    summary: subtask.report?.summary ?? null,
    doing: doingOf(presences, taskId, subtask),
    checks,
    verdict: verdictOf(subtask),
    resume_at: subtask.state === 'parked' ? subtask.resume_at : null,
    worker_gone: isOrphan(presences, taskId, subtask),
  };
};

/** The gate's last word stands in the history; a report has no gate. */
const verdictOf = ({ history }: Subtask): SubtaskShort['verdict'] => {
  const said = history.findLast(({ outcome }) => outcome.startsWith('gate_'))?.outcome.slice('gate_'.length);
  return verdictName.safeParse(said).data ?? null;
};

const isOrphan = (presences: readonly Presence[], taskId: string, subtask: Subtask): boolean =>
  subtask.state === 'working' &&
  subtask.instance_id !== null &&
  !presences.some(({ instance_id }) => instance_id === subtask.instance_id) &&
  runnerOf(presences, taskId, subtask) === null;

// --- progress ----------------------------------------------------------------------------------

/** How much of a subtask is behind us: its work exists (half), or it has ended. */
const done: Record<SubtaskState, number> = {
  blocked: 0,
  ready: 0,
  working: 0,
  parked: 0,
  waiting_for_person: 0,
  checking: 0.5,
  merging: 0.5,
  merged: 1,
  reported: 1,
  failed: 0,
  cancelled: 0,
};

const progressOf = (head: TaskHead, board: BoardHead | null): number => {
  if (head.status === 'completed') return 100;
  if (board === null || board.total === 0) return 0;
  const entries = Object.entries(board.counts) as [SubtaskState, number][];
  const sum = entries.reduce((total, [state, count]) => total + done[state] * count, 0);
  return Math.min(99, Math.floor((100 * sum) / board.total));
};

// --- shares: agents and deliverables -----------------------------------------------------------

const shareStates: Record<SubtaskState, ShareState> = {
  blocked: 'pending',
  ready: 'pending',
  parked: 'pending',
  waiting_for_person: 'pending',
  working: 'in_progress',
  checking: 'in_progress',
  merging: 'in_progress',
  merged: 'completed',
  reported: 'completed',
  failed: 'failed',
  // Nobody delivered it: to call it completed would be a claim without proof.
  cancelled: 'failed',
};
const strongestFirst: ShareState[] = ['in_progress', 'failed', 'pending', 'completed'];

/** Of each name the strongest state of its subtasks: in progress, else failed, else pending, else completed. */
const sharesBy = (subtasks: Subtask[], nameOf: (subtask: Subtask) => string): Record<string, ShareState> => {
  const shares = new Map<string, ShareState>();
  for (const subtask of subtasks) {
    const name = nameOf(subtask);
    const both = [shareStates[subtask.state], shares.get(name)];
    shares.set(name, strongestFirst.find((state) => both.includes(state)) ?? 'pending');
  }
  return Object.fromEntries(shares);
};

/** A cancelled subtask is no failure of its agent: what it did else counts, and without that it just did not begin. */
const agentsOf = (subtasks: Subtask[]): Record<string, ShareState> => ({
  ...Object.fromEntries(subtasks.map(({ agent_id }) => [agent_id, 'pending' as const])),
  ...sharesBy(
    subtasks.filter(({ state }) => state !== 'cancelled'),
    ({ agent_id }) => agent_id,
  ),
});

// --- the phase ---------------------------------------------------------------------------------

const phases: Record<TaskHead['status'], string> = {
  accepted: 'accepted; about to be planned',
  planning: 'planning',
  in_progress: 'in progress',
  releasing: 'releasing the result',
  completed: 'completed',
  failed: 'failed',
  cancelled: 'cancelled',
  waiting_for_person: 'waiting for a person',
};
/** What goes on in a board, the most telling first. */
const activities: [SubtaskState, string][] = [
  ['working', 'working on'],
  ['checking', 'checking'],
  ['merging', 'merging'],
  ['waiting_for_person', 'waiting for a person at'],
  ['parked', 'parked:'],
  ['ready', 'waiting for a free worker:'],
];

const phaseOf = (head: TaskHead, subtasks: readonly SubtaskShort[], held: Held): string => {
  if (shownStatus(head, held) === 'stopped') return `held: ${phases[head.status]}`;
  if (head.status !== 'in_progress') return phases[head.status];
  const parts = activities.flatMap(([state, words]) =>
    namedAs(
      words,
      subtasks.filter((subtask) => subtask.state === state && subtask.held === undefined),
    ),
  );
  const holds = Map.groupBy(
    subtasks.filter((subtask) => subtask.held !== undefined),
    (subtask) => holdWords(subtask.held ?? []),
  );
  parts.push(...[...holds].flatMap(([words, those]) => namedAs(`held (${words}):`, those)));
  return parts.length === 0 ? phases.in_progress : parts.join('; ');
};

const namedAs = (words: string, subtasks: readonly SubtaskShort[]): string[] => {
  const titles = subtasks.map(({ title }) => title);
  const rest = titles.length > 3 ? ` and ${titles.length - 3} more` : '';
  return titles.length === 0 ? [] : [`${words} ${titles.slice(0, 3).join(', ')}${rest}`];
};
