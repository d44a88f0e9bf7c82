/**
 * Telling a full disk from every other failure: it fails one attempt under its own code, and nothing else. One that has
 * not begun its agent waits first, for a while: a disk may be full for seconds only. So does one whose neighbour filled
 * the disk that they share.
 */
import { type ErrorCode, fail, isFailure, toAppError } from '@nexus/shared/errors';
import { readBoardParts } from '@nexus/shared/ledger';
import { endMarked } from '@nexus/shared/process';
import { groundOf } from './admission.ts';
import type { Attempt, Later } from './attempt.ts';
import { type Checkpoints, saveForGood } from './checkpoint.ts';
import { type Finished, failedBefore } from './conclude.ts';
import { freeBytes, kilobytesOf, saveMakingRoom, speaksOfQuota, speaksOfSpace } from './rebuildable.ts';
import { listWorkspaces, removeWorkspace, type Workspace } from './workspace.ts';

/** Whether an attempt that meets a full disk may come again later: counted from when its board saw it begin first. */
export const mayWait = async ({ order, tools, beganAt }: Attempt): Promise<boolean> => {
  const board = await readBoardParts(tools.store, tools.keys, order.task_id, [order.subtask_id]);
  const first = Date.parse(board?.subtasks.get(order.subtask_id)?.began_at ?? '') || beganAt;
  return tools.now() - first < tools.config.diskWait;
};

/** `quota`: the disk may have room, of which its user may have no more. */
export type Full = { code: ErrorCode; says: string; quota: boolean };

/** Why this failure is one of a full disk; null if it is not. */
export const whyFull = async (thrown: unknown, config: { home: string; diskReserve: number }): Promise<Full | null> => {
  const quota = speaksOfQuota(thrown);
  if (isFailure(thrown, 'DISK_FULL')) return { code: 'DISK_FULL', says: toAppError(thrown).message, quota };
  if (!speaksOfSpace(thrown)) return null;
  const folder = groundOf(config.home);
  const needMb = Math.max(1, Math.ceil(config.diskReserve / 1e6));
  const { code, message } = fail('DISK_FULL', {
    folder,
    freeMb: Math.floor((await freeBytes(folder)) / 1e6),
    needMb,
  });
  return { code, says: message, quota };
};

/** Fewer free bytes than this are none, whatever the reserve. */
const roomMin = 1_000_000;

const isShort = async ({ home, diskReserve }: { home: string; diskReserve: number }): Promise<boolean> =>
  (await freeBytes(groundOf(home))) < Math.max(diskReserve, roomMin);

/**
 * Who filled a disk is not told by whom it fails: the clone that holds the most is to blame, so that of all who meet it
 * one fails at least. Where there is room again, it was somebody else who had taken it.
 */
const isToBlame = async ({ folder }: Workspace, config: { home: string; diskReserve: number }): Promise<boolean> => {
  if (!(await isShort(config))) return false;
  const folders = (await listWorkspaces(config.home)).map((clone) => clone.folder);
  const sizes = await Promise.all(
    folders.map(async (one) => ({ size: await kilobytesOf(config.home, one), folder: one })),
  );
  const [largest] = sizes.sort((one, other) => other.size - one.size || one.folder.localeCompare(other.folder));
  return largest === undefined || largest.folder === folder;
};

/**
 * Gives an attempt back, uncounted, that met a full disk which another one filled; null where it is to blame itself, or
 * has waited long enough, or met a quota: how much of that its neighbours hold, nobody tells. What cannot be saved for
 * now stays in its clone, where the next delivery finds it.
 */
export const waitForRoom = async (
  attempt: Attempt,
  workspace: Workspace,
  checkpoints: Checkpoints,
  full: Pick<Full, 'says' | 'quota'>,
): Promise<Later | null> => {
  if (full.quota) return null;
  const { tools, record, progress } = attempt;
  const since = record.fullSince ?? tools.now();
  await endMarked(attempt.mark, { graceMs: 500, folder: workspace.folder });
  if (tools.now() - since >= tools.config.diskWait || (await isToBlame(workspace, tools.config))) return null;
  const { step } = progress;
  try {
    await saveMakingRoom(workspace.folder, tools.config, () => saveForGood(checkpoints, workspace));
    await removeWorkspace(workspace);
  } catch (thrown) {
    if (!speaksOfSpace(thrown)) throw thrown;
    tools.log.warn({ err: toAppError(thrown), folder: workspace.folder }, 'work waits for room to be saved');
  }
  const waits = `DISK_FULL: ${full.says}`.slice(0, 500);
  await record.waits({ step, session: progress.session, spent_ms: progress.spentMs(), waits, full_since: since });
  attempt.note(`is given back, uncounted, since others filled the disk; it goes on once there is room: ${full.says}`);
  return { later: waits };
};

/** Whether an agent failed for want of room on this disk, by its own last words. */
export const agentMetFull = async (log: string, config: { home: string; diskReserve: number }) =>
  (await isShort(config)) ? whyFull(new Error(log), config) : null;

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
