/**
 * One transition of a board: read what the decision looks at, decide, answer with the writes.
 *
 * All parts are read once, at one revision; where the board moves between two reads the reading begins anew.
 * The writes are guarded by that revision, so a decision on an outdated view is refused and made again.
 */
import assert from 'node:assert/strict';
import { done, type HandlerTools, type LedgerWrite, type Message, type Outcome } from '@nexus/shared/bus';
import { type BoardView, readBoard, readBoardParts, readLoad, readTask } from '@nexus/shared/ledger';
import { countLoad, countStat, removeBoard, writeBoard } from '@nexus/shared/ledger/write';
import type { KindsTo } from '@nexus/shared/messages';
import { type BoardMessage, type Decision, decide, Missing, type TaskFacts, type View } from './board.ts';
import type { Rules } from './config.ts';

/** What the project manager's handlers are given beside the fabric's own tools. */
export type Tools = {
  rules: Rules;
  /** The id of the agent for a role or an id. Throws ROLE_UNKNOWN. */
  agentFor(roleOrId: string): string;
  /** How many attempts the living workers can run at a time. */
  capacity(): Promise<number>;
};

/** No decision asks more often; one that does is our mistake. */
const readsMax = 32;

/** Handles a message that a board is driven by. */
export const transition = async (
  message: Message<KindsTo<'project-manager'>>,
  tools: HandlerTools & Tools,
): Promise<Outcome> => {
  const told = { type: message.type, payload: message.payload } as BoardMessage;
  let view = await openView(told, tools);
  for (let reads = 0; reads < readsMax; reads++) {
    const decision = decide(view, told, tools.now());
    if (!(decision instanceof Missing)) return carryOut(view, decision, tools);
    view = (await readMore(view, decision, tools)) ?? (await openView(told, tools));
  }
  assert.fail(`the decision on ${message.type} of ${view.taskId} does not come to an end`);
};

const openView = async (told: BoardMessage, tools: HandlerTools & Tools): Promise<View> => {
  const taskId = told.payload.task_id;
  const parts = 'subtask_id' in told.payload ? [told.payload.subtask_id] : [];
  const board = await readBoardParts(tools.store, tools.keys, taskId, parts);
  return { taskId, board, read: new Set(parts), rules: tools.rules, agentFor: tools.agentFor };
};

/** The view with what was missing; null: the board has moved since it was opened. */
const readMore = async (view: View, missing: Missing, tools: HandlerTools & Tools): Promise<View | null> => {
  const { store, keys } = tools;
  if (missing.also === 'task') return { ...view, task: await readFacts(view.taskId, tools) };
  if (missing.also === 'slots') {
    return { ...view, slots: { capacity: await tools.capacity(), load: await readLoad(store, keys) } };
  }
  const more =
    missing.parts === 'all'
      ? await readBoard(store, keys, view.taskId)
      : await readBoardParts(store, keys, view.taskId, missing.parts);
  if (more?.revision !== view.board?.revision || more === null) return null;
  const read = missing.parts === 'all' || view.read === 'all' ? 'all' : new Set([...view.read, ...missing.parts]);
  return { ...view, board: joined(view.board, more), read };
};

const joined = (board: BoardView | null, more: BoardView): BoardView => ({
  ...more,
  subtasks: new Map([...(board?.subtasks ?? []), ...more.subtasks]),
});

const readFacts = async (taskId: string, tools: HandlerTools): Promise<TaskFacts | null> => {
  const task = await readTask(tools.store, tools.keys, taskId);
  if (task === null) return null;
  const { status, priority, mode, base_commit: baseCommit } = task.head;
  return { status, priority, mode, baseCommit, setup: task.request.setup ?? [], checks: task.request.checks ?? [] };
};

const carryOut = (view: View, decision: Decision, tools: HandlerTools & Tools): Outcome => {
  const { keys } = tools;
  const day = new Date(tools.now()).toISOString().slice(0, 10);
  for (const part of decision.subtasks) {
    const before = view.board?.subtasks.get(part.id);
    if (before?.state === part.state && before.attempt === part.attempt) continue;
    const { id, attempt, agent_id, state } = part;
    tools.tell({ event: 'subtask.changed', task_id: view.taskId, subtask_id: id, attempt, agent_id, text: state });
  }
  const write: LedgerWrite[] = [
    ...boardWrites(view, decision, tools),
    ...countLoad(keys, view.taskId, decision.load),
    ...decision.stats.flatMap((counter) => countStat(keys, day, counter, 1)),
  ];
  return done({ publish: decision.publish, write });
};

const boardWrites = (view: View, decision: Decision, { keys }: HandlerTools): LedgerWrite[] => {
  const { head, subtasks, removed, discard } = decision;
  const revision = view.board?.revision ?? 0;
  // Also the removal is guarded, by a patch that changes nothing: what the board holds is counted back with it.
  if (discard) return [...writeBoard(keys, view.taskId, revision, {}), ...removeBoard(keys, view.taskId)];
  if (head === undefined && subtasks.length === 0 && removed.length === 0) return [];
  return writeBoard(keys, view.taskId, revision, { ...(head ? { head } : {}), subtasks, removed });
};
