/**
 * A task that ended long ago leaves its hub, with the evidence and the tested commits in it, and its clones. Its report
 * stays and says so, and what was released stays, too. There is no `begin` here, as the task has ended.
 */
import { done, type Handler } from '@nexus/shared/bus';
import { hubLocation, removeHub } from '@nexus/shared/git';
import { readReport, readTaskStatus } from '@nexus/shared/ledger';
import { writeReport } from '@nexus/shared/ledger/write';
import { endedTask } from '@nexus/shared/messages/domain';
import { removeLeftovers } from './leftovers.ts';
import type { FinalizerTools } from './tools.ts';

export const onHubExpired: Handler<'hub.expired', FinalizerTools> = async ({ payload }, tools) => {
  const { store, keys, config } = tools;
  const { task_id: taskId } = payload;
  const status = await readTaskStatus(store, keys, taskId);
  // A hub that goes is gone: whoever asked, a task at work keeps it.
  if (status !== null && !endedTask(status)) return done();
  // Clones first: whoever finds one without its hub knows that nothing of it is worth saving.
  await removeLeftovers(config.home, taskId);
  await removeHub(hubLocation(config, taskId), taskId);
  const report = await readReport(store, keys, taskId);
  if (report === null) return done();
  const json = report.json as Record<string, unknown>;
  if (json.evidence_expired_at) return done();
  const at = new Date(tools.now()).toISOString();
  const markdown = withNotice(report.markdown, at);
  return done({
    write: writeReport(keys, taskId, markdown, { ...json, evidence_expired_at: at }, report.revision),
  });
};

/** Below the title, so that nobody tries commands that cannot work any more. */
const withNotice = (markdown: string, at: string): string => {
  const [title = '', ...rest] = markdown.split('\n');
  const notice = `**The evidence has expired.** The hub of this task was removed at ${at}: logs, transcripts and
commits that this page names are gone with it. What was released is where it was released.`;
  return [title, '', notice, ...rest].join('\n');
};
