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
 * Where the disk is full before the agent began, it comes later: nothing was lost, and nobody is to blame.
 */
import type { HandlerTools } from '@nexus/shared/bus';
import type { AgentDefinition, Catalog } from '@nexus/shared/catalog';
import { fail, isFailure, toAppError } from '@nexus/shared/errors';
import { type Author, fingerprint, hubLocation } from '@nexus/shared/git';
import { readTask } from '@nexus/shared/ledger';
import type { Memories } from '@nexus/shared/memory';
import type { PayloadOf } from '@nexus/shared/messages';
import type { TaskRequest } from '@nexus/shared/messages/domain';
import { endMarked, listMarked } from '@nexus/shared/process';
import type { Redactor } from '@nexus/shared/telemetry';
import { type Checkpoints, openCheckpoints, saveForGood } from './checkpoint.ts';
import { conclude, type Finished, failedBefore } from './conclude.ts';
import type { WorkerConfig } from './config.ts';
import { keepEnded } from './ended.ts';
import { agentEnvironment, authorOf } from './environment.ts';
import { failOnFullDisk, mayWait, whyFull } from './full-disk.ts';
import { markOf } from './orphans.ts';
import { makeWorkspace, type Prepared, prepare } from './prepare.ts';
import type { AttemptRecord } from './record.ts';
import type { Running } from './running.ts';
import { chooseRuntime, type RunRequest, type RunResult, type Runtime, type RuntimeContext } from './runtimes.ts';
import { providersIn, type Safety } from './safety/safety.ts';
import { type Supervision, supervise } from './supervise.ts';
import { openTranscript, type Transcript } from './transcript.ts';
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
  sofar: { runtime: string | null; prepared: Prepared | null; transcript: Transcript | null };
  /** What is written down with each checkpoint, as it stands now. */
  progress: { step: string; session: string | null; spentMs(): number };
};

/** The attempt could not begin for now, and why; it may, a little later. */
export type Later = { later: string };

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
    const ended = await work(attempt, runtime, context);
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
  const agent = tools.catalog.agents.get(order.agent_id) ?? tools.catalog.agentFor(order.role);
  const notes: string[] = [];
  const used = spentBefore(order, record);
  const progress: Attempt['progress'] = { step: 'begins', session: null, spentMs: () => used };
  return {
    order,
    tools,
    record,
    progress,
    request: task.request,
    agent,
    author: authorOf(agent),
    message: commitMessage(order, agent),
    hub: hubLocation(tools.config, order.task_id),
    mark: markOf(tools.keys.prefix, order, tools.claim.token),
    env: agentEnvironment(order, agent, tools.config),
    beganAt,
    notes,
    leftOut: [],
    sofar: { runtime: null, prepared: null, transcript: null },
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

/** The time box is that of the attempt: what a delivery before this one has used of it is used. */
const spentBefore = ({ attempt }: Order, { before }: AttemptRecord): number =>
  before?.attempt === attempt ? before.spent_ms : 0;

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
    if (full === null) throw thrown;
    if (sofar.transcript === null && (await mayWait(attempt))) return await putOff(attempt, workspace, full.says);
    return await failOnFullDisk(attempt, workspace, checkpoints, full);
  }
};

/** No agent has worked in its workspace: what was brought in lies in the hub, and all else is made anew. */
const putOff = async (attempt: Attempt, workspace: Workspace | null, later: string): Promise<Later> => {
  await endMarked(attempt.mark, { graceMs: 500, folder: workspace?.folder });
  if (workspace !== null) await removeWorkspace({ ...workspace, note: { ...workspace.note, saved: true, left: [] } });
  attempt.note(`has not begun, and is tried again soon: ${later}`);
  return { later };
};

const checkpointsOf = (attempt: Attempt, workspace: Workspace): Checkpoints =>
  openCheckpoints({
    workspace,
    author: attempt.author,
    message: `${attempt.message}\nCheckpoint: true`,
    fileBytesMax: attempt.tools.config.checkpointFileMax,
    record: attempt.record,
    isOver: () => isFailure(attempt.tools.signal.reason, 'TASK_ENDED'),
    state: () => {
      const { step, session, spentMs } = attempt.progress;
      return { step, session, spent_ms: spentMs() };
    },
  });

const runAgent = async (
  attempt: Attempt,
  { workspace, prompt }: Prepared,
  checkpoints: Checkpoints,
  runtime: Runtime,
  context: RuntimeContext,
): Promise<{ result: RunResult; transcript: Transcript }> => {
  const { order, agent, tools, env, mark, doing, record, progress } = attempt;
  const onTrouble = (thrown: unknown) => {
    if (!tools.signal.aborted) tools.log.warn({ err: toAppError(thrown) }, 'a checkpoint failed');
  };
  const transcript = openTranscript({
    redactor: tools.redactor,
    bytesMax: tools.config.evidenceMax,
    everyMs: 200,
    onPiece: (text) => {
      tools.tell({ ...idsOf(order), event: 'agent.output', text });
      doing(text.trim().split('\n').at(-1) ?? '');
    },
  });
  attempt.sofar.transcript = transcript;
  const guard = tools.safety?.guard(mark);
  const request: Omit<RunRequest, 'signal' | 'onOutput'> = {
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
    env: { ...env, ...guard?.admit(providersIn(tools.config.agentEnvironment)) },
    ...(guard && { guard }),
    mark,
    // The box is counted without stopped time, which no runtime can know of: it is the supervision that ends it.
    timeBoxMs: boxMsMax,
    outputBytesMax: tools.config.agentOutputMax,
    session: null,
    onSession: (id) => {
      progress.session = id;
    },
    context,
  };
  const watch = superviseAgent(attempt, workspace, checkpoints, runtime, onTrouble);
  progress.spentMs = watch.spentMs;
  const onOutput = (chunk: string): void => {
    watch.heard(chunk);
    transcript.write(chunk);
  };
  doing(`works (${runtime.name})`);
  checkpoints.every(tools.config.checkpointInterval, onTrouble);
  try {
    const session = runtime.capabilities.resume ? (record.before?.session ?? null) : null;
    if (session !== null) attempt.note(`goes on with the conversation ${session}`);
    const asked = { ...request, session, signal: watch.signal, onOutput };
    const runs = session === null ? runtime.run(asked) : runtime.resume(session, asked);
    const result = await runs.finally(transcript.end);
    await endLeftovers(attempt, workspace, result.leftBehind);
    return { result, transcript };
  } finally {
    guard?.close();
    watch.close();
  }
};

const boxMsMax = 2 ** 31 - 1;

const superviseAgent = (
  attempt: Attempt,
  workspace: Workspace,
  checkpoints: Checkpoints,
  runtime: Runtime,
  onTrouble: (thrown: unknown) => void,
): Supervision => {
  const { order, record, tools } = attempt;
  const { config } = tools;
  return supervise({
    boxMs: order.time_box_minutes * 60_000,
    spentMs: spentBefore(order, record),
    stuck: { afterMs: config.stuckAfter, silentMs: config.stuckSilent, repeats: config.stuckRepeats },
    watchEveryMs: config.watchEvery,
    quietMs: config.checkpointQuiet,
    saveEveryMs: config.checkpointThrottle,
    signal: tools.signal,
    look: () => fingerprint(workspace.folder),
    save: checkpoints.save,
    nudge: runtime.nudge ? (text) => runtime.nudge?.(workspace.folder, text) ?? Promise.resolve() : null,
    notice: (text, data) => tools.tell({ ...idsOf(order), event: 'attempt.notice', text, data }),
    onTrouble,
  });
};

/** Ends whatever still bears the mark; says how many there were, with those that were `ended` before. */
const endLeftovers = async ({ mark, note, tools }: Attempt, { folder }: Workspace, ended: number): Promise<void> => {
  // An interrupted attempt ends them in its own way, and there is nobody to tell.
  if (tools.signal.aborted) return;
  const left = ended + listMarked().filter((found) => found.mark === mark).length;
  const survivors = await endMarked(mark, { folder });
  if (left > 0) note(`ended ${left - survivors.length} process(es) that the agent had left running`);
  if (survivors.length > 0) note(`could not end processes ${survivors.join(', ')}`);
};

const interrupted = async (
  attempt: Attempt,
  workspace: Workspace | null,
  checkpoints: Checkpoints | null,
): Promise<void> => {
  const { tools, mark } = attempt;
  // The agent itself has had its time after TERM: what is left now hid from that.
  attempt.dead(await endMarked(mark, { graceMs: 200, folder: workspace?.folder }));
  if (isFailure(tools.signal.reason, 'TASK_ENDED')) await keepEnded(attempt, workspace, checkpoints);
  const claimCounts = !isFailure(tools.signal.reason, 'CLAIM_LOST', 'TASK_ENDED');
  if (!claimCounts || workspace === null || checkpoints === null) return;
  const { step } = attempt.progress;
  attempt.doing('saves its work before it stops');
  // What the next delivery has to know of is the agent's last step, not ours.
  attempt.progress.step = step;
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
