/** Turns a decision about a task into the outcome of its handler. */
import { done, type HandlerTools, type Outcome } from '@nexus/shared/bus';
import type { Catalog } from '@nexus/shared/catalog';
import type { TaskView } from '@nexus/shared/ledger';
import { removeRequest, removeTask, writeTask } from '@nexus/shared/ledger/write';
import type { ServiceTools } from '@nexus/shared/service';
import type { Decision } from './moves.ts';
import type { Patience } from './waiting.ts';

/** What `open()` makes for the handlers. */
export type Tools = ServiceTools & {
  catalog: Catalog;
  patience: Patience;
  /** How long the hub of an ended task is kept. */
  retentionMs: number;
};

/** The outcome: follow-ups, and writes guarded by the revision that was decided on. Observers are told too. */
export const settleTask = (tools: HandlerTools, taskId: string, view: TaskView | null, decision: Decision): Outcome => {
  const { change, publish } = decision;
  if (change === null) return done({ publish });
  if (change === 'removed') {
    return done({ publish, write: [...removeTask(tools.keys, taskId), ...removeRequest(tools.keys, taskId)] });
  }
  if (change.head) {
    const { status, reason } = change.head;
    tools.tell({ event: 'task.changed', task_id: taskId, data: { status, reason } });
  }
  const write = writeTask(tools.keys, taskId, view?.revision ?? 0, change);
  // From now on the request lies in the task's document.
  return done({ publish, write: view === null ? [...write, ...removeRequest(tools.keys, taskId)] : write });
};
