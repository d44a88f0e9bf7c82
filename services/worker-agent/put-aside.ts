/**
 * Attempts that do not come to their end in this delivery: what they have is saved, they count as none, and the next
 * delivery goes on from there.
 *
 *   put off      no agent has worked yet, and the machine has no room for its work
 *   put aside    a budget or a provider has no room for more
 *   interrupted  stopped, cancelled, or its claim is lost
 */
import { isFailure, toAppError } from '@nexus/shared/errors';
import { endMarked } from '@nexus/shared/process';
import type { Attempt, Later } from './attempt.ts';
import { type Checkpoints, saveForGood } from './checkpoint.ts';
import { keepEnded } from './ended.ts';
import type { Parked } from './runtimes.ts';
import { removeWorkspace, type Workspace } from './workspace.ts';

/** Where its provider does not say until when. */
const untilMs = 60_000;

/** Saves, and gives the place of the workspace back. What cannot be saved is thrown, and its folder stays. */
export const putAside = async (
  attempt: Attempt,
  workspace: Workspace,
  checkpoints: Checkpoints,
  { code, says, until, account, unreachableSince }: Parked,
): Promise<Later> => {
  const { tools, mark, progress } = attempt;
  const { step } = progress;
  attempt.doing('saves its work before it is put aside');
  progress.step = step;
  await endMarked(mark, { graceMs: 500, folder: workspace.folder });
  const wip = await saveForGood(checkpoints, workspace);
  const state = {
    step,
    session: progress.session,
    spent_ms: progress.spentMs(),
    left: checkpoints.left().slice(0, 20),
    ...(unreachableSince === undefined ? {} : { unreachable_since: unreachableSince }),
  };
  await attempt.record.save({ commit: wip, ...state, waits: `${code}: ${says}`.slice(0, 500) });
  await removeWorkspace(workspace);
  const at = until ?? tools.now() + untilMs;
  const kept = wip === null ? '' : `; its work so far is kept: ${wip}`;
  attempt.note(`is put aside until ${new Date(at).toISOString()}, uncounted (${account}): ${code}: ${says}${kept}`);
  return { later: `${code}: ${says}`, until: at };
};

/** No agent has worked in its workspace: what was brought in lies in the hub, and all else is made anew. */
export const putOff = async (attempt: Attempt, workspace: Workspace | null, later: string): Promise<Later> => {
  await endMarked(attempt.mark, { graceMs: 500, folder: workspace?.folder });
  if (workspace !== null) await removeWorkspace({ ...workspace, note: { ...workspace.note, saved: true, left: [] } });
  attempt.note(`has not begun, and is tried again soon: ${later}`);
  return { later };
};

/** Ends its processes, and saves its work where its claim still counts, or for people where its task has ended. */
export const interrupted = async (
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
