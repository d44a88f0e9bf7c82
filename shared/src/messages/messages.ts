/**
 * The message catalog: every kind of message, declared once.
 *
 * A kind is `noun.participle`. Its entry says who handles it, what it carries, whether two messages of
 * one task may be handled side by side, how often it is tried, and what is told to whom if it dies. The
 * compiler then demands exactly one handler, `on-<noun>-<participle>.ts`, in the service addressed;
 * `MESSAGES.md` and the JSON Schemas are generated from here.
 *
 * One task's way through the kinds, where all goes well:
 *
 *   gateway          task.submitted          → orchestrator     plans
 *   orchestrator     repository.requested    → finalizer        makes the hub
 *   finalizer        repository.prepared     → orchestrator
 *   orchestrator     plan.accepted           → project-manager  makes the board
 *   project-manager  subtask.dispatched      → worker-agent     runs an attempt
 *   worker-agent     attempt.begun/.finished → project-manager
 *   project-manager  candidate.submitted     → quality-checker  runs the gate
 *   quality-checker  verdict.reached         → project-manager
 *   project-manager  merge.requested         → finalizer        one atomic push
 *   finalizer        merge.finished          → project-manager
 *   project-manager  board.completed         → orchestrator
 *   orchestrator     release.requested       → finalizer        pushes nexus/<task>
 *   finalizer        release.finished        → orchestrator     completed
 *
 * And beside it, from each attempt and verdict that counted:
 *
 *   project-manager  memory.noted            → itself           kept in the memories of its agent or project
 *
 * And where a subtask fails, rung by rung:
 *
 *   project-manager  backoff.elapsed         → itself           the next attempt, after a growing wait
 *   project-manager  escalation.raised       → orchestrator     no attempt and no other agent is left
 *   orchestrator     escalation.answered     → project-manager  a new plan, or a person is waited for
 *   gateway          person.answered         → orchestrator     → escalation.answered: once more, from the first rung
 *   orchestrator     patience.ended          → itself           nobody answered: failed
 *
 * And where somebody deleted a stream:
 *
 *   project-manager  order.lost              → itself           what waited there is asked for again
 *
 * To add a kind: one entry here, one handler file there.
 */
import { z } from 'zod';
import {
  agentId,
  attemptOutcome,
  attemptReport,
  check,
  checkCounts,
  checkRequest,
  commitId,
  cost,
  evidenceRef,
  handOver,
  plan,
  planFile,
  plannedSubtask,
  planSketch,
  priority,
  type ServiceName,
  subtaskId,
  subtaskKind,
  taskId,
  taskRequest,
  taskResult,
  timestamp,
  verdictName,
} from './domain.ts';

const ofTask = { task_id: taskId };
const ofSubtask = { task_id: taskId, subtask_id: subtaskId, attempt: z.int().positive() };

/** A message that a dead letter leaves behind, so that nobody waits for ever. */
export type LastWord = { type: string; payload: unknown };

/** Why a message died, for the one who is told instead. */
export type Death = { code: string; says: string; at: string };

type Entry = {
  to: ServiceName;
  payload: z.ZodObject;
  /** One message of a task at a time in a process: for handlers that write the ledger (rule 11). */
  serial: 'task' | 'none';
  /** The handler only writes the ledger, so it may settle under an old epoch (rule 17). */
  ledgerOnly: boolean;
  /** How often it is tried again before it is a dead letter. */
  retries: number;
  /** Informs the receiver; what ends work is decided by the handler's own limits (rule 14). */
  timeoutMs: number;
  says: string;
  /** It is work for a task whose document is there; once the task is deleted, nothing of it begins or goes on. */
  living?: boolean;
  /** True where it is work for a task that has ended, too; left out, its work ends with the task. */
  // biome-ignore lint/suspicious/noExplicitAny: as `died`
  afterEnd?: (payload: any) => boolean;
  /** Told instead when the message dies; without it nobody waits for an answer. */
  // biome-ignore lint/suspicious/noExplicitAny: payloads differ by kind; each entry is checked where it is written
  died?: (payload: any, death: Death) => LastWord;
};

const define = <const S extends ServiceName, P extends z.ZodObject>(
  entry: Omit<Entry, 'to' | 'payload' | 'died' | 'afterEnd'> & {
    to: S;
    payload: P;
    afterEnd?: (payload: z.infer<P>) => boolean;
    died?: (payload: z.infer<P>, death: Death) => LastWord;
  },
) => entry;

const ledger = { serial: 'task', ledgerOnly: true, retries: 3, timeoutMs: 30_000 } as const;
const work = { serial: 'none', ledgerOnly: false, retries: 3 } as const;

/** People who write this message by hand put the fields of a request beside it; dropped, they would be missed. */
const misplaced = (keys: string[]): string =>
  `not known here: ${keys.join(', ')}. The fields of a request go inside it: ` +
  '{"request": {"request": "…", "repository": "…"}}';

const boardFailed = (payload: { task_id: string }, death: Death): LastWord => ({
  type: 'board.completed',
  payload: { task_id: payload.task_id, outcome: 'failed', reason: `${death.code}: ${death.says}`, commit: null },
});

export const catalog = {
  // --- orchestrator ---
  'task.submitted': define({
    ...ledger,
    to: 'orchestrator',
    says: 'A person asked for something. The request comes inline, or lies under the key that `request_key` names.',
    payload: z.strictObject(
      {
        task_id: taskId.optional(),
        request: z.union([taskRequest, z.string().min(1).max(32_768)]).optional(),
        request_key: z.string().optional(),
      },
      { error: (issue) => (issue.code === 'unrecognized_keys' ? misplaced(issue.keys as string[]) : undefined) },
    ),
  }),
  'plan.requested': define({
    ...ledger,
    retries: 1,
    // A model may be asked for the plan.
    timeoutMs: 600_000,
    to: 'orchestrator',
    says: 'A person wants to see how a request would be planned. Nothing is run; the plan is kept for a while.',
    payload: z.object({ preview_id: taskId, request: taskRequest, warnings: z.array(z.string().max(500)).max(20) }),
  }),
  'repository.prepared': define({
    ...ledger,
    // A model may be asked for the plan.
    timeoutMs: 600_000,
    to: 'orchestrator',
    says: 'The task has its hub; integration stands at `base_commit`. Or `code` says why there is none.',
    payload: z.object({
      ...ofTask,
      base_commit: commitId.nullable(),
      warnings: z.array(z.string().max(500)).max(20),
      code: z.string().nullable(),
      says: z.string().max(2000),
    }),
  }),
  'board.completed': define({
    ...ledger,
    to: 'orchestrator',
    says: 'Every subtask has ended; `outcome` says how.',
    payload: z.object({
      ...ofTask,
      outcome: z.enum(['completed', 'failed']),
      reason: z.string().max(2000).nullable(),
      commit: commitId.nullable(),
    }),
  }),
  'release.finished': define({
    ...ledger,
    to: 'orchestrator',
    says: 'The result was pushed, or `code` says why not.',
    payload: z.object({
      ...ofTask,
      result: taskResult.nullable(),
      code: z.string().nullable(),
      says: z.string().max(2000),
    }),
  }),
  'cancellation.requested': define({
    ...ledger,
    to: 'orchestrator',
    says: 'A person cancelled the task.',
    payload: z.object({ ...ofTask, reason: z.string().max(500) }),
  }),
  'deletion.requested': define({
    ...ledger,
    to: 'orchestrator',
    says: 'A person deleted an ended task, with all that belongs to it.',
    payload: z.object({ ...ofTask }),
  }),
  'deadline.reached': define({
    ...ledger,
    to: 'orchestrator',
    says: 'An alarm: the task’s deadline is now. A task that has ended ignores it.',
    payload: z.object({ ...ofTask, deadline: z.string() }),
  }),
  'escalation.raised': define({
    ...ledger,
    to: 'orchestrator',
    says: 'A subtask failed, and neither another attempt nor another agent is left: what now?',
    payload: z.object({
      ...ofTask,
      subtask_id: subtaskId,
      number: z.int().positive().meta({ description: 'Which escalation of the subtask it is.' }),
      attempts: z.int().nonnegative().meta({ description: 'How many there were.' }),
      plans: z.int().nonnegative().meta({ description: 'How many new plans were made for it already.' }),
      may_plan: z.boolean().meta({ description: 'A new plan may help.' }),
      title: z.string(),
      goal: z.string().max(8000),
      reason: z.string().max(2000),
      attempt: z.int().positive().optional(),
      agent_id: agentId.optional(),
      questions: z.array(z.string().max(1000)).max(20).optional().meta({
        description: 'What its agent has to know before it can go on.',
      }),
    }),
    died: boardFailed,
  }),
  'questions.asked': define({
    ...ledger,
    to: 'orchestrator',
    says: 'An agent has left questions, and its work goes on meanwhile.',
    payload: z.object({
      ...ofSubtask,
      agent_id: agentId,
      questions: z.array(z.string().max(1000)).max(20),
    }),
  }),
  'question.answered': define({
    ...ledger,
    to: 'orchestrator',
    says: 'A person has answered what agents asked. A question that is answered already keeps its answer.',
    payload: z.object({
      ...ofTask,
      question_ids: z.array(z.string().max(16)).max(50),
      answer: z.string().max(2000),
      by: z.string().max(200),
    }),
  }),
  'patience.ended': define({
    ...ledger,
    to: 'orchestrator',
    says: 'An alarm: nobody has answered until now. A task that does not wait any more ignores it.',
    payload: z.object({ ...ofTask, subtask_id: subtaskId, until: z.string() }),
    died: boardFailed,
  }),
  'person.answered': define({
    ...ledger,
    to: 'orchestrator',
    says: 'A person wants a subtask that waits tried again; `subtask_id` null: all that wait.',
    payload: z.object({
      ...ofTask,
      subtask_id: subtaskId.nullable(),
      answer: z.enum(['retry']),
      note: z.string().max(2000).default('').meta({ description: 'What the agent is told.' }),
    }),
  }),
  'retention.due': define({
    ...ledger,
    to: 'orchestrator',
    says: 'A schedule: the hubs of tasks that ended long ago may go.',
    payload: z.object({}),
  }),

  // --- project-manager ---
  'plan.accepted': define({
    ...ledger,
    to: 'project-manager',
    says: 'The orchestrator’s plan, to be made into a board.',
    payload: z.object({ ...ofTask, plan, priority, base_commit: commitId }),
    died: boardFailed,
  }),
  'attempt.begun': define({
    ...ledger,
    to: 'project-manager',
    says: 'A worker has begun an attempt.',
    payload: z.object({ ...ofSubtask, agent_id: agentId, instance_id: z.string(), began_at: z.string() }),
  }),
  'attempt.finished': define({
    ...ledger,
    to: 'project-manager',
    says: 'An attempt has ended. `commit` is its accepted work; `wip` what an attempt that failed leaves to the next.',
    payload: z.object({
      ...ofSubtask,
      agent_id: agentId,
      instance_id: z.string().nullable(),
      outcome: attemptOutcome,
      runtime: z.string().max(64).nullable().default(null),
      code: z.string().nullable(),
      says: z.string().max(2000),
      commit: commitId.nullable(),
      wip: commitId.nullable(),
      report: attemptReport.nullable(),
      plan: z
        .union([
          z.object({ file: planFile }),
          z.object({ problem: z.string().max(4000), sketch: planSketch.optional() }),
        ])
        .nullable()
        .meta({ description: 'What .nexus/plan.json held, or why it cannot be read.' }),
      evidence: evidenceRef.nullable(),
      log_tail: z.string().max(4000),
      files: z.array(z.string().max(500)).max(200),
      began_at: z.string().nullable(),
      duration_ms: z.int().nonnegative(),
      cost,
    }),
    died: boardFailed,
  }),
  'verdict.reached': define({
    ...ledger,
    to: 'project-manager',
    says: 'The gate’s verdict on one candidate, merged onto the integration head `base`.',
    payload: z.object({
      ...ofSubtask,
      verdict: verdictName,
      base: commitId,
      tested_commit: commitId.nullable().meta({ description: 'The merge commit that was tested; null on a conflict.' }),
      checks: z.array(check).max(64),
      before: z.array(check).max(64).nullable().meta({ description: 'The checks of `base`, if they were run now.' }),
      still_red: z.array(z.string()).max(200).meta({ description: 'Tests still red that were allowed to be.' }),
      alarms: z.array(z.string().max(500)).max(20),
      files: z.array(z.string().max(500)).max(100).meta({ description: 'Files in conflict.' }),
      gate_runs: z.int().nonnegative().meta({
        description: 'How often checks were run for it: 0 where a verdict on the same commits is used again.',
      }),
      says: z.string().max(4000),
      log_tail: z.string().max(4000),
    }),
    died: boardFailed,
  }),
  'merge.finished': define({
    ...ledger,
    to: 'project-manager',
    says: 'merged: integration is `commit` now. moved: integration had moved; test again.',
    payload: z.object({
      ...ofSubtask,
      outcome: z.enum(['merged', 'moved', 'failed']),
      commit: commitId.nullable().meta({ description: 'The head of integration now.' }),
      says: z.string().max(2000),
    }),
    died: boardFailed,
  }),
  'backoff.elapsed': define({
    ...ledger,
    to: 'project-manager',
    says: 'An alarm: the wait before the next attempt of a parked subtask is over.',
    payload: z.object({ ...ofTask, subtask_id: subtaskId, attempt: z.int().positive() }),
    died: boardFailed,
  }),
  'escalation.answered': define({
    ...ledger,
    to: 'project-manager',
    says: 'What becomes of a subtask that was escalated: a new plan before it, a person is waited for, or once more.',
    payload: z.object({
      ...ofTask,
      subtask_id: subtaskId,
      number: z.int().positive().meta({ description: 'Which escalation of the subtask is answered.' }),
      answer: z.enum(['plan', 'person', 'retry']),
      subtasks: z.array(plannedSubtask).max(32).meta({ description: 'plan: what is to be done before it.' }),
      says: z.string().max(4000),
      by: z.string().max(200).optional().meta({ description: 'Who answers; left out: a person.' }),
    }),
    died: boardFailed,
  }),
  'audit.due': define({
    ...ledger,
    to: 'project-manager',
    says: 'A schedule: look after the checkpoints of the attempts that run, and after orders that were lost.',
    payload: z.object({}),
  }),
  'order.lost': define({
    ...ledger,
    to: 'project-manager',
    says: 'What was asked of a worker, the gate or the finalizer went with a deleted stream: it is asked again.',
    payload: z.object({
      ...ofSubtask,
      ordered_at: timestamp.meta({ description: 'Which order: one that was made later is not repeated.' }),
    }),
  }),
  'memory.noted': define({
    ...ledger,
    serial: 'none',
    to: 'project-manager',
    says: 'What an attempt or a verdict taught, to be kept: a digest of an attempt that ended, or a lesson.',
    payload: z.object({
      ...ofSubtask,
      agent_id: agentId,
      about: z.enum(['ended', 'returned', 'failed', 'sent_back', 'mended']).meta({
        description: 'ended, returned: a digest for the agent; else a lesson. At most one of each per attempt.',
      }),
      content: z.string().max(4000),
      tags: z.array(z.string().max(48)).max(16).default([]),
      importance: z.number().min(0).max(1),
    }),
  }),
  'decay.due': define({
    ...ledger,
    to: 'project-manager',
    says: 'A schedule: memories that have lost their worth may go.',
    payload: z.object({}),
  }),
  'board.cancelled': define({
    ...ledger,
    to: 'project-manager',
    says: 'The task was cancelled or failed: nothing of the board may start any more.',
    payload: z.object({ ...ofTask, reason: z.string().max(2000) }),
  }),
  'board.discarded': define({
    ...ledger,
    to: 'project-manager',
    says: 'The task was deleted: the board goes.',
    payload: z.object({ ...ofTask }),
  }),

  // --- worker-agent ---
  'session.dismissed': define({
    ...ledger,
    to: 'worker-agent',
    says: 'Nobody is to go on with this conversation of an agent: its next attempt begins a new one.',
    payload: z.object({ ...ofTask, session_id: z.string().max(100), by: z.string().max(200) }),
  }),
  'subtask.dispatched': define({
    ...work,
    living: true,
    to: 'worker-agent',
    timeoutMs: 7_200_000,
    says: 'Run this attempt. The request itself is read from the ledger.',
    payload: z.object({
      ...ofSubtask,
      agent_id: agentId,
      role: z.string(),
      kind: subtaskKind,
      title: z.string(),
      goal: z.string().max(8000),
      acceptance: z.array(z.string()).max(32),
      files: z.array(z.string()).max(200),
      grows: z.boolean(),
      time_box_minutes: z.number().positive(),
      runtime: z.string().nullable(),
      integration: commitId.meta({ description: 'Start from here; it holds what the subtask depends on.' }),
      inputs: z
        .array(
          z.object({
            subtask_id: subtaskId,
            title: z.string(),
            summary: z.string().max(2000),
            evidence: evidenceRef.nullable(),
          }),
        )
        .max(64)
        .meta({ description: 'What the subtasks it depends on have reported.' }),
      hand_over: handOver.nullable(),
      failures: z.int().nonnegative().optional().meta({ description: 'How often it has failed, at the gate too.' }),
      agent: z
        .object({ file: z.string().max(1000), source: z.string().max(40_000) })
        .nullish()
        .meta({ description: 'The definition as it stands now: the attempt keeps it, whatever becomes of it.' }),
    }),
    died: (payload, death) => ({
      type: 'attempt.finished',
      payload: {
        task_id: payload.task_id,
        subtask_id: payload.subtask_id,
        attempt: payload.attempt,
        agent_id: payload.agent_id,
        instance_id: null,
        outcome: 'lost',
        runtime: null,
        code: death.code,
        says: death.says,
        commit: null,
        wip: null,
        report: null,
        plan: null,
        evidence: null,
        log_tail: '',
        files: [],
        began_at: null,
        duration_ms: 0,
        cost: { usd: null, tokens: null },
      },
    }),
  }),

  // --- quality-checker ---
  'candidate.submitted': define({
    ...work,
    living: true,
    to: 'quality-checker',
    timeoutMs: 3_600_000,
    says: 'Gate this commit on the head of integration. `before` are the checks of that head, if they ever ran.',
    payload: z.object({
      ...ofSubtask,
      title: z.string(),
      kind: subtaskKind,
      commit: commitId,
      integration: commitId,
      setup: z.array(z.string()).max(16).nullable().meta({ description: 'Null: what the project itself declares.' }),
      checks: z.array(checkRequest).max(32),
      before: z.array(check).max(64).nullable(),
      allowed_red: z.array(z.string()).max(200),
      last: z.boolean().default(false).meta({ description: 'No more code comes: what the task asks for must pass.' }),
    }),
    died: (payload, death) => ({
      type: 'verdict.reached',
      payload: {
        task_id: payload.task_id,
        subtask_id: payload.subtask_id,
        attempt: payload.attempt,
        verdict: 'broken',
        base: payload.integration,
        tested_commit: null,
        checks: [],
        before: null,
        still_red: [],
        alarms: [],
        files: [],
        gate_runs: 0,
        says: `${death.code}: ${death.says}`,
        log_tail: '',
      },
    }),
  }),

  // --- finalizer ---
  'repository.requested': define({
    ...work,
    living: true,
    to: 'finalizer',
    timeoutMs: 600_000,
    says: 'Make the hub of a task: a copy of the repository at `base`, or a new one.',
    payload: z.object({ ...ofTask, repository: z.string().nullable(), base: z.string().nullable(), title: z.string() }),
    died: (payload, death) => ({
      type: 'repository.prepared',
      payload: { task_id: payload.task_id, base_commit: null, warnings: [], code: death.code, says: death.says },
    }),
  }),
  'merge.requested': define({
    ...work,
    living: true,
    to: 'finalizer',
    timeoutMs: 600_000,
    says: 'Move integration from `base` to `tested_commit`, together with the marker of the subtask.',
    payload: z.object({ ...ofSubtask, base: commitId, tested_commit: commitId }),
    died: (payload, death) => ({
      type: 'merge.finished',
      payload: {
        task_id: payload.task_id,
        subtask_id: payload.subtask_id,
        attempt: payload.attempt,
        outcome: 'failed',
        commit: null,
        says: `${death.code}: ${death.says}`,
      },
    }),
  }),
  'release.requested': define({
    ...work,
    living: true,
    afterEnd: ({ outcome }) => outcome !== 'completed',
    to: 'finalizer',
    timeoutMs: 600_000,
    says: 'Push the result as nexus/<task> and write the report; where a task ended badly, the report alone.',
    payload: z.object({
      ...ofTask,
      outcome: z.enum(['completed', 'failed', 'cancelled']).default('completed'),
      reason: z.string().max(2000).nullable().default(null),
      repository: z.string().nullable(),
      commit: commitId.nullable().meta({ description: 'Null only where nothing is released.' }),
      base_commit: commitId.nullable().meta({ description: 'Null: there never was a hub.' }),
      checks: checkCounts,
      proven: z.boolean(),
    }),
    died: (payload, death) => ({
      type: 'release.finished',
      payload: { task_id: payload.task_id, result: null, code: death.code, says: death.says },
    }),
  }),
  'hub.expired': define({
    ...work,
    afterEnd: () => true,
    to: 'finalizer',
    timeoutMs: 600_000,
    says: 'The task ended long ago: its hub goes with the evidence in it; its report stays.',
    payload: z.object({ ...ofTask }),
  }),
  'hub.discarded': define({
    ...work,
    to: 'finalizer',
    timeoutMs: 600_000,
    says: 'The task was deleted: its hub and its report go.',
    payload: z.object({ ...ofTask }),
  }),
} as const satisfies Record<string, Entry>;

export type Kind = keyof typeof catalog;
export type PayloadOf<K extends Kind> = z.infer<(typeof catalog)[K]['payload']>;
/** What a sender writes: fields with a default may be left out. */
export type PayloadInput<K extends Kind> = z.input<(typeof catalog)[K]['payload']>;
/** The kinds that a service has to handle: what the compiler demands of it. */
export type KindsTo<S extends ServiceName> = { [K in Kind]: (typeof catalog)[K]['to'] extends S ? K : never }[Kind];

export const isKind = (text: string): text is Kind => Object.hasOwn(catalog, text);

/** The catalog's entry of a kind, in the wide type that generic code works with. */
export const entryOf = (kind: Kind): Entry => catalog[kind];

/** All kinds that a service handles, in the catalog's order. */
export const kindsTo = (service: ServiceName): Kind[] =>
  (Object.keys(catalog) as Kind[]).filter((kind) => catalog[kind].to === service);
