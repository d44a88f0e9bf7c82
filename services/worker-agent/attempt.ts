/**
 * One attempt: one run of one agent at one subtask, from a workspace to a report.
 *
 *   opened → prepared → running → concluded           finished, or failed with a code; both are reported
 *      └─────────┴─────────┴── the signal aborts ──→ interrupted
 *
 * An interrupted attempt ends its processes. If its claim still counts (a stop, a shutdown) it saves its work,
 * so that the next delivery goes on from there; if its task has ended, it saves it for people (`ended.ts`); if its
 * claim is lost it leaves everything where it is: whoever comes next finds it, or it is collected by age.
 *
 * Where the disk is full before the agent began, or by the doing of another, it comes later: it is not to blame.
 */
import type { HandlerTools } from '@nexus/shared/bus';
import { type AgentDefinition, type Catalog, readAgent } from '@nexus/shared/catalog';
import { fail, isFailure, toAppError } from '@nexus/shared/errors';
import { type Author, hubLocation } from '@nexus/shared/git';
import { readTask } from '@nexus/shared/ledger';
import type { Memories } from '@nexus/shared/memory';
import type { PayloadOf } from '@nexus/shared/messages';
import type { AgentQuestion, TaskRequest } from '@nexus/shared/messages/domain';
import type { Spending } from '@nexus/shared/spend';
import type { Redactor } from '@nexus/shared/telemetry';
import { type Checkpoints, openCheckpoints } from './checkpoint.ts';
import { conclude, type Finished, failedBefore } from './conclude.ts';
import type { WorkerConfig } from './config.ts';
import { failDamaged, whyDamaged } from './damaged.ts';
import { agentEnvironment, authorOf } from './environment.ts';
import { agentMetFull, failOnFullDisk, mayWait, waitForRoom, whyFull } from './full-disk.ts';
import { markOf } from './orphans.ts';
import { makeWorkspace, type Prepared, prepare } from './prepare.ts';
import { interrupted, putAside, putOff } from './put-aside.ts';
import type { AttemptRecord } from './record.ts';
import { endLeftovers, idsOf, runAgent, spentBefore } from './run-agent.ts';
import type { Running } from './running.ts';
import { chooseRuntime, type Runtime, type RuntimeContext } from './runtimes.ts';
import type { Safety } from './safety/safety.ts';
import type { Keeper } from './sessions/keeper.ts';
import { openPurse } from './spend.ts';
import type { Transcript } from './transcript.ts';
import { markSaved, removeWorkspace, type Workspace } from './workspace.ts';

export type Order = PayloadOf<'subtask.dispatched'>;

/** What `open()` of the worker makes, handed to every attempt. */
export type WorkerTools = {
  config: WorkerConfig;
  catalog: Catalog;
  runtimes: Map<string, Runtime>;
  redactor: Redactor;
  /** What agents have learned; left out, nothing is recalled. */
  memories?: Memories;
  running: Running;
  /** Budgets and the limits of providers; left out, nothing is bounded or booked. */
  spending?: Spending;
  /** What keeps agents in. */
  safety?: Safety;
  /** Whether the claim that a token names still stands. */
  isClaimed(token: string): Promise<boolean>;
  /** How many attempts more this machine can hold just now. */
  room?: () => number;
  /** Takes one of the seats that NEXUS_AGENTS_MAX allows; null: all are taken. */
  seat?: ((token: string) => Promise<(() => void) | null>) | undefined;
  /** Whether a claim bears the token of an earlier one. */
  isRepeated?: (token: string) => boolean;
  ended?: () => boolean;
  /** Counts an attempt that ended. */
  count(outcome: string): void;
  close?: () => Promise<void>;
};

/** What every step of an attempt knows. */
export type Attempt = {
  order: Order;
  tools: HandlerTools & WorkerTools;
  record: AttemptRecord;
  request: TaskRequest;
  /** What agents of this task have asked, with the answers that there are. */
  questions: readonly AgentQuestion[];
  agent: AgentDefinition;
  author: Author;
  /** The message of its commits. */
  message: string;
  hub: string;
  mark: string;
  env: Record<string, string>;
  beganAt: number;
  /** What people should know about this attempt; `note` adds one and tells observers. */
  notes: string[];
  note(says: string): void;
  /** Paths that its last commit could not take in: its workspace stays for a while. */
  leftOut: string[];
  doing(what: string): void;
  /** Its processes were ended for good. */
  dead(survivors: number[]): void;
  /** What there is of it so far: null is what it has not come to. */
  sofar: {
    runtime: string | null;
    prepared: Prepared | null;
    transcript: Transcript | null;
    keeper?: Keeper | null;
    /** The prompt as its runtime sent it, where that is not the prepared one. */
    sent?: string | null;
  };
  /** What is written down with each checkpoint, as it stands now. */
  progress: { step: string; session: string | null; spentMs(): number };
};

/** The attempt could not begin for now, and why; it may, a little later. */
export type Later = { later: string; until?: number };

/** Runs an attempt to its end. Throws the signal's reason if it was interrupted, its work saved where that counts. */
export const runAttempt = async (
  order: Order,
  record: AttemptRecord,
  tools: HandlerTools & WorkerTools,
): Promise<Finished | Later> => {
  const beganAt = tools.now();
  const running = tools.running.begin({
    task_id: order.task_id,
    subtask_id: order.subtask_id,
    attempt: order.attempt,
    agent_id: order.agent_id,
    since: new Date(beganAt).toISOString(),
  });
  try {
    const attempt = await openAttempt(order, record, tools, beganAt, running);
    const context = contextOf(attempt);
    const runtime = await runtimeFor(attempt, context);
    if ('code' in runtime) return failedBefore(attempt, { code: runtime.code, says: runtime.message }, '');
    const purse = await openPurse(attempt, runtime, context);
    if ('ended' in purse) return purse.ended;
    const ended = await work(attempt, purse.runtime, context).finally(purse.close);
    return 'later' in ended ? ended : { ...ended, runtime: runtime.name };
  } finally {
    running.end();
  }
};

const openAttempt = async (
  order: Order,
  record: AttemptRecord,
  tools: HandlerTools & WorkerTools,
  beganAt: number,
  running: Pick<Attempt, 'doing' | 'dead'>,
): Promise<Attempt> => {
  const task = await readTask(tools.store, tools.keys, order.task_id);
  if (task === null) throw fail('TASK_UNKNOWN', { task: order.task_id });
  const agent = agentOf(order, tools.catalog);
  const notes: string[] = [];
  const used = spentBefore(order, record);
  const progress: Attempt['progress'] = { step: 'begins', session: null, spentMs: () => used };
  return {
    order,
    tools,
    record,
    progress,
    request: task.request,
    questions: task.head.questions ?? [],
    agent,
    author: authorOf(agent),
    message: commitMessage(order, agent),
    hub: hubLocation(tools.config, order.task_id),
    mark: markOf(tools.keys.prefix, order, tools.claim.token),
    env: agentEnvironment(order, agent, tools.config),
    beganAt,
    notes,
    leftOut: [],
    sofar: { runtime: null, prepared: null, transcript: null, keeper: null },
    note: (says) => {
      notes.push(says);
      tools.tell({ ...idsOf(order), event: 'agent.note', text: tools.redactor.text(says).slice(0, 1500) });
    },
    // A set-up command is shown as it was asked for.
    doing: (what) => {
      progress.step = tools.redactor.text(what).replaceAll(/\s+/g, ' ').trim().slice(0, 300) || progress.step;
      running.doing(progress.step);
    },
    dead: running.dead,
  };
};

/** As it was when the attempt was dispatched; a definition that this version cannot read is looked for by its id. */
const agentOf = ({ agent, agent_id, role }: Order, catalog: Catalog): AgentDefinition => {
  try {
    const pinned = agent ? readAgent(agent.file, agent.source) : null;
    if (pinned !== null) return pinned;
  } catch (thrown) {
    if (!isFailure(thrown, 'DEFINITION_INVALID')) throw thrown;
  }
  return catalog.agents.get(agent_id) ?? catalog.agentFor(role);
};

/** The rule of design §6: asked for, else by definition, else by setting, else what is usable here. */
const runtimeFor = async ({ order, request, agent, tools }: Attempt, context: RuntimeContext) => {
  const given = (request.scenario && 'scripted') || (request.agent_command && 'command');
  const wishes = [order.runtime, request.runtime, given, agent.runtime?.name];
  try {
    return await chooseRuntime(tools.runtimes, [...wishes, tools.config.runtime], context);
  } catch (thrown) {
    if (isFailure(thrown, 'NO_RUNTIME', 'RUNTIME_UNKNOWN')) return thrown;
    throw thrown;
  }
};

const work = async (attempt: Attempt, runtime: Runtime, context: RuntimeContext): Promise<Finished | Later> => {
  const { tools, doing, sofar } = attempt;
  sofar.runtime = runtime.name;
  let workspace: Workspace | null = null;
  let checkpoints: Checkpoints | null = null;
  try {
    doing('makes its workspace');
    workspace = await makeWorkspace(attempt);
    checkpoints = checkpointsOf(attempt, workspace);
    const prepared = await prepare(attempt, workspace);
    sofar.prepared = prepared;
    if (prepared.failure !== null) {
      const full = await whyFull(new Error(prepared.setupLog.slice(-2000)), tools.config);
      if (full !== null && (await mayWait(attempt))) return await putOff(attempt, workspace, full.says);
      await markSaved(workspace);
      return failedBefore(attempt, prepared.failure, prepared.setupLog);
    }
    const ran = await runAgent(attempt, prepared, checkpoints, runtime, context);
    tools.signal.throwIfAborted();
    if (ran.result.parked) return await putAside(attempt, workspace, checkpoints, ran.result.parked);
    const crowded = ran.result.code && (await agentMetFull(ran.transcript.tail(2000), tools.config));
    const waits = crowded ? await waitForRoom(attempt, workspace, checkpoints, crowded) : null;
    if (waits !== null) return waits;
    doing('saves its work');
    const finished = await conclude(attempt, prepared, checkpoints, { ...ran, runtime: runtime.name });
    // A process in the middle of an exec shows no environment for a moment, so one look can miss it.
    await endLeftovers(attempt, workspace, 0);
    tools.signal.throwIfAborted();
    if (finished.outcome === 'finished') await removeWorkspace(workspace);
    return finished;
  } catch (thrown) {
    await checkpoints?.close();
    if (tools.signal.aborted) {
      await interrupted(attempt, workspace, checkpoints);
      throw toAppError(tools.signal.reason);
    }
    const full = await whyFull(thrown, tools.config);
    const damaged = full || !workspace || !sofar.transcript ? null : await whyDamaged(thrown, workspace);
    if (damaged !== null && workspace) return await failDamaged(attempt, workspace, damaged);
    if (full === null) throw thrown;
    if (sofar.transcript === null && (await mayWait(attempt))) return await putOff(attempt, workspace, full.says);
    const worked = sofar.transcript === null ? null : workspace;
    const later = worked && checkpoints && (await waitForRoom(attempt, worked, checkpoints, full));
    return later ?? (await failOnFullDisk(attempt, workspace, checkpoints, full));
  }
};

const checkpointsOf = (attempt: Attempt, workspace: Workspace): Checkpoints =>
  openCheckpoints({
    workspace,
    author: attempt.author,
    message: `${attempt.message}\nCheckpoint: true`,
    // What the commit may not hold would come back with the work so far.
    fileBytesMax: Math.min(attempt.tools.config.checkpointFileMax, attempt.tools.config.commitFileMax || Infinity),
    // A checkpoint names its session, so that is written down first.
    record: {
      save: async (saved) => {
        await attempt.sofar.keeper?.save();
        await attempt.record.save(saved);
      },
    },
    isOver: () => isFailure(attempt.tools.signal.reason, 'TASK_ENDED'),
    state: () => {
      const { step, session, spentMs } = attempt.progress;
      return { step, session, spent_ms: spentMs() };
    },
  });

const contextOf = ({ tools, request }: Attempt): RuntimeContext => ({
  agentCommand: tools.config.agentCommand ?? null,
  rehearsal: tools.config.rehearsal,
  task: request,
  settings: tools.config,
  sandbox: tools.safety?.agent.sandbox,
});

const commitMessage = (order: Order, agent: AgentDefinition): string =>
  [
    order.title.replaceAll(/\s+/g, ' ').trim(),
    '',
    `Task: ${order.task_id}`,
    `Subtask: ${order.subtask_id}`,
    `Attempt: ${order.attempt}`,
    `Agent: ${agent.agent_id}`,
  ].join('\n');
