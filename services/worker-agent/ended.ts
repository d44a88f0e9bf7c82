/**
 * The last of an attempt whose task has ended meanwhile (cancelled, or out of time): no attempt goes on from it, but a
 * person may ask what the agent did. Its work lies at the wip ref of its claim, its words in the evidence; both by
 * their names, since no message tells of them. Where the task was deleted, its hub is gone, and nothing is kept.
 */
import { toAppError } from '@nexus/shared/errors';
import { hubExists } from '@nexus/shared/git';
import type { Attempt } from './attempt.ts';
import { type Checkpoints, saveForGood } from './checkpoint.ts';
import { keepEvidence } from './evidence.ts';
import { removeWorkspace, type Workspace } from './workspace.ts';

/** Keeps what there is, then removes the workspace. Never throws: what cannot be kept is told to the log. */
export const keepEnded = async (
  attempt: Attempt,
  workspace: Workspace | null,
  checkpoints: Checkpoints | null,
): Promise<void> => {
  const { order, hub, tools, sofar } = attempt;
  try {
    if (!(await hubExists(hub, order.task_id))) return;
    attempt.doing('saves its work, since its task has ended');
    const wip = await saved(attempt, workspace, checkpoints);
    const about = `${JSON.stringify(aboutOf(attempt, wip), null, 2)}\n`;
    const files = {
      'prompt.md': sofar.sent ?? sofar.prepared?.prompt ?? '',
      'output.log': sofar.transcript?.text() ?? '',
      'setup.log': sofar.prepared?.setupLog ?? '',
      'attempt.json': about,
    };
    await keepEvidence({ hub, ids: order, redactor: tools.redactor, files });
    if (workspace !== null) await removeWorkspace(workspace);
  } catch (thrown) {
    tools.log.warn({ err: toAppError(thrown) }, 'what an attempt did could not be kept after the end of its task');
  }
};

/** A clone that cannot be saved stays for a while, and the evidence says so. */
const saved = async (
  attempt: Attempt,
  workspace: Workspace | null,
  checkpoints: Checkpoints | null,
): Promise<string | null> => {
  if (workspace === null || checkpoints === null) return null;
  try {
    return await saveForGood(checkpoints, workspace);
  } catch (thrown) {
    attempt.note(`its work could not be saved, and stays in ${workspace.folder}: ${toAppError(thrown).message}`);
    return null;
  }
};

const aboutOf = ({ order, agent, tools, sofar, beganAt, notes }: Attempt, wip: string | null) => ({
  task_id: order.task_id,
  subtask_id: order.subtask_id,
  attempt: order.attempt,
  agent_id: agent.agent_id,
  runtime: sofar.runtime,
  instance_id: tools.claim.instanceId,
  outcome: 'aborted',
  code: 'TASK_ENDED',
  says: toAppError(tools.signal.reason).message,
  wip,
  integration: order.integration,
  began_at: new Date(beganAt).toISOString(),
  ended_at: new Date(tools.now()).toISOString(),
  notes,
});
