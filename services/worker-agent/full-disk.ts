/**
 * Telling a full disk from every other failure: it fails an attempt under its own code, and nothing else. One that has
 * not begun its agent waits first, for a while: a disk may be full for seconds only.
 */
import { statfs } from 'node:fs/promises';
import { type ErrorCode, fail, isFailure, toAppError } from '@nexus/shared/errors';
import { readBoardParts } from '@nexus/shared/ledger';
import { groundOf } from './admission.ts';
import type { Attempt } from './attempt.ts';

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
  const { bavail, bsize } = await statfs(folder).catch(() => ({ bavail: 0, bsize: 0 }));
  const needMb = Math.max(1, Math.ceil(config.diskReserve / 1e6));
  const { code, message } = fail('DISK_FULL', {
    folder,
    freeMb: Math.floor((bavail * bsize) / 1e6),
    needMb,
  });
  return { code, says: message };
};

/** The system's own word, or that of a program which passes it on; the cause may lie deeper. */
const speaksOfSpace = (thrown: unknown): boolean => {
  for (let at = thrown, depth = 0; at instanceof Error && depth < 8; at = at.cause, depth += 1) {
    const { code } = at as NodeJS.ErrnoException;
    if (code === 'ENOSPC' || code === 'EDQUOT') return true;
    if (/no space left on device|disk quota exceeded|ENOSPC/i.test(at.message)) return true;
  }
  return false;
};
