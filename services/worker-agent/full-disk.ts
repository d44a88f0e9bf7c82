/**
 * Telling a full disk from every other failure: it fails an attempt under its own code, and nothing else. One that has
 * not begun its agent waits first, for a while: a disk may be full for seconds only.
 */
import { type ErrorCode, fail, isFailure, toAppError } from '@nexus/shared/errors';
import { readBoardParts } from '@nexus/shared/ledger';
import { endMarked } from '@nexus/shared/process';
import { groundOf } from './admission.ts';
import type { Attempt } from './attempt.ts';
import { type Checkpoints, saveForGood } from './checkpoint.ts';
import { type Finished, failedBefore } from './conclude.ts';
import { freeBytes, saveMakingRoom, speaksOfSpace } from './rebuildable.ts';
import { removeWorkspace, type Workspace } from './workspace.ts';

/** Whether an attempt that meets a full disk may come again later: counted from when its board saw it begin first. */
export const mayWait = async ({ order, tools, beganAt }: Attempt): Promise<boolean> => {
  const board = await readBoardParts(tools.store, tools.keys, order.task_id, [order.subtask_id]);
  const first = Date.parse(board?.subtasks.get(order.subtask_id)?.began_at ?? '') || beganAt;
  return tools.now() - first < tools.config.diskWait;
};

/** Why this failure is one of a full disk; null if it is not. */
export const whyFull = async (
  thrown: unknown,
  config: { home: string; diskReserve: number },
): Promise<{ code: ErrorCode; says: string } | null> => {
  if (isFailure(thrown, 'DISK_FULL')) return { code: 'DISK_FULL', says: toAppError(thrown).message };
  if (!speaksOfSpace(thrown)) return null;
  const folder = groundOf(config.home);
  const needMb = Math.max(1, Math.ceil(config.diskReserve / 1e6));
  const { code, message } = fail('DISK_FULL', {
    folder,
    freeMb: Math.floor((await freeBytes(folder)) / 1e6),
    needMb,
  });
  return { code, says: message };
};

/**
 * Fails an attempt that met a full disk while its agent worked. Its work is saved all the same, where room can be made
 * for that; else the clone stays as it is, and relief saves it as soon as it can.
 */
export const failOnFullDisk = async (
  attempt: Attempt,
  workspace: Workspace | null,
  checkpoints: Checkpoints | null,
  full: { code: ErrorCode; says: string },
): Promise<Finished> => {
  await endMarked(attempt.mark, { graceMs: 500, folder: workspace?.folder });
  const log = attempt.sofar.transcript?.tail(4000) ?? '';
  if (workspace === null || checkpoints === null) return failedBefore(attempt, full, log);
  const { folder } = workspace;
  try {
    const wip = await saveMakingRoom(folder, attempt.tools.config, () => saveForGood(checkpoints, workspace));
    await removeWorkspace(workspace);
    return { ...failedBefore(attempt, full, log), wip };
  } catch (thrown) {
    attempt.tools.log.warn({ err: toAppError(thrown), folder }, 'the work of an attempt could not be saved');
    const says = `${full.says} Its work so far lies unsaved in ${folder}, and is saved as soon as there is room.`;
    return failedBefore(attempt, { ...full, says }, log);
  }
};
