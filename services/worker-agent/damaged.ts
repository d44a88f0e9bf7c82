/**
 * Telling a clone that its agent has made unusable from every other failure of git: that is the end of its attempt,
 * under its own code. The next one begins from what was saved last.
 */
import { type ErrorCode, fail, isFailure, toAppError } from '@nexus/shared/errors';
import { isWhole } from '@nexus/shared/git';
import { endMarked } from '@nexus/shared/process';
import type { Attempt } from './attempt.ts';
import { type Finished, failedBefore } from './conclude.ts';
import { markSaved, type Workspace } from './workspace.ts';

/** Why this failure is one of the clone itself; null if it is not. */
export const whyDamaged = async (
  thrown: unknown,
  { folder }: Workspace,
): Promise<{ code: ErrorCode; says: string } | null> => {
  if (!isFailure(thrown, 'GIT_FAILED') || (await isWhole(folder))) return null;
  const { code, message } = fail('CLONE_DAMAGED', { message: toAppError(thrown).message });
  return { code, says: message };
};

/** Fails an attempt whose clone can hold nothing any more. Its files stay for a while, for people to look at. */
export const failDamaged = async (
  attempt: Attempt,
  workspace: Workspace,
  damaged: { code: ErrorCode; says: string },
): Promise<Finished> => {
  await endMarked(attempt.mark, { graceMs: 500, folder: workspace.folder });
  const says = `${damaged.says} Its files lie in ${workspace.folder} for a while.`;
  // Nobody can save them; where the note went with the rest, the folder's own age counts.
  await markSaved(workspace, ['all of it']).catch(() => undefined);
  return failedBefore(attempt, { ...damaged, says }, attempt.sofar.transcript?.tail(4000) ?? '');
};
