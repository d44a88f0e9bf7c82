/**
 * The agent of an attempt at work: asked with all that it needs, watched over, its words and deeds told as they come,
 * and its conversation kept.
 */

import { toAppError } from '@nexus/shared/errors';
import { fingerprint } from '@nexus/shared/git';
import { attemptReport } from '@nexus/shared/messages/domain';
import { sweepMarked } from '@nexus/shared/process';
import { noUsage } from '@nexus/shared/spend';
import { z } from 'zod';
import type { Attempt, Order } from './attempt.ts';
import type { Checkpoints } from './checkpoint.ts';
import type { Prepared } from './prepare.ts';
import type { AttemptRecord } from './record.ts';
import type { AgentEvent, RunRequest, RunResult, Runtime, RuntimeContext } from './runtimes.ts';
import { providersIn } from './safety/safety.ts';
import { openKeeper } from './sessions/keeper.ts';
import { findSession } from './sessions/resume.ts';
import { type Supervision, supervise } from './supervise.ts';
import { openTranscript, type Transcript } from './transcript.ts';
import type { Workspace } from './workspace.ts';

/** How every agent reports, for runtimes that can hold it to that. */
const reportSchema = z.toJSONSchema(attemptReport, { io: 'input', target: 'draft-7' });

/** What became of an agent; `agent` is its own time, from its start until its last process was gone. */
export type Ran = { result: RunResult; transcript: Transcript; agent: { began_at: string; ended_at: string } };

/** Runs the agent to its end, whatever that is; all its processes are gone then. */
export const runAgent = async (
  attempt: Attempt,
  prepared: Prepared,
  checkpoints: Checkpoints,
  runtime: Runtime,
  context: RuntimeContext,
): Promise<Ran> => {
  const { order, tools, doing, progress, sofar, hub } = attempt;
  const { workspace } = prepared;
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
  sofar.transcript = transcript;
  const resumed = await findSession(attempt, runtime, context);
  const { session: from, conversation } = resumed;
  const before = { usd: conversation?.usdBefore ?? 0, usage: conversation?.usageBefore ?? noUsage };
  const keeper = openKeeper({ order, runtime, context, hub, from, before, tools });
  sofar.keeper = keeper;
  const guard = tools.safety?.guard(attempt.mark);
  const watch = superviseAgent(attempt, workspace, checkpoints, runtime, onTrouble);
  progress.spentMs = watch.spentMs;
  doing(`works (${runtime.name})`);
  checkpoints.every(tools.config.checkpointInterval, onTrouble);
  try {
    const request: RunRequest = {
      ...requestOf(attempt, prepared, context),
      env: { ...attempt.env, ...guard?.admit(providersIn(tools.config.agentEnvironment)) },
      ...(guard && { guard }),
      session: resumed.session,
      conversation: resumed.conversation,
      signal: watch.signal,
      onOutput: (chunk) => {
        watch.heard(chunk);
        transcript.write(chunk);
      },
      onPrompt: (sent) => {
        sofar.sent = sent;
      },
      onSession: (id) => {
        progress.session = id;
        void keeper
          .opened(id)
          .then(() => attempt.record.speaks(id))
          .catch(onTrouble);
      },
      onEvent: (event) => {
        keeper.heard(event);
        tellEvent(attempt, event);
      },
    };
    const { session } = resumed;
    const began_at = new Date(tools.now()).toISOString();
    const runs = session === null ? runtime.run(request) : runtime.resume(session, request);
    const result = await runs.finally(transcript.end);
    const agent = { began_at, ended_at: new Date(tools.now()).toISOString() };
    await endLeftovers(attempt, workspace, result.leftBehind);
    const open = Boolean(result.parked) || tools.signal.aborted;
    await keeper.close({ result, open, why: result.parked?.says ?? result.says });
    return { result, transcript, agent };
  } finally {
    guard?.close();
    watch.close();
    await resumed.close();
  }
};

const boxMsMax = 2 ** 31 - 1;

type Given = Omit<RunRequest, 'env' | 'session' | 'signal' | 'onOutput'>;

const requestOf = (attempt: Attempt, { workspace, prompt }: Prepared, context: RuntimeContext): Given => {
  const { order, agent, tools, mark, note } = attempt;
  return {
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
    mark,
    // The box is counted without stopped time, which no runtime can know of: it is the supervision that ends it.
    timeBoxMs: boxMsMax,
    outputBytesMax: tools.config.agentOutputMax,
    model: agent.model === 'inherit' ? null : agent.model,
    budget: { usd: agent.limits?.usd ?? null, tokens: agent.limits?.tokens ?? null },
    reportSchema,
    onNotice: note,
    context,
  };
};

/** What an agent says is in its output already. An entry of the journal holds 2 kB. */
const tellEvent = ({ order, tools }: Attempt, event: AgentEvent): void => {
  if (event.kind === 'text') return;
  const at = { ...idsOf(order), event: `agent.${event.kind}` };
  const safe = (text: string): string => tools.redactor.text(text).slice(0, 1200);
  if (event.kind === 'usage') tools.tell({ ...at, data: event.usage });
  else if (event.kind === 'tool_result')
    tools.tell({ ...at, text: safe(event.text), data: { id: event.id, ok: event.ok } });
  else if (event.kind === 'tool_call') {
    tools.tell({ ...at, text: safe(JSON.stringify(event.input)), data: { id: event.id, tool: event.tool } });
  } else if (event.kind === 'retry') {
    tools.tell({ ...at, text: safe(event.says), data: { status: event.status, delay_ms: event.delay_ms } });
  } else tools.tell({ ...at, text: safe(event.text) });
};

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
    notice: (text, data) =>
      tools.tell({ ...idsOf(order), event: 'attempt.notice', text: tools.redactor.text(text), data }),
    onTrouble,
  });
};

/** The time box is that of the attempt: what a delivery before this one has used of it is used. */
export const spentBefore = ({ attempt }: Order, { before }: AttemptRecord): number =>
  before?.attempt === attempt ? before.spent_ms : 0;

/** Ends whatever still bears the mark; says how many there were, with those that were `ended` before. */
export const endLeftovers = async (
  { mark, note, tools }: Attempt,
  { folder }: Workspace,
  ended: number,
): Promise<void> => {
  // An interrupted attempt ends them in its own way, and there is nobody to tell.
  if (tools.signal.aborted) return;
  const { ended: now, survivors } = await sweepMarked(mark, { folder });
  if (ended + now > 0) note(`ended ${ended + now} process(es) that the agent had left running`);
  if (survivors.length > 0) note(`could not end processes ${survivors.join(', ')}`);
};

export const idsOf = (order: Order) => ({
  task_id: order.task_id,
  subtask_id: order.subtask_id,
  attempt: order.attempt,
  agent_id: order.agent_id,
});
