/**
 * Releases the result of a task, and reports on it: to the ledger, and to the evidence in the hub. A task that failed
 * or was cancelled is reported on alone: nothing of it is pushed, and it may have no hub. What an earlier delivery
 * pushed before the task ended is there, and is told.
 */
import { done, followUp, type Handler, postpone } from '@nexus/shared/bus';
import { commitEvidence, hubExists, hubLocation, readRef, refs } from '@nexus/shared/git';
import { readBoard, readReport, readTask } from '@nexus/shared/ledger';
import { writeReport } from '@nexus/shared/ledger/write';
import type { PayloadOf } from '@nexus/shared/messages';
import { type BoardHead, countChecks } from '@nexus/shared/messages/domain';
import { isInContainer } from '@nexus/shared/process';
import { isSaving, nothingLeft, readLeftover } from './cut-off.ts';
import { gatherProof } from './proof.ts';
import { findReleased, type Outcome, release } from './release.ts';
import { makeReport } from './report.ts';
import type { FinalizerTools } from './tools.ts';

/** How often, and how long after the end of its task, a board is looked at that has not been closed yet. */
const boardEveryMs = 1000;
const boardWithinMs = 30_000;
/** So long, after the end of a task, its workers may take to notice it and to save what their agents did. */
const savingWithinMs = 20_000;
/** So long after the end of a task a repository may take to show what was being pushed then. */
const pushingWithinMs = 15_000;

export const onReleaseRequested: Handler<'release.requested', FinalizerTools> = async (message, tools) => {
  const { store, keys, signal } = tools;
  const { payload } = message;
  const { task_id: taskId } = payload;
  const [task, board, last] = await Promise.all([
    readTask(store, keys, taskId),
    readBoard(store, keys, taskId),
    readReport(store, keys, taskId),
  ]);
  if (task === null) return done();
  const ended = payload.outcome !== 'completed';
  // What its agents did last is booked when the board closes.
  const isOpen = ended && board !== null && board.head.outcome === null;
  const since = tools.now() - Date.parse(message.timestamp);
  if (isOpen && since < boardWithinMs) return postpone(tools.now() + boardEveryMs, 'its board is not closed yet');
  const location = hubLocation(tools.config, taskId);
  const hub = !ended || (await hubExists(location, taskId, signal)) ? location : null;
  const left = hub && ended ? await readLeftover(hub, taskId, signal) : nothingLeft;
  const subtasks = [...(board?.subtasks.values() ?? [])];
  if (hub && ended && since < savingWithinMs && isSaving(taskId, subtasks, left)) {
    return postpone(tools.now() + boardEveryMs, 'what its agents did last is being saved');
  }
  await tools.begin();
  const merged = hub && ended ? await readRef(hub, refs(taskId).integration, signal) : payload.commit;
  const wasReleasing = ended && merged !== null && board?.head.outcome === 'completed';
  const released = wasReleasing
    ? await lookFor({ payload, board: board.head, commit: merged }, tools)
    : await release(payload, tools);
  signal.throwIfAborted();
  // A push that was cut off here may still arrive there.
  if (wasReleasing && released.result === null && last === null && since < pushingWithinMs) {
    return postpone(tools.now() + boardEveryMs, 'its result may be on its way to the repository');
  }
  const proof = hub ? await gatherProof(hub, board, signal) : { alarms: [], documents: [] };
  const { outcome } = payload;
  const inContainer = (tools.isInContainer ?? isInContainer)(tools.config.command);
  const shown = { task, board, outcome, released, hub, merged, left, inContainer };
  const report = makeReport({ ...shown, ...proof, now: tools.now() });
  if (hub) {
    const files = { 'report.md': report.markdown, 'report.json': `${JSON.stringify(report.json, null, 2)}\n` };
    const message = `Report of ${taskId}`;
    await commitEvidence({ hub, ref: refs(taskId).evidence('report'), files, message, signal });
  }
  return done({
    publish: [followUp('release.finished', { task_id: taskId, ...released })],
    write: writeReport(keys, taskId, report.markdown, report.json, last?.revision ?? 0),
  });
};

/** A repository that does not answer leaves it open: the report does not wait for it any longer. */
const lookFor = async (
  of: { payload: PayloadOf<'release.requested'>; board: BoardHead; commit: string },
  tools: Parameters<typeof onReleaseRequested>[1],
): Promise<Outcome> => {
  const { payload, board, commit } = of;
  const says = payload.reason ?? '';
  try {
    const known = { checks: countChecks(board.before), proven: board.proven };
    return { result: await findReleased({ payload, commit, ...known }, tools), code: null, says };
  } catch (thrown) {
    tools.signal.throwIfAborted();
    const why = tools.redact((thrown as Error).message);
    return {
      result: null,
      code: null,
      says: `${says} Whether its result had been pushed was not seen: ${why}`.slice(0, 2000),
    };
  }
};
