/**
 * One release: the result goes to the target that takes it, and a person is told where it is, how to look at it, how
 * to start it and how to undo it.
 *
 *     failed or cancelled → nothing is pushed: the report alone says what there is, and what was pushed before that
 *     commit is the base → nothing to push: the result is the report
 *     pushed, or there already → the result
 *     refused → an answer with git's own words; the work stays in the hub
 *     not reached → thrown, to be tried again
 */
import { resolve } from 'node:path';
import type { HandlerTools } from '@nexus/shared/bus';
import { fail, toAppError } from '@nexus/shared/errors';
import { hubLocation, readEvidence, refs } from '@nexus/shared/git';
import type { PayloadOf } from '@nexus/shared/messages';
import type { TaskResult } from '@nexus/shared/messages/domain';
import type { Release, Released, ReleaseTarget } from './define-target.ts';
import { mayPass, withoutSecrets } from './repository.ts';
import { startCommand } from './start-command.ts';
import type { FinalizerTools } from './tools.ts';

/** What `release.finished` says beside the task. */
export type Outcome = { result: TaskResult | null; code: string | null; says: string };

/** Releases, or says why it is refused for good. Throws what another try may mend. */
export const release = async (
  payload: PayloadOf<'release.requested'>,
  tools: HandlerTools & FinalizerTools,
): Promise<Outcome> => {
  const { task_id: taskId, repository, commit, base_commit: baseCommit, checks, proven } = payload;
  const { signal } = tools;
  if (payload.outcome !== 'completed' || commit === null || baseCommit === null) {
    return { result: null, code: null, says: payload.reason ?? '' };
  }
  const known = { commit, checks, proven };
  if (commit === baseCommit) {
    const shown = repository === null ? null : withoutSecrets(repository);
    return {
      result: { ...known, branch: null, repository: shown, undo: null, look: null, start: null },
      code: null,
      says: '',
    };
  }
  const order: Release = { ...orderOf(taskId, tools), repository, commit, baseCommit };
  try {
    const where = await targetOf(order, tools).release(order);
    return { result: { ...known, ...(await shownOf(where, order)) }, code: null, says: '' };
  } catch (thrown) {
    const error = toAppError(thrown);
    if (signal.aborted || !refusals.includes(error.code)) throw thrown;
    const message = (error.code === 'RELEASE_FAILED' ? String(error.details.message) : error.message).trim();
    const shown = repository === null ? order.output : withoutSecrets(repository);
    // What a repository refuses, it refuses again; a host that was not reached is no refusal.
    if (mayPass(error)) throw fail('RELEASE_FAILED', { repository: shown, message }, { cause: thrown });
    const says = tools.redact(fail('RELEASE_FAILED', { repository: shown, message }).message).slice(0, 2000);
    return { result: null, code: 'RELEASE_FAILED', says };
  }
};

/**
 * What was pushed before its task failed or was cancelled; null: nothing of it is there. It stays: somebody may have
 * taken it already, and the command that undoes it is told. `checks` are those of the head that was merged last.
 */
export const findReleased = async (
  of: Pick<TaskResult, 'checks' | 'proven'> & { payload: PayloadOf<'release.requested'>; commit: string },
  tools: HandlerTools & FinalizerTools,
): Promise<TaskResult | null> => {
  const { payload, commit, checks, proven } = of;
  const { task_id: taskId, repository, base_commit: baseCommit } = payload;
  if (baseCommit === null || commit === baseCommit) return null;
  const order: Release = { ...orderOf(taskId, tools), repository, commit, baseCommit };
  const where = await targetOf(order, tools).find(order);
  return where && { commit, checks, proven, ...(await shownOf(where, order)) };
};

const orderOf = (taskId: string, { config, signal }: HandlerTools & FinalizerTools) => ({
  ...{ taskId, hub: hubLocation(config, taskId), signal },
  branch: refs(taskId).result.replace('refs/heads/', ''),
  output: outputOf(config, taskId),
  credentials: config.gitCredentials,
});

const targetOf = (order: Release, { targets }: FinalizerTools): ReleaseTarget => {
  const target = targets.find((one) => one.takes(order));
  if (target === undefined) throw fail('BUG', { message: 'no release target takes this release' });
  return target;
};

const shownOf = async ({ checkout, ...where }: Released, { taskId, hub, signal }: Release) => {
  const manifest = await readEvidence({ hub, ref: refs(taskId).integration, path: 'package.json', signal });
  return { ...where, start: startCommand(manifest, checkout) };
};

/** Where the repository of a task lies that named none. */
export const outputOf = (config: { home: string; output?: string | undefined }, taskId: string): string =>
  resolve(config.output ?? resolve(config.home, 'repositories'), taskId);

const refusals = ['RELEASE_FAILED', 'REPOSITORY_LOCKED', 'REPOSITORY_MISSING', 'BRANCH_OCCUPIED'];
