/**
 * The answers of the HTTP API as schemas.
 *
 * The gateway validates what it answers by these and generates `/openapi.json` from them; the client
 * takes its types from them. What people send is in `messages/domain.ts` (a task request) or here. All
 * JSON is snake_case. Ids, `.meta({ id })`, are the names that the OpenAPI document shows.
 */
import {
  agentId,
  checkCounts,
  cost,
  mode,
  presence,
  priority,
  runningAttempt,
  serviceName,
  subtask,
  subtaskId,
  subtaskKind,
  subtaskState,
  taskId,
  taskResult,
  taskStatus,
  verdictName,
} from '@nexus/shared/messages/domain';
import { z } from 'zod';
import type { workerShown } from './agents-api.ts';
import { budgetShown } from './cost-api.ts';
import {
  type deadLetterDetail,
  type deadLetterList,
  type deadLetterShort,
  type letterAnswer,
  type letterEdit,
  type lettersAnswer,
  type lettersDecision,
  timestamp,
} from './letters.ts';
import { questionShown, waitingShown, waitingTask } from './questions-api.ts';

export {
  type AgentChecked,
  type AgentDetail,
  type AgentGiven,
  type AgentList,
  type AgentRemoved,
  type AgentShown,
  agentChecked,
  agentDetail,
  agentGiven,
  agentList,
  agentRemoved,
  agentShown,
  workerShown,
} from './agents-api.ts';
export { budgetRaise, budgetRaised, costQuery, costTable, taskCost } from './cost-api.ts';
export { attemptRecord, evidenceQuery, gateRecord, taskEvidence, taskLogs } from './evidence-api.ts';
export {
  deadLetterDetail,
  deadLetterList,
  letterAnswer,
  letterEdit,
  letterQuery,
  lettersAnswer,
  lettersDecision,
} from './letters.ts';
export {
  type MemoriesOf,
  type MemoryFilter,
  type MemoryForgotten,
  type MemoryGiven,
  type MemoryKept,
  type MemoryList,
  type MemoryShown,
  memoriesForgotten,
  memoryForgotten,
  memoryGiven,
  memoryKept,
  memoryList,
  memoryQuery,
  memoryShown,
  ofMemory,
} from './memory-api.ts';
export { type PlanShown, planShown } from './plan-api.ts';
export {
  type QuestionAnswer,
  type QuestionAnswered,
  type QuestionShown,
  questionAnswer,
  questionAnswered,
  questionShown,
} from './questions-api.ts';
export {
  type SessionDetail,
  type SessionEnded,
  type SessionList,
  type SessionShown,
  sessionDetail,
  sessionEnded,
  sessionList,
  sessionQuery,
} from './sessions-api.ts';

// --- problems ----------------------------------------------------------------------------------

/** RFC 9457. `code` is what programs match on; ERRORS.md lists all of them. */
export const problem = z
  .object({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    detail: z.string(),
    instance: z.string(),
    code: z.string(),
    problems: z
      .array(z.object({ field: z.string(), says: z.string() }))
      .optional()
      .meta({ description: 'One entry for each field that is not right.' }),
  })
  .meta({ id: 'Problem', description: 'RFC 9457 problem details; `code` is what programs match on.' });

// --- tasks -------------------------------------------------------------------------------------

/** The stored states, and `stopped`, which is shown while control holds the task back. */
export const shownStatus = z
  .enum([...taskStatus.options, 'stopped'])
  .meta({ id: 'TaskStatus', description: '`stopped` is shown while STOP_ALL or PAUSE_ALL holds the task back.' });

/** What a task counts as assigned to an agent, or one of its deliverables, is doing. */
export const shareState = z.enum(['in_progress', 'failed', 'pending', 'completed']);

export const taskAccepted = z
  .object({
    task_id: taskId,
    status: z.literal('accepted'),
    estimated_completion: z.null().meta({ description: 'Null until something computes it.' }),
    assigned_agents: z.array(agentId).meta({ description: 'Empty until a plan exists.' }),
    tracking_url: z.string(),
    warnings: z.array(z.string()).meta({ description: 'What will not stop the task, but may surprise.' }),
  })
  .meta({ id: 'TaskAccepted' });

export const taskShort = z
  .object({
    task_id: taskId,
    title: z.string(),
    status: shownStatus,
    reason: z.string().nullable(),
    priority,
    progress_percentage: z.int().min(0).max(100),
    waiting: z.array(waitingShown).meta({
      description: 'What it waits for a person about; answered by POST …/retry or POST …/cancel.',
    }),
    questions: z.array(questionShown).optional().meta({ description: 'What agents asked; POST …/answer answers it.' }),
    parked: z
      .array(z.object({ subtask_id: subtaskId, until: timestamp, waits_for: z.string() }))
      .optional()
      .meta({
        description: 'Attempts that were put aside, uncounted: until when, and for what. Left out without any.',
      }),
    created_at: timestamp,
    updated_at: timestamp,
    ended_at: timestamp.nullable(),
  })
  .meta({ id: 'TaskShort' });

export const taskList = z
  .object({
    tasks: z.array(taskShort),
    next_offset: z.int().nullable().meta({ description: 'The `offset` of the next page; null: there is none.' }),
  })
  .meta({ id: 'TaskList' });

/** One line of a task's graph. */
export const subtaskShort = z
  .object({
    id: subtaskId,
    title: z.string(),
    role: z.string(),
    agent_id: agentId,
    kind: subtaskKind,
    state: subtaskState,
    depends_on: z.array(subtaskId),
    attempt: z.int(),
    failures: z.int(),
    sent_back: z.int(),
    plan_rejections: z.int().optional().meta({ description: 'How often a plan of it was refused and went back.' }),
    instance_id: z.string().nullable(),
    began_at: timestamp.nullable(),
    ended_at: timestamp.nullable(),
    commit: z.string().nullable(),
    merged_commit: z.string().nullable(),
    reason: z.string().nullable(),
    summary: z.string().nullable().meta({ description: 'What the agent reported at the end.' }),
    doing: z.string().nullable().meta({ description: 'What it does right now, as its worker last told.' }),
    checks: checkCounts,
    verdict: verdictName.nullable().meta({
      description: 'What the gate last said. `unproven`: nothing failed, but nothing was declared that could have.',
    }),
    resume_at: timestamp.nullable().meta({ description: 'Parked until then.' }),
    held: z
      .array(z.object({ part: z.string(), is: z.string() }))
      .optional()
      .meta({ description: '`fleet`, or parts as `agent:x`, that hold it back: each has to be resumed.' }),
    worker_gone: z
      .boolean()
      .meta({ description: 'It is at work, but its worker is not alive: another takes it over.' }),
  })
  .meta({ id: 'SubtaskShort' });

/** A subtask with everything that the board keeps of it. */
export const subtaskDetail = subtask
  .extend({ doing: z.string().nullable() })
  .meta({ id: 'SubtaskDetail', description: 'Everything that is kept of one subtask, its history included.' });

export const taskDetail = taskShort
  .extend({
    priority: priority.nullable(),
    request: z.string().nullable().meta({ description: 'Null for the moment until the orchestrator has read it.' }),
    current_phase: z.string().meta({ description: 'What is going on, in a few words.' }),
    held: z
      .array(z.enum(['fleet', 'task']))
      .optional()
      .meta({ description: 'What is stopped and holds it: each has to be resumed. Left out while nothing is.' }),
    mode: mode.nullable(),
    workflow: z.string().nullable(),
    deadline: timestamp.nullable(),
    estimated_completion: z.null(),
    assigned_agents: z.record(z.string(), shareState),
    deliverables: z.record(z.string(), shareState),
    subtasks: z.array(subtaskShort),
    attempts: z.int(),
    sent_back: z.int(),
    merged: z.int(),
    gate_runs: z.int().meta({
      description:
        'How often checks were run. N subtasks cost N + 1 at most, one more for each failed or broken gate, and for ' +
        'each head that somebody else pushed.',
    }),
    cost: cost.extend({ notional_usd: z.number().optional(), unpriced_calls: z.int().optional() }),
    budget: budgetShown.optional().meta({ description: 'What the task may use, and has used.' }),
    repository: z.string().nullable(),
    base: z.string().nullable(),
    base_commit: z.string().nullable(),
    warnings: z.array(z.string()),
    result: taskResult.nullable(),
    kept: z.object({ hub: z.string(), ref: z.string(), commit: z.string() }).nullable().meta({
      description: 'Where the tested merges of a task lie that failed or was cancelled; null if there are none.',
    }),
    actor: z.string().nullable(),
    tracking_url: z.string(),
    report_url: z.string().nullable().meta({ description: 'Null until there is a report.' }),
  })
  .meta({ id: 'Task' });

export const taskEnding = z
  .object({ task_id: taskId, status: z.enum(['cancelling', 'deleting']) })
  .meta({ id: 'TaskEnding', description: 'It was asked for; events and the task itself tell when it is done.' });

export const taskRetried = z
  .object({ task_id: taskId, status: z.literal('retrying'), subtasks: z.array(subtaskId) })
  .meta({ id: 'TaskRetried', description: '`subtasks` waited and are tried again.' });

// --- control -----------------------------------------------------------------------------------

export const controlWord = z.enum(['STOP_ALL', 'PAUSE_ALL', 'RESUME_ALL', 'DRAIN']);
export const controlScope = z
  .strictObject({
    task: taskId.optional(),
    agent: agentId.optional(),
    service: serviceName.optional(),
    instance: z.string().min(1).max(200).optional(),
  })
  .refine((scope) => Object.keys(scope).length === 1, 'names exactly one of task, agent, service, instance')
  .meta({ id: 'ControlScope', description: 'Exactly one of them; without a scope the whole fleet.' });
export const controlCommand = z
  .strictObject({
    command: z
      .preprocess((value) => (typeof value === 'string' ? value.toUpperCase() : value), controlWord)
      .meta({ description: 'STOP_ALL, PAUSE_ALL, RESUME_ALL or DRAIN, in any case.', enum: undefined }),
    scope: controlScope.optional(),
  })
  .meta({ id: 'ControlCommand' });

const refusedWord = z.object({ text: z.string(), code: z.string(), says: z.string(), at: timestamp });

export const controlState = z
  .object({
    state: z.enum(['running', 'stopped', 'paused', 'draining']),
    epoch: z.int(),
    scopes: z.record(z.string(), z.string()).meta({ description: 'Parts that are held by themselves: `task:x`.' }),
    said: z
      .record(z.string(), z.object({ by: z.string(), at: timestamp }))
      .meta({ description: 'Who gave each of these parts its command, and when.' }),
    by: z.string().nullable(),
    at: timestamp.nullable(),
    refused: refusedWord
      .nullish()
      .meta({ description: 'The last word on the control channel that was refused; null where none was for a while.' }),
    refusals: z.array(refusedWord).optional().meta({ description: 'The last few of them, the newest first.' }),
    instances: z.array(
      z.object({
        instance_id: z.string(),
        service: serviceName,
        host: z.string(),
        pid: z.int(),
        state: presence.shape.state,
        busy: z.int(),
        running: z.array(runningAttempt),
        confirmed_epoch: z.int().meta({ description: 'The last stop that this instance has carried out.' }),
        survivors: z.array(z.int()).meta({ description: 'Processes that outlived that stop.' }),
      }),
    ),
  })
  .meta({ id: 'Control' });

// --- the system --------------------------------------------------------------------------------

export const health = z
  .object({
    status: z.enum(['ok', 'failing']),
    says: z.string(),
    since: timestamp,
    code: z.string().optional().describe('What is wrong, by its code; also where work still goes on.'),
    do: z.string().optional().describe('What a person does about it.'),
  })
  .meta({ id: 'Health' });

export const system = z
  .object({
    version: z.string(),
    fabric: health,
    control: controlState.omit({ instances: true }),
    instances: z.array(presence),
    open_tasks: z.int(),
    waiting: z
      .array(waitingTask)
      .meta({ description: 'Tasks that wait for a person, or whose agents have asked something.' }),
    parked: z
      .array(
        z.object({
          id: z.string(),
          type: z.string(),
          task_id: z.string().nullable(),
          subtask_id: z.string().nullable(),
          until: timestamp,
          waits_for: z.string().nullable().optional().meta({ description: 'What an attempt was put aside for.' }),
        }),
      )
      .meta({ description: 'Messages that wait for their time, the next first; at most 20.' }),
    backlog: z.object({
      dead: z.int(),
      oldest_dead_at: timestamp.nullable(),
      parked: z.int(),
      inboxes: z.record(z.string(), z.object({ waiting: z.int(), held: z.int() })),
    }),
    rehearsal: z.boolean(),
  })
  .meta({ id: 'System' });

/** One event of the stream `/api/events`: the `data` of a server-sent event. */
export const fleetEvent = z
  .object({
    id: z.string(),
    at: timestamp,
    kind: z.enum(['message', 'settled', 'event']),
    task_id: z.string().nullable(),
    body: z.unknown(),
  })
  .meta({ id: 'FleetEvent' });

export type Problem = z.infer<typeof problem>;
export type ShownStatus = z.infer<typeof shownStatus>;
export type ShareState = z.infer<typeof shareState>;
export type TaskAccepted = z.infer<typeof taskAccepted>;
export type TaskShort = z.infer<typeof taskShort>;
export type TaskList = z.infer<typeof taskList>;
export type SubtaskShort = z.infer<typeof subtaskShort>;
export type SubtaskDetail = z.infer<typeof subtaskDetail>;
export type TaskDetail = z.infer<typeof taskDetail>;
export type TaskEnding = z.infer<typeof taskEnding>;
export type TaskRetried = z.infer<typeof taskRetried>;
export type * from './evidence-api.ts';
export type WorkerShown = z.infer<typeof workerShown>;
export type ControlWord = z.infer<typeof controlWord>;
export type ControlScope = z.infer<typeof controlScope>;
export type ControlState = z.infer<typeof controlState>;
export type DeadLetterShort = z.infer<typeof deadLetterShort>;
export type DeadLetterDetail = z.infer<typeof deadLetterDetail>;
export type DeadLetterList = z.infer<typeof deadLetterList>;
export type LetterAnswer = z.infer<typeof letterAnswer>;
export type LetterFilter = NonNullable<z.input<typeof lettersDecision>['filter']>;
export type LettersDecision = z.input<typeof lettersDecision>;
export type LettersAnswer = z.infer<typeof lettersAnswer>;
export type LetterEdit = z.input<typeof letterEdit>;
export type Health = z.infer<typeof health>;
export type System = z.infer<typeof system>;
export type FleetEvent = z.infer<typeof fleetEvent>;
