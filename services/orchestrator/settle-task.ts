/** Turns a decision about a task into the outcome of its handler. */
import { done, type Envelope, type HandlerTools, type Outcome, unpark } from '@nexus/shared/bus';
import type { FollowingCatalog } from '@nexus/shared/catalog';
import type { TaskView } from '@nexus/shared/ledger';
import { removeRequest, removeTask, writeTask } from '@nexus/shared/ledger/write';
import type { ServiceTools } from '@nexus/shared/service';
import { alarmsIn, sortAlarms } from './alarms.ts';
import type { Decision } from './moves.ts';
import type { Planning } from './plan-task.ts';
import type { Patience } from './waiting.ts';

/** What `open()` makes for the handlers. */
export type Tools = ServiceTools & {
  catalog: FollowingCatalog;
  patience: Patience;
  /** Left out, plans come from templates, without an outlook. */
  planning?: Planning;
  /** How long the hub of an ended task is kept. */
  retentionMs: number;
};

/**
 * The outcome: follow-ups, and writes guarded by the revision that was decided on. Observers are told too. `cause` is
 * the message, where what follows from it may be parked.
 */
export const settleTask = (
  tools: HandlerTools,
  taskId: string,
  view: TaskView | null,
  { change, publish }: Decision,
  cause?: Pick<Envelope, 'message_id'>,
): Outcome => {
  const { keys } = tools;
  if (change === null) return done({ publish });
  const before = view?.head.alarms ?? {};
  if (change === 'removed') {
    const alarms = Object.values(before).flatMap((id) => unpark(keys, id));
    return done({ publish, write: [...removeTask(keys, taskId), ...removeRequest(keys, taskId), ...alarms] });
  }
  let parts = change;
  let gone: string[] = [];
  if (change.head) {
    const { status, reason } = change.head;
    tools.tell({ event: 'task.changed', task_id: taskId, data: { status, reason } });
    const sorted = sortAlarms(change.head, before, cause === undefined ? {} : alarmsIn(cause, publish));
    parts = { ...change, head: sorted.head };
    gone = sorted.gone;
  }
  const write = [...writeTask(keys, taskId, view?.revision ?? 0, parts), ...gone.flatMap((id) => unpark(keys, id))];
  // From now on the request lies in the task's document.
  return done({ publish, write: view === null ? [...write, ...removeRequest(keys, taskId)] : write });
};
