/**
 * Merges a tested candidate: one atomic push of integration and the marker of the subtask (rule 24). The marker is
 * looked at first, so a repetition after a crash finds its own merge done.
 */
import { done, followUp, type Handler } from '@nexus/shared/bus';
import { hubLocation, pushMerge, readRef, refs } from '@nexus/shared/git';
import type { FinalizerTools } from './tools.ts';

export const onMergeRequested: Handler<'merge.requested', FinalizerTools> = async ({ payload }, tools) => {
  const { task_id, subtask_id, attempt, base, tested_commit: tested } = payload;
  const { signal } = tools;
  const hub = hubLocation(tools.config, task_id);
  const { integration: integrationRef, merged } = refs(task_id);
  await tools.begin();
  const outcome = await pushMerge({ hub, base, tested, integrationRef, markerRef: merged(subtask_id), signal });
  const head = outcome === 'merged' ? tested : await readRef(hub, integrationRef, signal);
  const says = {
    merged: '',
    already: 'It was merged before.',
    moved: `Integration is ${head ?? 'gone'}, no longer ${base}.`,
  };
  return done({
    publish: [
      followUp('merge.finished', {
        ...{ task_id, subtask_id, attempt, commit: head, says: says[outcome] },
        outcome: outcome === 'moved' ? 'moved' : 'merged',
      }),
    ],
  });
};
