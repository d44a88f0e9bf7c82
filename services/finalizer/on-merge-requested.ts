/**
 * Merges a tested candidate: one atomic push of integration and the marker of the subtask (rule 24). The marker is
 * looked at first, so a repetition after a crash finds its own merge done.
 */
import { rm } from 'node:fs/promises';
import { resolve } from 'node:path';
import { done, followUp, type Handler } from '@nexus/shared/bus';
import { cloneAt, hubLocation, pushMerge, readRef, refs } from '@nexus/shared/git';
import type { FinalizerTools } from './tools.ts';

export const onMergeRequested: Handler<'merge.requested', FinalizerTools> = async ({ payload }, tools) => {
  const { task_id, subtask_id, attempt, base, tested_commit: tested } = payload;
  const { signal } = tools;
  const hub = hubLocation(tools.config, task_id);
  const { integration: integrationRef, merged } = refs(task_id);
  const folder = resolve(tools.config.home, 'merges', tools.claim.token);
  await tools.begin();
  try {
    await cloneAt({ hub, folder, commit: tested, signal });
    const outcome = await pushMerge({
      hub,
      folder,
      base,
      tested,
      integrationRef,
      markerRef: merged(subtask_id),
      signal,
    });
    const head = outcome === 'merged' ? tested : await readRef(hub, integrationRef, signal);
    const of = { task_id, subtask_id, attempt };
    const finished =
      outcome === 'moved'
        ? {
            ...of,
            outcome: 'moved' as const,
            commit: head,
            says: `Integration is ${head ?? 'gone'}, no longer ${base}.`,
          }
        : {
            ...of,
            outcome: 'merged' as const,
            commit: head,
            says: outcome === 'already' ? 'It was merged before.' : '',
          };
    return done({ publish: [followUp('merge.finished', finished)] });
  } finally {
    await rm(folder, { recursive: true, force: true, maxRetries: 3 });
  }
};
