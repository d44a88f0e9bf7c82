/**
 * Merges a tested candidate: one atomic push of integration and the marker of the subtask (rule 24). The marker is
 * looked at first, so a repetition after a crash finds its own merge done.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { done, followUp, type Handler } from '@nexus/shared/bus';
import { cloneAt, hubLocation, pushMerge, readRef, refs } from '@nexus/shared/git';
import type { FinalizerTools } from './tools.ts';

export const onMergeRequested: Handler<'merge.requested', FinalizerTools> = async ({ payload }, tools) => {
  const { task_id, subtask_id, attempt, base, tested_commit: tested } = payload;
  const { signal } = tools;
  const hub = hubLocation(tools.config, task_id);
  const { integration: integrationRef, merged } = refs(task_id);
  await tools.begin();
  // In the machine's temporary folder, which somebody sweeps if we are killed.
  const scratch = await mkdtemp(join(tmpdir(), 'nexus-merge-'));
  try {
    const { folder } = await cloneAt({ hub, folder: join(scratch, 'clone'), commit: tested, signal });
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
    await rm(scratch, { recursive: true, force: true, maxRetries: 3 });
  }
};
