/** An attempt is to be run: begin, run it, tell how it ended. A stopped one is given back with its work saved. */
import { done, followUp, giveBack, type Handler } from '@nexus/shared/bus';
import { isFailure } from '@nexus/shared/errors';
import { removeWip } from '@nexus/shared/ledger/write';
import { runAttempt, type WorkerTools } from './attempt.ts';

export const onSubtaskDispatched: Handler<'subtask.dispatched', WorkerTools> = async ({ payload: order }, tools) => {
  const { task_id, subtask_id, attempt, agent_id } = order;
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
    const finished = await runAttempt(order, tools);
    tools.count(finished.outcome);
    // What the ledger remembered for a next delivery is told by the message from now on.
    const forget = removeWip(tools.keys, task_id, subtask_id);
    return done({ publish: [followUp('attempt.finished', finished)], write: forget });
  } catch (thrown) {
    tools.count('interrupted');
    if (isFailure(thrown, 'STOPPED')) return giveBack('stopped');
    throw thrown;
  }
};
