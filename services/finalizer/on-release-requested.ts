/** Releases the result of a task, and reports on it: to the ledger, and to the evidence in the hub. */
import { done, followUp, type Handler } from '@nexus/shared/bus';
import { commitEvidence, hubLocation, refs } from '@nexus/shared/git';
import { readBoard, readReport, readTask } from '@nexus/shared/ledger';
import { writeReport } from '@nexus/shared/ledger/write';
import { gatherProof } from './proof.ts';
import { release } from './release.ts';
import { makeReport } from './report.ts';
import type { FinalizerTools } from './tools.ts';

export const onReleaseRequested: Handler<'release.requested', FinalizerTools> = async ({ payload }, tools) => {
  const { store, keys, signal } = tools;
  const { task_id: taskId } = payload;
  const [task, board, last] = await Promise.all([
    readTask(store, keys, taskId),
    readBoard(store, keys, taskId),
    readReport(store, keys, taskId),
  ]);
  if (task === null) return done();
  await tools.begin();
  const released = await release(payload, tools);
  signal.throwIfAborted();
  const hub = hubLocation(tools.config, taskId);
  const proof = await gatherProof(hub, board, signal);
  const report = makeReport({ task, board, released, ...proof, now: tools.now() });
  const files = { 'report.md': report.markdown, 'report.json': `${JSON.stringify(report.json, null, 2)}\n` };
  const message = `Report of ${taskId}`;
  await commitEvidence({ hub, ref: refs(taskId).evidence('report'), files, message, signal });
  return done({
    publish: [followUp('release.finished', { task_id: taskId, ...released })],
    write: writeReport(keys, taskId, report.markdown, report.json, last?.revision ?? 0),
  });
};
