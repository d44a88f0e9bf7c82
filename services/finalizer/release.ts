/**
 * One release: the result goes to the target that takes it, and a person is told where it is, how to look at it, how
 * to start it and how to undo it.
 *
 *     failed or cancelled → nothing is pushed: the report alone says what there is
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
import type { Release } from './define-target.ts';
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
  const { config, signal } = tools;
  if (payload.outcome !== 'completed' || commit === null || baseCommit === null) {
    return { result: null, code: null, says: payload.reason ?? '' };
  }
  const hub = hubLocation(config, taskId);
  const known = { commit, checks, proven };
  if (commit === baseCommit) {
    const shown = repository === null ? null : withoutSecrets(repository);
    return {
      result: { ...known, branch: null, repository: shown, undo: null, look: null, start: null },
      code: null,
      says: '',
    };
  }
  const order: Release = {
    ...{ taskId, hub, repository, commit, baseCommit, signal },
    branch: refs(taskId).result.replace('refs/heads/', ''),
    output: outputOf(config, taskId),
    credentials: config.gitCredentials,
  };
  const target = tools.targets.find((one) => one.takes(order));
  if (target === undefined) throw fail('BUG', { message: 'no release target takes this release' });
  try {
    const { checkout, ...where } = await target.release(order);
    const manifest = await readEvidence({ hub, ref: refs(taskId).integration, path: 'package.json', signal });
    return { result: { ...known, ...where, start: startCommand(manifest, checkout) }, code: null, says: '' };
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

/** Where the repository of a task lies that named none. */
export const outputOf = (config: { home: string; output?: string | undefined }, taskId: string): string =>
  resolve(config.output ?? resolve(config.home, 'repositories'), taskId);

const refusals = ['RELEASE_FAILED', 'REPOSITORY_LOCKED', 'REPOSITORY_MISSING', 'BRANCH_OCCUPIED'];
