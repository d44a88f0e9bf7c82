/**
 * The words of NEXUS as schemas: requests, plans, boards, attempts, checks, verdicts.
 *
 * Everything that crosses a process boundary or lies in the ledger has its shape here, snake_case as
 * people read it with redis-cli. States are closed lists; `transitions` draws the legal moves.
 */
import { z } from 'zod';

// --- identifiers -------------------------------------------------------------------------------

/** A task's id: the request's first words and six random characters, also its branch: `nexus/<task>`. */
export const taskId = z
  .string()
  .regex(/^[a-z0-9][a-z0-9-]{2,63}$/, '3 to 64 lower-case letters, digits and dashes, no dash first');
export const subtaskId = z.string().regex(/^[a-z0-9][a-z0-9-]{0,47}$/, 'lower-case letters, digits and dashes');
export const agentId = z
  .string()
  .regex(/^[a-z0-9][a-z0-9_-]{0,63}$/, 'lower-case letters, digits, dashes, underscores');
export const commitId = z.string().regex(/^[0-9a-f]{40,64}$/, 'a full commit id');
export const timestamp = z.iso.datetime({ offset: true });

// --- closed lists ------------------------------------------------------------------------------

export const serviceName = z.enum([
  'gateway',
  'orchestrator',
  'project-manager',
  'worker-agent',
  'quality-checker',
  'finalizer',
]);
export const priority = z.enum(['CRITICAL', 'HIGH', 'NORMAL', 'LOW']);
export const taskStatus = z.enum([
  'accepted',
  'planning',
  'in_progress',
  'releasing',
  'completed',
  'failed',
  'cancelled',
  'waiting_for_person',
]);
export const subtaskState = z.enum([
  'blocked',
  'ready',
  'working',
  'checking',
  'merging',
  'merged',
  'reported',
  'parked',
  'waiting_for_person',
  'failed',
  'cancelled',
]);
export const subtaskKind = z.enum(['code', 'tests_first', 'report']);
export const attemptOutcome = z.enum(['finished', 'failed', 'timed_out', 'stuck', 'aborted', 'lost']);
/** active: an agent is in it · idle: it can go on · expired, ended: it cannot · lost: its transcript is gone. */
export const sessionStatus = z.enum(['active', 'idle', 'expired', 'lost', 'ended']);
export const checkState = z.enum(['passed', 'failed', 'skipped', 'broken']);
export const mode = z.enum(['parallel', 'sequential']);
/** How far a time box goes: safe to 30 minutes, caution to 60, warning to 120, which has to be asked for by name. */
export const timeBoxLevel = z.enum(['safe', 'caution', 'warning']);

/** Where a task may go from where it stands; what is not drawn here is an error. */
export const taskTransitions: Record<TaskStatus, readonly TaskStatus[]> = {
  accepted: ['planning', 'failed', 'cancelled', 'waiting_for_person'],
  planning: ['in_progress', 'failed', 'cancelled', 'waiting_for_person'],
  in_progress: ['releasing', 'failed', 'cancelled', 'waiting_for_person'],
  releasing: ['completed', 'failed', 'cancelled', 'waiting_for_person'],
  waiting_for_person: ['planning', 'in_progress', 'releasing', 'failed', 'cancelled'],
  completed: [],
  failed: [],
  cancelled: [],
};

/**
 * The same for a subtask. It is parked while it waits for its next attempt or for the orchestrator's word; from
 * there it is blocked again where a new plan is to be made first.
 */
export const subtaskTransitions: Record<SubtaskState, readonly SubtaskState[]> = {
  blocked: ['ready', 'failed', 'cancelled'],
  ready: ['working', 'ready', 'parked', 'waiting_for_person', 'failed', 'cancelled', 'checking', 'reported'],
  working: ['checking', 'reported', 'ready', 'parked', 'waiting_for_person', 'failed', 'cancelled'],
  checking: ['merging', 'ready', 'parked', 'waiting_for_person', 'failed', 'cancelled'],
  merging: ['merged', 'ready', 'parked', 'checking', 'waiting_for_person', 'failed', 'cancelled'],
  parked: ['ready', 'blocked', 'checking', 'waiting_for_person', 'failed', 'cancelled'],
  waiting_for_person: ['ready', 'checking', 'failed', 'cancelled'],
  merged: [],
  reported: [],
  failed: [],
  cancelled: [],
};

export const endedTask = (status: TaskStatus): boolean => taskTransitions[status].length === 0;
export const endedSubtask = (state: SubtaskState): boolean => subtaskTransitions[state].length === 0;

// --- what a person asks for --------------------------------------------------------------------

/** Programs are given texts that end at a NUL. */
const noNul = [(text: string) => !text.includes('\0'), 'holds a NUL character, which no program can be given'] as const;
const line = (max: number) =>
  z
    .string()
    .min(1)
    .max(max)
    .refine(...noNul);

export const checkRequest = z.strictObject({
  name: z.string().min(1).max(64),
  command: line(4096),
  timeout_ms: z.int().min(1).max(7_200_000).optional(),
});
const noBudget = 'must be more than 0; left out, there is no limit';
export const budget = z.strictObject({
  usd: z.number().positive(noBudget).optional(),
  tokens: z.int().positive(noBudget).optional(),
});

const utf8Max = (bytesMax: number) => (text: string) => Buffer.byteLength(text) <= bytesMax;

const contextDepthMax = 32;

/** How deep a JSON value is nested. Without recursion: what asks may come from anybody. */
const depthOf = (value: unknown): number => {
  let depth = 0;
  for (let level = [value]; level.length > 0; depth += 1) {
    level = level.flatMap((one) => (typeof one === 'object' && one !== null ? Object.values(one) : []));
  }
  return depth;
};

/** An agent that comes with a plan or a request, and goes with its board. */
export const temporaryAgent = z
  .strictObject({
    name: z.string().trim().min(1).max(100),
    description: z.string().min(1).max(1000),
    prompt: z.string().min(1).max(8000).meta({ description: 'Who it is, and how it works.' }),
    agent_id: agentId.optional(),
    role: agentId.optional(),
    tools: z.array(z.string().min(1).max(200)).max(40).optional(),
    model: z.string().min(1).max(200).optional(),
    traits: z.array(z.string().min(1).max(200)).max(20).optional(),
    expertise: z.array(z.string().min(1).max(200)).max(20).optional(),
  })
  .meta({ id: 'TemporaryAgent' });
const temporaryAgents = z.array(temporaryAgent).max(8);

/** The body of `POST /api/tasks`, and the payload of `task.submitted` written by hand. */
export const taskRequest = z
  .strictObject({
    request: z
      .string()
      .refine((text) => text.trim().length > 0, 'is empty; say what you want done')
      .refine(utf8Max(32_768), 'is longer than 32 kB; put long material into the repository')
      .refine(...noNul)
      .meta({ description: 'What you want done, in your own words. At most 32 kB.' }),
    priority: z
      .preprocess((value) => (typeof value === 'string' ? priorityAlias(value) : value), priority)
      .optional()
      .meta({
        description: 'CRITICAL, HIGH, NORMAL (or medium), LOW, in any case.',
        // A list of values would not hold the other spellings that are taken.
        enum: undefined,
      }),
    deadline: timestamp.optional().meta({ description: 'When it must be done, ISO 8601 with a time zone.' }),
    context: z
      .record(z.string(), z.unknown())
      .refine((context) => depthOf(context) <= contextDepthMax, `is nested deeper than ${contextDepthMax} levels`)
      .optional()
      .meta({ description: 'Anything the agents should know, at most 32 levels deep.' }),
    repository: line(2048).optional().meta({ description: 'Path or URL; without it a new one.' }),
    base: line(255).optional().meta({ description: 'Branch, tag or commit to start from.' }),
    workflow: z
      .string()
      .min(1)
      .max(64)
      .optional()
      .meta({ description: 'Which workflow, by its name; left out, the words of the request choose it.' }),
    roles: z.array(z.string().min(1).max(64)).min(1).max(32).optional().meta({
      description: 'Instead of a workflow: these roles, one subtask each, one after the other.',
    }),
    mode: mode.optional().meta({
      description: 'parallel: what does not depend on each other runs side by side; sequential: one at a time.',
    }),
    analyst: z.boolean().optional().meta({ description: 'Begin with an analyst, whatever the workflow says.' }),
    setup: z.array(line(4096)).max(16).optional().meta({
      description: 'Shell commands that make a fresh clone runnable, such as npm ci.',
    }),
    checks: z.array(checkRequest).max(32).optional().meta({
      description: 'Commands that the result has to pass, beside those that are found in the repository.',
    }),
    budget: budget.optional().meta({ description: 'What the task may cost, all its attempts together.' }),
    agents: z.array(temporaryAgent).max(8).optional().meta({
      description: 'Agents for this task alone: `roles`, and plans, may name them. They go with the task.',
    }),
    runtime: z.string().min(1).max(64).optional().meta({
      description: 'How agents are run, by its name; left out, the first that a worker can use.',
    }),
    agent_command: line(4096).optional().meta({
      description: 'The agent: a shell command that reads its prompt on standard input and works in its folder.',
    }),
    scenario: z.string().max(200_000).optional().meta({ description: 'Rehearsals only: the text of a scenario file.' }),
  })
  .meta({ id: 'TaskRequest' });

/** Other spellings of priorities that people write: any case, `medium` and `urgent` included. */
export const priorityAlias = (value: string): string => {
  const upper = value.toUpperCase();
  return { MEDIUM: 'NORMAL', DEFAULT: 'NORMAL', URGENT: 'CRITICAL' }[upper] ?? upper;
};

// --- plans -------------------------------------------------------------------------------------

export const timeBoxMinutesMax = 120;
const warningOverMinutes = 60;

/** The level of a time box of so many minutes. */
export const timeBoxLevelOf = (minutes: number): TimeBoxLevel =>
  minutes <= 30 ? 'safe' : minutes <= warningOverMinutes ? 'caution' : 'warning';

/** What is wrong with a time box as it was planned, and what would be right; null: nothing. */
export const timeBoxProblem = (minutes: number, level: TimeBoxLevel | undefined): string | null => {
  if (minutes > timeBoxMinutesMax) {
    return `a time box of ${minutes} minutes is over ${timeBoxMinutesMax}; cut the subtask smaller`;
  }
  const right = timeBoxLevelOf(minutes);
  if (level === right || (level === undefined && right !== 'warning')) return null;
  if (level !== undefined) return `time_box_level is "${level}", but ${minutes} minutes are "${right}"`;
  return `a time box of ${minutes} minutes needs time_box_level: "warning"; without it at most ${warningOverMinutes}`;
};

/** One node as a workflow, or a planner agent's `.nexus/plan.json`, writes it. */
export const plannedSubtask = z
  .strictObject({
    id: subtaskId,
    title: z.string().min(1).max(200),
    role: z.string().min(1).max(64).meta({ description: 'A role, or the id of an agent.' }),
    kind: subtaskKind.default('code'),
    goal: z.string().min(1).max(8000),
    acceptance: z.array(z.string().min(1).max(1000)).max(32).default([]),
    depends_on: z.array(subtaskId).max(64).default([]),
    files: z.array(z.string().min(1).max(500)).max(200).default([]),
    time_box_minutes: z
      .number()
      .positive()
      .max(timeBoxMinutesMax, `is over ${timeBoxMinutesMax} minutes; cut the subtask smaller`)
      .default(30),
    time_box_level: timeBoxLevel.optional().meta({
      description: 'A box over 60 minutes is a warning, and has to say so here.',
    }),
    runtime: z.string().min(1).max(64).optional(),
    grows: z.boolean().default(false).meta({ description: 'May add subtasks by .nexus/plan.json (planners).' }),
    stands_for_plan: z
      .boolean()
      .default(false)
      .meta({ description: 'Is replaced by what the planner planned, and done itself only if nothing was.' }),
  })
  .meta({ id: 'PlannedSubtask' });

/** `.nexus/plan.json`, what a planner agent leaves behind. */
export const planFile = z
  .strictObject({
    subtasks: z
      .array(plannedSubtask.omit({ grows: true, stands_for_plan: true }))
      .min(1)
      .max(200),
    agents: temporaryAgents.optional().meta({ description: 'Agents for this plan alone; its roles may name them.' }),
    notes: z.string().max(8000).optional(),
  })
  .meta({ id: 'PlanFile' });

/** What can be read of the graph of a plan that does not fit `planFile`: so that all that is wrong is told at once. */
export const planSketch = z
  .array(
    z.object({
      id: z.string().max(64),
      role: z.string().max(64).nullable(),
      depends_on: z.array(z.string().max(64)).max(64),
    }),
  )
  .max(200);

/** What NEXUS Prime makes of a request, by a model. */
export const judgement = z.object({
  by: z.string().max(200).meta({ description: 'The model that answered.' }),
  complexity: z.enum(['trivial', 'simple', 'moderate', 'complex']),
  why: z.string().max(1000),
  needs_research: z.boolean(),
  risks: z.array(z.object({ risk: z.string().max(500), mitigation: z.string().max(500) })).max(16),
  limits: z
    .object({
      minutes: z.number().nonnegative().nullable(),
      tokens: z.int().nonnegative().nullable(),
      usd: z.number().nonnegative().nullable(),
    })
    .meta({ description: 'What all of it should take; null where the model cannot say.' }),
  cost: z
    .object({ usd: z.number().nonnegative().nullable(), tokens: z.int().nonnegative(), notional: z.boolean() })
    .meta({ description: 'What the judgement itself used.' }),
  tries: z.int().positive(),
});

/** How likely a plan comes to its end, by what each role has done before. */
export const outlook = z.object({
  probability: z.number().min(0).max(1),
  assumed: z.boolean().meta({ description: 'A role has done less than five attempts: it is taken for a good one.' }),
  grows: z.boolean().meta({ description: 'A planner adds steps; they are not counted.' }),
  attempts: z.number().nonnegative().meta({ description: 'How many attempts it takes on average, retries included.' }),
  steps: z
    .array(
      z.object({
        id: subtaskId,
        role: z.string(),
        probability: z.number().min(0).max(1),
        attempts: z.number().nonnegative(),
        n: z.int().nonnegative().meta({ description: 'Attempts of this role so far, at this kind of work.' }),
        ok: z.int().nonnegative(),
        assumed: z.boolean(),
      }),
    )
    .max(40)
    .meta({ description: 'The least sure first; at most 40.' }),
  raise: z.array(z.string().max(500)).max(10).meta({ description: 'Below 70 %: what would raise it, and to what.' }),
});

/** The orchestrator's answer to a task. `probability` and `price` are null until something computes them. */
export const plan = z.object({
  approach: z.string().max(8000),
  workflow: z.string(),
  mode,
  subtasks: z.array(plannedSubtask).min(1).max(500),
  agents: temporaryAgents.optional().meta({ description: 'Those that the request brought along.' }),
  risks: z.array(z.string().max(1000)).max(32),
  probability: z.number().min(0).max(1).nullable(),
  price_usd: z.number().nonnegative().nullable(),
  price_by: z
    .enum(['model', 'history'])
    .optional()
    .meta({ description: 'Whether a model judged the price, or attempts of these roles have cost so much before.' }),
  price_without: z
    .array(z.string())
    .optional()
    .meta({ description: 'Roles whose attempts have cost nothing known yet: each is taken for an average one.' }),
  judgement: judgement.optional().meta({ description: 'Left out where no model is configured.' }),
  outlook: outlook.optional(),
});

// --- evidence and checks -----------------------------------------------------------------------

/** Where a file of evidence lies: a ref of the task's hub, and the path in its tree. */
export const evidenceRef = z.object({ ref: z.string(), path: z.string() });

const testCounts = z.object({ total: z.int(), passed: z.int(), failed: z.int(), skipped: z.int() });

/** One command that really ran (or a reason why it did not), with what proves it. */
export const check = z
  .object({
    name: z.string(),
    state: checkState,
    command: z.string().nullable(),
    exit_code: z.int().nullable(),
    duration_ms: z.int().nonnegative(),
    tests: testCounts.nullable().meta({ description: 'Counts read from the runner’s own output; null if unknown.' }),
    failing: z.array(z.string().max(500)).max(200).meta({ description: 'Names of failing tests, where known.' }),
    failing_before: z.boolean().meta({ description: 'It failed on the commit before, too.' }),
    still_red: z.array(z.string().max(500)).max(200).optional().meta({
      description: 'Those of `failing` that were written first and wait for their code: they excuse nobody later.',
    }),
    why: z.string().max(2000).meta({ description: 'One sentence: why skipped, broken or failed; empty if passed.' }),
    log_tail: z.string().max(4000),
    log: evidenceRef.nullable(),
  })
  .meta({ id: 'Check' });

/** passed: may be merged. unproven: nothing failed, but nothing was declared that could. */
export const verdictName = z.enum(['passed', 'unproven', 'failed', 'conflict', 'broken']);
export const checkCounts = z.object({ passed: z.int(), failed: z.int(), skipped: z.int(), broken: z.int() });

export const countChecks = (checks: readonly Check[] | null | undefined): CheckCounts => {
  const counts: CheckCounts = { passed: 0, failed: 0, skipped: 0, broken: 0 };
  for (const { state } of checks ?? []) counts[state]++;
  return counts;
};

// --- attempts ----------------------------------------------------------------------------------

/** How every attempt reports, whatever its runtime; all but `summary` may be left out by the agent. */
export const attemptReport = z
  .object({
    summary: z.string().max(8000),
    confidence_score: z.number().min(0).max(1).nullable().default(null),
    deliverables: z.array(z.string().max(500)).max(50).default([]),
    recommendations: z.array(z.string().max(1000)).max(50).default([]),
    next_steps: z.array(z.string().max(1000)).max(50).default([]),
    files: z.array(z.string().max(500)).max(200).default([]),
    agent_feedback: z
      .object({
        clarity_rating: z.number().min(1).max(5).nullable().default(null),
        complexity_rating: z.number().min(1).max(5).nullable().default(null),
        additional_questions: z.array(z.string().max(1000)).max(20).default([]),
      })
      .default({ clarity_rating: null, complexity_rating: null, additional_questions: [] }),
  })
  .meta({ id: 'AttemptReport' });

export const cost = z.object({ usd: z.number().nonnegative().nullable(), tokens: z.int().nonnegative().nullable() });

/** What the next attempt of a subtask is told about the ones before. */
export const handOver = z.object({
  why: z.enum(['gate_failed', 'conflict', 'agent_failed', 'plan_invalid', 'worker_lost', 'stopped']),
  says: z.string().max(4000).meta({ description: 'One paragraph for the agent: what went wrong.' }),
  commit: commitId.nullable().meta({ description: 'Work so far, merged into the new workspace; null: from scratch.' }),
  log_tail: z.string().max(4000),
  files: z.array(z.string().max(500)).max(100),
});

// --- the board ---------------------------------------------------------------------------------

/** A rung of the ladder that a subtask climbs while it fails. */
export const ladderStep = z.enum(['first', 'retry', 'other_agent', 'other_runtime', 'new_plan', 'person']);

/** How far a subtask has climbed: what each rung has been used for, since it began or a person last answered. */
export const ladder = z.object({
  retries: z.int().nonnegative(),
  agents: z.int().nonnegative(),
  plans: z.int().nonnegative(),
});

/** One line of a subtask's history. At most 20 are kept. */
export const attemptEntry = z.object({
  attempt: z.int().positive(),
  step: ladderStep.optional(),
  agent_id: agentId,
  runtime: z.string().nullish(),
  instance_id: z.string().nullable(),
  outcome: z.string(),
  code: z.string().nullable(),
  says: z.string().max(500),
  commit: commitId.nullable(),
  began_at: timestamp.nullable(),
  ended_at: timestamp,
  duration_ms: z.int().nonnegative(),
  cost,
});

/** One field `s:<id>` of the board hash. */
export const subtask = plannedSubtask
  .extend({
    agent_id: agentId,
    agent_source: z.string().max(16_000).nullish().meta({ description: 'Of an agent that goes with this board.' }),
    state: subtaskState,
    order: z.int().nonnegative(),
    dependents: z.array(subtaskId),
    waiting_for: z
      .array(subtaskId)
      .meta({ description: 'Those of `depends_on` that have not ended; empty: may start.' }),
    attempt: z.int().nonnegative().meta({ description: 'Number of the current attempt; 0 before the first.' }),
    failures: z.int().nonnegative(),
    ladder: ladder.default({ retries: 0, agents: 0, plans: 0 }),
    escalations: z.int().nonnegative().default(0).meta({ description: 'How often the orchestrator was asked.' }),
    step: ladderStep.default('first').meta({ description: 'The rung that the current attempt stands on.' }),
    resume_at: timestamp
      .nullable()
      .default(null)
      .meta({ description: 'Parked until then; null while parked: the orchestrator is asked.' }),
    tried: z
      .object({ agents: z.array(agentId).max(32), runtimes: z.array(z.string()).max(32) })
      .default({ agents: [], runtimes: [] })
      .meta({ description: 'Those that have failed at it, and are not chosen again.' }),
    other_runtime: z
      .string()
      .nullable()
      .default(null)
      .meta({ description: 'Chosen by the ladder, in place of what the plan says.' }),
    sent_back: z.int().nonnegative(),
    plan_rejections: z.int().nonnegative(),
    gate_broken: z.int().nonnegative(),
    instance_id: z.string().nullable(),
    ordered_at: timestamp
      .nullable()
      .default(null)
      .meta({ description: 'When a worker, the gate or the finalizer was last asked for it.' }),
    began_at: timestamp.nullable(),
    ended_at: timestamp.nullable(),
    commit: commitId.nullable(),
    merged_commit: commitId.nullable(),
    report: attemptReport.nullable(),
    evidence: z.array(evidenceRef).max(64),
    hand_over: handOver.nullable(),
    red: z.array(z.string()).max(200).meta({ description: 'tests_first: the tests that are red until implemented.' }),
    checks: z.array(check).max(64),
    history: z.array(attemptEntry).max(20),
    reason: z.string().max(2000).nullable(),
  })
  .meta({ id: 'Subtask' });

/** The field `head` of the board hash: small, touched by every transition. */
export const boardHead = z.object({
  task_id: taskId,
  priority,
  mode,
  created_at: timestamp,
  counts: z.partialRecord(subtaskState, z.int().nonnegative()),
  total: z.int().nonnegative(),
  ready: z.array(subtaskId).meta({ description: 'The next that are ready, but not yet dispatched.' }),
  dispatched: z.array(subtaskId).meta({ description: 'Holding a slot: dispatched or working.' }),
  queue: z.array(subtaskId).meta({ description: 'The merge queue: waiting for the gate.' }),
  at_gate: subtaskId.nullable().meta({ description: 'The one candidate that is gated or merged now.' }),
  integration: commitId.meta({ description: 'The head of the integration ref.' }),
  base_commit: commitId,
  before: z.array(check).nullable().meta({ description: 'The checks of the integration head; null: never run.' }),
  proven: z.boolean().meta({ description: 'The last gate really ran something.' }),
  red: z.array(subtaskId).meta({ description: 'Merged tests_first subtasks some of whose tests are still red.' }),
  retired: z
    .array(subtaskId)
    .optional()
    .meta({ description: 'Names of subtasks that a new plan has replaced; nobody is called so again.' }),
  gate_runs: z.int().nonnegative(),
  attempts: z.int().nonnegative(),
  sent_back: z.int().nonnegative(),
  merged: z.int().nonnegative(),
  cost,
  warnings: z
    .array(z.string().max(500))
    .max(20)
    .optional()
    .meta({ description: 'What people should know of a board that ends well all the same.' }),
  outcome: z.enum(['completed', 'failed', 'cancelled']).nullable(),
  reason: z.string().max(2000).nullable(),
});

// --- the task document -------------------------------------------------------------------------

/** What a task waits for a person about. */
export const waitingSubtask = z.object({
  subtask_id: subtaskId,
  number: z.int().positive().meta({ description: 'Which escalation of the subtask it is.' }),
  since: timestamp,
  until: timestamp.meta({ description: 'Without an answer by then the task fails.' }),
  reason: z.string().max(2000),
});

/** What an agent wants to know, and what it was told. */
export const agentQuestion = z.object({
  id: z.string().regex(/^q\d+$/),
  subtask_id: subtaskId,
  attempt: z.int().positive(),
  agent_id: agentId,
  text: z.string().max(1000),
  asked_at: timestamp,
  waits: z.int().positive().nullable().meta({ description: 'The escalation that waits for it; null: work goes on.' }),
  answer: z.string().max(2000).nullable(),
  answered_by: z.string().max(200).nullable(),
  answered_at: timestamp.nullable(),
});

/** The field `head` of the task hash; `status` lies beside it as a plain field, which scripts read. */
export const taskHead = z.object({
  task_id: taskId,
  title: z.string().max(200),
  status: taskStatus,
  reason: z.string().max(2000).nullable(),
  priority,
  mode,
  workflow: z.string().nullable(),
  created_at: timestamp,
  updated_at: timestamp,
  ended_at: timestamp.nullable(),
  deadline: timestamp.nullable(),
  repository: z.string().nullable().meta({ description: 'As asked for; null: a new one is made.' }),
  base: z.string().nullable(),
  base_commit: commitId.nullable(),
  warnings: z.array(z.string().max(500)).max(20),
  waiting: waitingSubtask
    .extend({ others: z.array(waitingSubtask).max(500).default([]) })
    .nullish()
    .meta({ description: 'What it waits for a person about: what has waited longest, and the `others`.' }),
  questions: z
    .array(agentQuestion)
    .max(50)
    .optional()
    .meta({ description: 'What agents asked; what is answered reaches whoever works at it from then on.' }),
  escalated: z
    .record(subtaskId, z.int())
    .optional()
    .meta({ description: 'Subtask → the number of its last escalation; one that is no newer is an echo.' }),
  alarms: z
    .record(z.string(), z.string())
    .optional()
    .meta({ description: 'What is parked for it → the id of that message: `deadline`, `patience:<subtask>`.' }),
  actor: z.string(),
});

/** The field `result`: what the finalizer released. */
export const taskResult = z.object({
  branch: z.string().nullable().meta({ description: 'nexus/<task>; null where the result is a report alone.' }),
  commit: commitId.nullable(),
  repository: z.string().nullable().meta({ description: 'Where the branch was pushed: a path or URL.' }),
  checks: checkCounts.meta({ description: 'The gate of the result commit.' }),
  proven: z.boolean(),
  undo: z.string().nullable().meta({ description: 'The git command that takes the result away again.' }),
  look: z.string().nullable().meta({ description: 'The command that shows it.' }),
  start: z.string().nullable().meta({ description: 'The command that starts what was built, where it declares one.' }),
});

// --- what instances tell of themselves ---------------------------------------------------------

export const runningAttempt = z.object({
  task_id: taskId,
  subtask_id: subtaskId,
  attempt: z.int(),
  agent_id: agentId,
  since: timestamp,
  doing: z.string().max(300),
});

/** A runtime as one worker finds it: usable, or why not and the one thing that mends it. */
export const runtimeState = z.object({
  name: z.string(),
  usable: z.boolean(),
  looked: z.string(),
  mend: z.string(),
  tells_cost: z.boolean().optional().meta({ description: 'false: no budget can bound it.' }),
  only_asked: z.boolean().optional().meta({ description: 'true: nothing is given to it unless somebody asks for it.' }),
});

/** One field of the hash `presence`: what an instance last told with its beat. */
export const presence = z.object({
  instance_id: z.string(),
  service: serviceName,
  host: z.string(),
  pid: z.int(),
  port: z.int().nullable(),
  started_at: timestamp,
  version: z.string(),
  state: z.enum(['serving', 'stopped', 'paused', 'draining']),
  slots: z.int().nonnegative(),
  busy: z.int().nonnegative(),
  epoch: z.int(),
  confirmed_epoch: z.int().meta({ description: 'The last STOP that this instance has carried out.' }),
  survivors: z.array(z.int()).meta({ description: 'Processes that outlived that STOP.' }),
  running: z.array(runningAttempt),
  runtimes: z.array(runtimeState),
  refuses: z.string().max(500).nullish().meta({ description: 'Why it takes no work just now.' }),
  sandbox: z
    .object({ state: z.enum(['on', 'off', 'missing']), says: z.string(), mend: z.string() })
    .optional()
    .meta({ description: 'Workers and quality checkers: whether agents and checks run in a sandbox, and why not.' }),
  silent_since: timestamp.optional().meta({
    description: 'Since when it has not beaten, as whoever reads this sees it; left out while it beats.',
  }),
  agents: z.array(z.string()).optional().meta({ description: 'Project managers: the agents that they give work to.' }),
  agents_unread: z.string().max(500).nullish().meta({
    description: 'Why it goes on with the agents and workflows that were last in order.',
  }),
  credentials_for: z
    .array(z.string())
    .optional()
    .meta({ description: 'Finalizers: the hosts whose repositories it has credentials for.' }),
});

// --- types -------------------------------------------------------------------------------------

export type ServiceName = z.infer<typeof serviceName>;
export type Priority = z.infer<typeof priority>;
export type TaskStatus = z.infer<typeof taskStatus>;
export type SubtaskState = z.infer<typeof subtaskState>;
export type SubtaskKind = z.infer<typeof subtaskKind>;
export type AttemptOutcome = z.infer<typeof attemptOutcome>;
export type CheckState = z.infer<typeof checkState>;
export type Mode = z.infer<typeof mode>;
export type TimeBoxLevel = z.infer<typeof timeBoxLevel>;
export type TemporaryAgent = z.infer<typeof temporaryAgent>;
export type AgentQuestion = z.infer<typeof agentQuestion>;
export type CheckRequest = z.infer<typeof checkRequest>;
export type TaskRequest = z.infer<typeof taskRequest>;
export type PlannedSubtask = z.infer<typeof plannedSubtask>;
export type PlanFile = z.infer<typeof planFile>;
export type PlanSketch = z.infer<typeof planSketch>;
export type Plan = z.infer<typeof plan>;
export type Outlook = z.infer<typeof outlook>;
export type EvidenceRef = z.infer<typeof evidenceRef>;
export type Check = z.infer<typeof check>;
export type CheckCounts = z.infer<typeof checkCounts>;
export type VerdictName = z.infer<typeof verdictName>;
export type AttemptReport = z.infer<typeof attemptReport>;
export type Cost = z.infer<typeof cost>;
export type HandOver = z.infer<typeof handOver>;
export type LadderStep = z.infer<typeof ladderStep>;
export type Ladder = z.infer<typeof ladder>;
export type WaitingSubtask = z.infer<typeof waitingSubtask>;
export type AttemptEntry = z.infer<typeof attemptEntry>;
export type Subtask = z.infer<typeof subtask>;
export type BoardHead = z.infer<typeof boardHead>;
export type TaskHead = z.infer<typeof taskHead>;
export type TaskResult = z.infer<typeof taskResult>;
export type RunningAttempt = z.infer<typeof runningAttempt>;
export type RuntimeState = z.infer<typeof runtimeState>;
export type Presence = z.infer<typeof presence>;
