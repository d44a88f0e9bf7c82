import { done, followUp, type Handler } from '@nexus/shared/bus';
import { listEnded } from '@nexus/shared/ledger';
import { expireTask } from '@nexus/shared/ledger/write';
import type { Tools } from './settle-task.ts';

/** As many go at a time; where more are due, the next turn follows at once. */
const hubsMax = 50;

/** Has the hubs of tasks that ended long ago removed, each once. */
export const onRetentionDue: Handler<'retention.due', Tools> = async (_, tools) => {
  const { store, keys } = tools;
  const due = await listEnded(store, keys, { endedBefore: tools.now() - tools.retentionMs, limit: hubsMax });
  const publish = due.map(({ task_id }) => followUp('hub.expired', { task_id }, { key: task_id, priority: 'LOW' }));
  if (due.length === hubsMax) publish.push(followUp('retention.due', {}, { priority: 'LOW' }));
  return done({ publish, write: due.flatMap(({ task_id }) => expireTask(keys, task_id)) });
};
