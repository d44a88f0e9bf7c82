/** Makes the hub of a task. Asked again it answers the same; a repository that cannot be used is an answer, too. */
import { done, followUp, type Handler } from '@nexus/shared/bus';
import { fail, toAppError } from '@nexus/shared/errors';
import { createHub, hubLocation } from '@nexus/shared/git';
import { mayPass } from './repository.ts';
import type { FinalizerTools } from './tools.ts';

export const onRepositoryRequested: Handler<'repository.requested', FinalizerTools> = async ({ payload }, tools) => {
  const { config, signal } = tools;
  const { task_id: taskId, repository, base } = payload;
  const hub = hubLocation(config, taskId);
  const of = { task_id: taskId };
  await tools.begin();
  try {
    const made = await createHub({ hub, taskId, repository, base, credentials: config.gitCredentials, signal });
    const warnings = made.warnings.slice(0, 20).map((warning) => tools.redact(warning).slice(0, 500));
    const prepared = { ...of, base_commit: made.baseCommit, warnings, code: null, says: '' };
    return done({ publish: [followUp('repository.prepared', prepared)] });
  } catch (thrown) {
    const error = toAppError(thrown);
    // What no repetition would mend is told at once, and to the one who waits for it.
    if (signal.aborted || error.entry.outcome !== 'dead' || error.code === 'BUG') throw thrown;
    if (mayPass(error))
      throw fail('GIT_FAILED', { command: 'fetch', exit: 128, message: error.message }, { cause: thrown });
    const says = tools.redact(error.message).slice(0, 2000);
    const refused = { ...of, base_commit: null, warnings: [], code: error.code, says };
    return done({ publish: [followUp('repository.prepared', refused)] });
  }
};
