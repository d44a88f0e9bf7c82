/**
 * One transition of a board: read what the decision looks at, decide, answer with the writes.
 *
 * Parts are read once, and a view is of one revision: where the board has moved between two reads, all that was
 * asked for so far is read again in one go, so that a crowd of results on one board keeps nobody from deciding.
 * The writes are guarded by that revision, so a decision on an outdated view is refused and made again.
 */
import { done, followUp, type HandlerTools, type LedgerWrite, type Message, type Outcome } from '@nexus/shared/bus';
import { fail } from '@nexus/shared/errors';
import { type BoardView, readBoard, readBoardParts, readHistory, readLoad, readTask } from '@nexus/shared/ledger';
import { countHistory, countLoad, countStat, removeBoard, writeBoard } from '@nexus/shared/ledger/write';
import type { SubtaskKind } from '@nexus/shared/messages/domain';
import {
  type BoardKind,
  type BoardMessage,
  type Decision,
  decide,
  Missing,
  type TaskFacts,
  type View,
} from './board.ts';
import type { Rules } from './config.ts';

/** What the project manager's handlers are given beside the fabric's own tools. */
export type Tools = {
  rules: Rules;
  /** The id of the agent for a role or an id. Throws ROLE_UNKNOWN. */
  agentFor(roleOrId: string): string;
  /** Looks at once whether there are other agents now. */
  refresh?(): Promise<unknown>;
  /** Other agents that can do what this one does, the nearest first. */
  othersFor(agentId: string): readonly string[];
  /** All agents that have a role and can do this kind of work. */
  candidatesFor?(role: string, kind: SubtaskKind): readonly string[];
  /** The definition of an agent, which an attempt carries; null: it is gone. */
  definitionOf?(agentId: string): { file: string; source: string } | null;
  /** Agent → attempts that it runs now. */
  attempts?(): Promise<ReadonlyMap<string, number>>;
  /** The runtimes that living workers can use. */
  runtimes(): Promise<readonly string[]>;
  /** At least 0 and below 1: spreads what was parked together. */
  random(): number;
  /** How many attempts the living workers can run at a time. */
  capacity(): Promise<number>;
};

/** Each read brings more of the board, so no decision asks this often unless the board outruns it. */
const readsMax = 64;

/** Handles a message that a board is driven by. */
export const transition = async (message: Message<BoardKind>, tools: HandlerTools & Tools): Promise<Outcome> => {
  const told = { type: message.type, payload: message.payload } as BoardMessage;
  let missed = false;
  const agentFor = (role: string): string => {
    try {
      return tools.agentFor(role);
    } catch (thrown) {
      missed = true;
      throw thrown;
    }
  };
  try {
    const { view, decision } = await decideOn(told, tools, agentFor);
    if (!missed || tools.refresh === undefined) return carryOut(view, decision, tools);
  } catch (thrown) {
    if (!missed || tools.refresh === undefined) throw thrown;
  }
  // Another service may know of an agent that was added a moment ago.
  await tools.refresh();
  const { view, decision } = await decideOn(told, tools);
  return carryOut(view, decision, tools);
};

const decideOn = async (
  told: BoardMessage,
  tools: HandlerTools & Tools,
  agentFor = tools.agentFor,
): Promise<{ view: View; decision: Decision }> => {
  let view: View = { ...(await openView(told, tools)), agentFor };
  for (let reads = 0; reads < readsMax; reads++) {
    const decision = decide(view, told, tools.now());
    if (!(decision instanceof Missing)) return { view, decision };
    view = await readMore(view, decision, tools);
  }
  throw fail('UNEXPECTED', { message: `${told.type} of ${view.taskId} was not decided after ${readsMax} reads` });
};

const openView = async (told: BoardMessage, tools: HandlerTools & Tools): Promise<View> => {
  const taskId = told.payload.task_id;
  const parts = 'subtask_id' in told.payload ? [told.payload.subtask_id] : [];
  const board = await readBoardParts(tools.store, tools.keys, taskId, parts);
  const { rules, agentFor, othersFor, candidatesFor, definitionOf } = tools;
  const routing = { ...(candidatesFor && { candidatesFor }), ...(definitionOf && { definitionOf }) };
  return { taskId, board, read: new Set(parts), rules, agentFor, othersFor, ...routing, chance: tools.random() };
};

/** The view with what was missing, all of it at one revision. */
const readMore = async (view: View, missing: Missing, tools: HandlerTools & Tools): Promise<View> => {
  const { store, keys } = tools;
  if (missing.also === 'task') return { ...view, task: await readFacts(view.taskId, tools) };
  if (missing.also === 'runtimes') return { ...view, runtimes: await tools.runtimes() };
  if (missing.also === 'crew') {
    const running = (await tools.attempts?.()) ?? new Map();
    return { ...view, crew: { history: await readHistory(store, keys), running } };
  }
  if (missing.also === 'slots') {
    return { ...view, slots: { capacity: await tools.capacity(), load: await readLoad(store, keys) } };
  }
  if (missing.parts === 'all' || view.read === 'all') {
    return { ...view, board: await readBoard(store, keys, view.taskId), read: 'all' };
  }
  const read = new Set([...view.read, ...missing.parts]);
  const more = await readBoardParts(store, keys, view.taskId, missing.parts);
  const board =
    more?.revision === view.board?.revision
      ? joined(view.board, more)
      : await readBoardParts(store, keys, view.taskId, [...read]);
  return { ...view, board, read };
};

const joined = (board: BoardView | null, more: BoardView | null): BoardView | null =>
  board && more && { ...more, subtasks: new Map([...board.subtasks, ...more.subtasks]) };

const readFacts = async (taskId: string, tools: HandlerTools): Promise<TaskFacts | null> => {
  const task = await readTask(tools.store, tools.keys, taskId);
  if (task === null) return null;
  const { status, priority, mode, base_commit: baseCommit } = task.head;
  const { setup = null, checks = [], runtime, agent_command, scenario } = task.request;
  const runtimeAsked = [runtime, agent_command, scenario].some((asked) => asked !== undefined);
  return { status, priority, mode, baseCommit, setup, checks, runtimeAsked };
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
    ...decision.history.flatMap((counter) => countHistory(keys, counter)),
  ];
  // After all else: what is remembered keeps nobody waiting.
  const notes = decision.notes.map((noted) =>
    followUp('memory.noted', noted, { key: `${noted.subtask_id}-${noted.attempt}-${noted.about}`, priority: 'LOW' }),
  );
  return done({ publish: [...decision.publish, ...notes], write });
};

const boardWrites = (view: View, decision: Decision, { keys }: HandlerTools): LedgerWrite[] => {
  const { head, subtasks, removed, discard } = decision;
  const revision = view.board?.revision ?? 0;
  // Also the removal is guarded, by a patch that changes nothing: what the board holds is counted back with it.
  if (discard) {
    const subtasks = view.board?.subtasks.values() ?? [];
    return [...writeBoard(keys, view.taskId, revision, {}), ...removeBoard(keys, view.taskId, subtasks)];
  }
  if (head === undefined && subtasks.length === 0 && removed.length === 0) return [];
  return writeBoard(keys, view.taskId, revision, { ...(head ? { head } : {}), subtasks, removed });
};
