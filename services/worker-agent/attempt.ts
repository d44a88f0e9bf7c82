/**
 * One attempt: one run of one agent at one subtask, from a workspace to a report.
 *
 *   opened → prepared → running → concluded           finished, or failed with a code; both are reported
 *      └─────────┴─────────┴── the signal aborts ──→ interrupted
 *
 * An interrupted attempt ends its processes. If its claim still counts (a stop, a shutdown) it saves its work,
 * so that the next delivery goes on from there; if it does not (lost, task ended) it leaves everything where it is:
 * what was not pushed is found by whoever comes next, or collected by age.
 */
import type { HandlerTools } from '@nexus/shared/bus';
import type { AgentDefinition, Catalog } from '@nexus/shared/catalog';
import { fail, isFailure, toAppError } from '@nexus/shared/errors';
import { type Author, hubLocation } from '@nexus/shared/git';
import { readTask } from '@nexus/shared/ledger';
import type { PayloadOf } from '@nexus/shared/messages';
import type { TaskRequest } from '@nexus/shared/messages/domain';
import { endMarked, listMarked } from '@nexus/shared/process';
import type { Redactor } from '@nexus/shared/telemetry';
import { type Checkpoints, openCheckpoints, saveForGood } from './checkpoint.ts';
import { conclude, type Finished, failedBefore } from './conclude.ts';
import type { WorkerConfig } from './config.ts';
import { agentEnvironment, authorOf } from './environment.ts';
import { makeWorkspace, type Prepared, prepare } from './prepare.ts';
import type { Running } from './running.ts';
import { chooseRuntime, type RunResult, type Runtime, type RuntimeContext } from './runtimes.ts';
import { openTranscript, type Transcript } from './transcript.ts';
import { markSaved, removeWorkspace, type Workspace } from './workspace.ts';

export type Order = PayloadOf<'subtask.dispatched'>;

/** What `open()` of the worker makes, handed to every attempt. */
export type WorkerTools = {
  config: WorkerConfig;
  catalog: Catalog;
  runtimes: Map<string, Runtime>;
  redactor: Redactor;
  running: Running;
  /** Counts an attempt that ended. */
  count(outcome: string): void;
  close?: () => Promise<void>;
};

/** What every step of an attempt knows. */
export type Attempt = {
  order: Order;
  tools: HandlerTools & WorkerTools;
  request: TaskRequest;
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
  doing(what: string): void;
};

/** Runs an attempt to its end. Throws the signal's reason if it was interrupted, its work saved where that counts. */
export const runAttempt = async (order: Order, tools: HandlerTools & WorkerTools): Promise<Finished> => {
  const beganAt = tools.now();
  const running = tools.running.begin({
    task_id: order.task_id,
    subtask_id: order.subtask_id,
    attempt: order.attempt,
    agent_id: order.agent_id,
    since: new Date(beganAt).toISOString(),
  });
  try {
    const attempt = await openAttempt(order, tools, beganAt, running.doing);
    const context = contextOf(attempt);
    const runtime = await runtimeFor(attempt, context);
    if ('code' in runtime) return failedBefore(attempt, { code: runtime.code, says: runtime.message }, '');
    return { ...(await work(attempt, runtime, context)), runtime: runtime.name };
  } finally {
    running.end();
  }
};

const openAttempt = async (
  order: Order,
  tools: HandlerTools & WorkerTools,
  beganAt: number,
  doing: Attempt['doing'],
): Promise<Attempt> => {
  const task = await readTask(tools.store, tools.keys, order.task_id);
  if (task === null) throw fail('TASK_UNKNOWN', { task: order.task_id });
  const agent = tools.catalog.agents.get(order.agent_id) ?? tools.catalog.agentFor(order.role);
  const notes: string[] = [];
  return {
    order,
    tools,
    request: task.request,
    agent,
    author: authorOf(agent),
    message: commitMessage(order, agent),
    hub: hubLocation(tools.config, order.task_id),
    mark: `${tools.keys.prefix}.${order.task_id}.${order.subtask_id}.${order.attempt}.${tools.claim.token}`,
    env: agentEnvironment(order, agent, tools.config),
    beganAt,
    notes,
    note: (says) => {
      notes.push(says);
      tools.tell({ ...idsOf(order), event: 'agent.note', text: tools.redactor.text(says).slice(0, 1500) });
    },
    // A set-up command is shown as it was asked for.
    doing: (what) => doing(tools.redactor.text(what)),
  };
};

/** The rule of design §6: asked for, else by definition, else by setting, else what is usable here. */
const runtimeFor = async ({ order, request, agent, tools }: Attempt, context: RuntimeContext) => {
  const wishes = [order.runtime, request.runtime, request.scenario && 'scripted', agent.runtime?.name];
  try {
    return await chooseRuntime(tools.runtimes, [...wishes, tools.config.runtime], context);
  } catch (thrown) {
    if (isFailure(thrown, 'NO_RUNTIME', 'RUNTIME_UNKNOWN')) return thrown;
    throw thrown;
  }
};

const work = async (attempt: Attempt, runtime: Runtime, context: RuntimeContext): Promise<Finished> => {
  const { author, message, tools, doing } = attempt;
  let workspace: Workspace | null = null;
  let checkpoints: Checkpoints | null = null;
  try {
    doing('makes its workspace');
    workspace = await makeWorkspace(attempt);
    checkpoints = openCheckpoints({ workspace, author, message: `${message}\nCheckpoint: true`, tools });
    const prepared = await prepare(attempt, workspace);
    if (prepared.failure !== null) {
      await markSaved(workspace);
      return failedBefore(attempt, prepared.failure, prepared.setupLog);
    }
    const ran = await runAgent(attempt, prepared, checkpoints, runtime, context);
    tools.signal.throwIfAborted();
    doing('saves its work');
    const finished = await conclude(attempt, prepared, checkpoints, { ...ran, runtime: runtime.name });
    // A process in the middle of an exec shows no environment for a moment, so one look can miss it.
    await endLeftovers(attempt, 0);
    tools.signal.throwIfAborted();
    if (finished.outcome === 'finished') await removeWorkspace(workspace);
    return finished;
  } catch (thrown) {
    await checkpoints?.close();
    if (!tools.signal.aborted) throw thrown;
    await interrupted(attempt, workspace, checkpoints);
    throw toAppError(tools.signal.reason);
  }
};

const runAgent = async (
  attempt: Attempt,
  { workspace, prompt }: Prepared,
  checkpoints: Checkpoints,
  runtime: Runtime,
  context: RuntimeContext,
): Promise<{ result: RunResult; transcript: Transcript }> => {
  const { order, agent, tools, env, mark, doing } = attempt;
  const transcript = openTranscript({
    redactor: tools.redactor,
    bytesMax: tools.config.evidenceMax,
    everyMs: 200,
    onPiece: (text) => {
      tools.tell({ ...idsOf(order), event: 'agent.output', text });
      doing(text.trim().split('\n').at(-1) ?? '');
    },
  });
  doing(`works (${runtime.name})`);
  const onTrouble = (thrown: unknown) => tools.log.warn({ err: toAppError(thrown) }, 'a checkpoint failed');
  checkpoints.every(tools.config.checkpointEvery, onTrouble);
  const result = await runtime.run({
    ids: {
      taskId: order.task_id,
      subtaskId: order.subtask_id,
      attempt: order.attempt,
      role: order.role,
      kind: order.kind,
    },
    agent,
    prompt,
    folder: workspace.folder,
    env,
    mark,
    timeBoxMs: order.time_box_minutes * 60_000,
    outputBytesMax: tools.config.agentOutputMax,
    signal: tools.signal,
    onOutput: transcript.write,
    session: null,
    context,
  });
  transcript.end();
  await endLeftovers(attempt, result.leftBehind);
  return { result, transcript };
};

/** Ends whatever still bears the mark; says how many there were, with those that were `ended` before. */
const endLeftovers = async ({ mark, note }: Attempt, ended: number): Promise<void> => {
  const left = ended + listMarked().filter((found) => found.mark === mark).length;
  const survivors = await endMarked(mark);
  if (left > 0) note(`ended ${left - survivors.length} process(es) that the agent had left running`);
  if (survivors.length > 0) note(`could not end processes ${survivors.join(', ')}`);
};

const interrupted = async (
  attempt: Attempt,
  workspace: Workspace | null,
  checkpoints: Checkpoints | null,
): Promise<void> => {
  const { tools, mark } = attempt;
  await endMarked(mark, { graceMs: 500 });
  const claimCounts = !isFailure(tools.signal.reason, 'CLAIM_LOST', 'TASK_ENDED');
  if (!claimCounts || workspace === null || checkpoints === null) return;
  attempt.doing('saves its work before it stops');
  try {
    const wip = await saveForGood(checkpoints, workspace);
    if (wip !== null) attempt.note(`stopped; its work so far is kept: ${wip}`);
    await removeWorkspace(workspace);
  } catch (thrown) {
    // The folder stays unsaved, so that the next delivery on this machine rescues it.
    tools.log.warn({ err: toAppError(thrown) }, 'the last checkpoint of a stopped attempt failed');
  }
};

const contextOf = ({ tools, request }: Attempt): RuntimeContext => ({
  agentCommand: tools.config.agentCommand ?? null,
  rehearsal: tools.config.rehearsal,
  task: request,
});

const idsOf = (order: Order) => ({
  task_id: order.task_id,
  subtask_id: order.subtask_id,
  attempt: order.attempt,
  agent_id: order.agent_id,
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
