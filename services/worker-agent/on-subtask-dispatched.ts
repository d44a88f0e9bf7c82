/** An attempt is to be run: begin, run it, tell how it ended. A stopped one is given back with its work saved. */
import { done, followUp, giveBack, type Handler, type HandlerTools, type Outcome, postpone } from '@nexus/shared/bus';
import { isFailure } from '@nexus/shared/errors';
import { type Order, runAttempt, type WorkerTools } from './attempt.ts';
import { takeAttempt } from './record.ts';

/** How soon an attempt that could not begin is tried again, by whichever worker has room. */
const laterMs = 5000;

export const onSubtaskDispatched: Handler<'subtask.dispatched', WorkerTools> = async ({ payload: order }, tools) => {
  const { token } = tools.claim;
  if (tools.isRepeated?.(token)) return postpone(tools.now(), `its claim repeats the token ${token}`);
  const release = await tools.seat?.(token);
  // Another worker of this machine was faster: whoever has a seat takes it from here.
  if (release === null) return giveBack('as many agents run on this machine as NEXUS_AGENTS_MAX allows');
  try {
    return await attemptIt(order, tools);
  } finally {
    release?.();
  }
};

const attemptIt = async (order: Order, tools: HandlerTools & WorkerTools): Promise<Outcome> => {
  const { task_id, subtask_id, attempt, agent_id } = order;
  const record = await takeAttempt(order, tools);
  if ('refused' in record) {
    // The same dispatch came twice, or late: whoever has it goes on undisturbed.
    const text = `a dispatch of attempt ${attempt} changes nothing: ${record.refused}`;
    tools.tell({ event: 'agent.note', task_id, subtask_id, attempt, agent_id, text });
    tools.log.info({ subtask: subtask_id, attempt, why: record.refused }, 'A dispatch changes nothing');
    tools.count('repeated');
    return done();
  }
  const begun = {
    task_id,
    subtask_id,
    attempt,
    agent_id,
    instance_id: tools.claim.instanceId,
    began_at: new Date(tools.now()).toISOString(),
  };
  await tools.begin([followUp('attempt.begun', begun, { key: tools.claim.token })]);
  try {
    const finished = await runAttempt(order, record, tools);
    if ('later' in finished) {
      tools.count('postponed');
      return postpone(finished.until ?? tools.now() + laterMs, finished.later);
    }
    tools.count(finished.outcome);
    // What the ledger remembered for a next delivery is told by the message from now on.
    return done({ publish: [followUp('attempt.finished', finished)], write: await record.end() });
  } catch (thrown) {
    tools.count('interrupted');
    if (isFailure(thrown, 'STOPPED')) return giveBack('stopped');
    throw thrown;
  }
};
