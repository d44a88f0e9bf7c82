/**
 * The report of a task: what was asked, what came of it, who did what, what proves it and what does not. A pure
 * function of the task, its board and what was released; written once as JSON, and from that as Markdown
 * (`report-page.ts`).
 */
import type { BoardView, TaskView } from '@nexus/shared/ledger';
import type { AttemptEntry, Check, Cost, Subtask } from '@nexus/shared/messages/domain';
import { adviceFor } from './advice.ts';
import { type CutOff, cutOffLines, type Leftover } from './cut-off.ts';
import type { Proof } from './proof.ts';
import type { Outcome } from './release.ts';
import { renderReport } from './report-page.ts';
import { withoutSecrets } from './repository.ts';
import { savedWork } from './saved-work.ts';

export type ReportOf = Proof & {
  task: TaskView;
  board: BoardView | null;
  /** How the task ended, or will if its release goes well. */
  outcome: 'completed' | 'failed' | 'cancelled';
  released: Outcome;
  /** Null: it never came to be. */
  hub: string | null;
  /** The head of what was merged; null where there is no hub. */
  merged: string | null;
  left: Leftover;
  /** The finalizer's paths are those of a container. */
  inContainer: boolean;
  now: number;
};

export type Report = ReturnType<typeof reportOf>;

export const makeReport = (of: ReportOf): { json: Report; markdown: string } => {
  const json = reportOf(of);
  return { json, markdown: renderReport(json) };
};

const reportOf = (of: ReportOf) => {
  const { task, board, released, alarms, documents, now } = of;
  const { head, request, plan } = task;
  const subtasks = [...(board?.subtasks.values() ?? [])];
  const { result } = released;
  const outcome: ReportOf['outcome'] | 'not released' =
    of.outcome === 'completed' && result === null ? 'not released' : of.outcome;
  const says =
    released.code === null || released.says.startsWith(released.code)
      ? released.says
      : `${released.code}: ${released.says}`;
  const saved =
    result === null && of.hub !== null ? savedWork({ ...of, head, hub: of.hub, subtasks, wips: of.left.wips }) : null;
  const cutOff: CutOff[] = cutOffLines(head.task_id, subtasks, of.left, now);
  return {
    task_id: head.task_id,
    title: head.title,
    outcome,
    says,
    /** What the fleet has of a task that was not released, and how to get it; null where there is nothing. */
    saved,
    /** What a person can do now; empty where all went well. */
    advice:
      outcome === 'completed'
        ? []
        : adviceFor({ head, outcome, says, saved, undo: result?.undo ?? null, subtasks, cutOff }),
    request: request.request,
    repository: result?.repository ?? null,
    /** Where every `refs/nexus/…` of this report lies; null: there is none. */
    hub: of.hub === null ? null : withoutSecrets(of.hub),
    in_container: of.inContainer,
    base: head.base,
    base_commit: head.base_commit,
    workflow: head.workflow,
    mode: head.mode,
    approach: plan?.approach ?? null,
    result,
    time: {
      created_at: head.created_at,
      released_at: new Date(now).toISOString(),
      duration_ms: Math.max(0, now - Date.parse(head.created_at)),
      agents_ms: [...subtasks.flatMap(({ history }) => history), ...cutOff].reduce(
        (total, { duration_ms }) => total + duration_ms,
        0,
      ),
    },
    cost: board?.head.cost ?? ({ usd: null, tokens: null } satisfies Cost),
    numbers: {
      subtasks: subtasks.length,
      attempts: board?.head.attempts ?? 0,
      merged: board?.head.merged ?? 0,
      sent_back: board?.head.sent_back ?? 0,
      gate_runs: board?.head.gate_runs ?? 0,
    },
    subtasks: subtasks.map(subtaskOf),
    /** Attempts that ran when the task ended. */
    cut_off: cutOff,
    evidence_expired_at: null as string | null,
    not_proven: notProven(subtasks, result?.proven ?? board?.head.proven ?? false, board !== null),
    alarms,
    warnings: head.warnings,
    documents,
  };
};

const subtaskOf = (subtask: Subtask) => ({
  id: subtask.id,
  title: subtask.title,
  kind: subtask.kind,
  role: subtask.role,
  agent_id: subtask.agent_id,
  state: subtask.state,
  verdict: verdictOf(subtask),
  attempts: subtask.attempt,
  sent_back: subtask.sent_back,
  commit: subtask.merged_commit ?? subtask.commit,
  reason: subtask.reason,
  summary: subtask.report?.summary ?? null,
  questions: subtask.report?.agent_feedback.additional_questions ?? [],
  next_steps: subtask.report?.next_steps ?? [],
  history: subtask.history.map(lineOf),
  checks: subtask.checks.map(checkOf),
  evidence: subtask.evidence,
});

/** The gate's last word on it; null where no gate has decided. */
const verdictOf = ({ history }: Subtask): string | null =>
  history.findLast(({ outcome }) => outcome.startsWith('gate_'))?.outcome.slice('gate_'.length) ?? null;

const lineOf = ({ attempt, agent_id, outcome, code, says, ended_at, duration_ms, cost }: AttemptEntry) => ({
  ...{ attempt, agent_id, outcome, code, says, ended_at, duration_ms, cost },
});

const checkOf = ({ log_tail: _, ...check }: Check) => check;

/** Everything that a reader might take for proven and is not. */
const notProven = (subtasks: readonly Subtask[], proven: boolean, begun: boolean): string[] => [
  ...(proven || !begun ? [] : ['No check of the result ran: nothing shows that it works.']),
  ...subtasks.flatMap((subtask) => [
    ...(subtask.state === 'merged' && !subtask.checks.some(({ state }) => state === 'passed')
      ? [`${subtask.id}: merged without a check that passed.`]
      : []),
    ...subtask.checks
      .filter(({ state }) => state !== 'passed')
      .map((check) => `${subtask.id}: the check "${check.name}" ${stateOf(check)}. ${check.why}`.trim()),
    ...(subtask.state === 'reported' ? [`${subtask.id}: what an agent wrote, which no check can prove.`] : []),
  ]),
];

const stateOf = ({ state, failing_before, still_red }: Check): string => {
  if (state === 'skipped') return 'was skipped';
  if (state === 'broken') return 'could not run';
  if (still_red?.length) return 'was red in tests that wait for their code';
  return failing_before ? 'failed, as it did before' : 'failed';
};
