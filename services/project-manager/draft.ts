/**
 * A draft is the next state of one board while it is being decided. Decisions read parts from it, change
 * them through it and let it publish; nothing outside is touched, and the view it came from stays as it was.
 *
 * It asserts what must hold whoever decides: a move is one that `subtaskTransitions` draws, and the counts
 * in the head follow the parts. What the view does not hold yet is asked for by throwing a `Missing`, which
 * `decide` turns into its answer: the handler reads that and decides again. So a transition reads exactly
 * what it looks at (rule 12).
 */
import assert from 'node:assert/strict';
import type { FollowUp } from '@nexus/shared/bus';
import { fail } from '@nexus/shared/errors';
import type { BoardView } from '@nexus/shared/ledger';
import type { Kind, PayloadInput } from '@nexus/shared/messages';
import {
  type BoardHead,
  type CheckRequest,
  type Mode,
  type Priority,
  type Subtask,
  type SubtaskKind,
  type SubtaskState,
  subtaskTransitions,
  type TaskStatus,
} from '@nexus/shared/messages/domain';
import type { Rules } from './config.ts';
import type { Crew } from './routing.ts';

/** What the fleet can carry, and which task holds how many slots of it. */
export type Slots = { capacity: number; load: ReadonlyMap<string, number> };

/** What the board needs to know of its task. */
export type TaskFacts = {
  status: TaskStatus;
  /** Null: the task leaves it to the project; empty: it wants none. */
  setup: string[] | null;
  checks: CheckRequest[];
  priority: Priority;
  mode: Mode;
  baseCommit: string | null;
  /** The task says how its agents are run. */
  runtimeAsked: boolean;
};

/** What a decision is made on: the board as far as it was read, and the world around it. */
export type View = {
  taskId: string;
  board: BoardView | null;
  /** Subtasks that were looked for; one that is not in the board's map does not exist. */
  read: ReadonlySet<string> | 'all';
  rules: Rules;
  /** The id of the agent for a role or an id. Throws ROLE_UNKNOWN. */
  agentFor(roleOrId: string): string;
  /** Other agents that can do what this one does, the nearest first. */
  othersFor(agentId: string): readonly string[];
  /** All agents that have a role and can do this kind of work; left out, the one that `agentFor` says. */
  candidatesFor?(role: string, kind: SubtaskKind): readonly string[];
  /** The definition of an agent, which an attempt carries; null: it is gone. Left out, attempts look for it. */
  definitionOf?(agentId: string): { file: string; source: string } | null;
  /** How agents have done, and what they run; undefined until a decision asks for it. */
  crew?: Crew;
  /** At least 0 and below 1: what is left to chance in this decision. */
  chance: number;
  /** The runtimes that living workers can use; undefined until a decision asks for it. */
  runtimes?: readonly string[];
  /** Undefined until a decision asks for it. */
  slots?: Slots;
  /** The same; null: there is no such task. */
  task?: TaskFacts | null;
};

/** What a transition does: parts to write, messages to publish, counters to move. */
export type Decision = {
  head?: BoardHead;
  subtasks: Subtask[];
  removed: string[];
  publish: FollowUp[];
  /** Slots that the task takes (+) or gives back (−). */
  load: number;
  /** Counters of the day that go up by one. */
  stats: string[];
  /** Counters that are kept for ever, and go up by one. */
  history: string[];
  /** What is worth remembering of it. */
  notes: PayloadInput<'memory.noted'>[];
  /** The whole board goes. */
  discard: boolean;
};

/** Thrown by a draft that was asked for something the view does not hold; no error, and never seen outside. */
export class Missing {
  readonly parts: readonly string[] | 'all';
  readonly also: 'slots' | 'task' | 'runtimes' | 'crew' | null;
  constructor(parts: readonly string[] | 'all', also: 'slots' | 'task' | 'runtimes' | 'crew' | null = null) {
    this.parts = parts;
    this.also = also;
  }
}

export type Draft = ReturnType<typeof openDraft>;

export const nothing = (): Decision => ({
  subtasks: [],
  removed: [],
  publish: [],
  load: 0,
  stats: [],
  history: [],
  notes: [],
  discard: false,
});

/** Opens a draft on a board: the one of the view, or a new one with this head. */
export const openDraft = (view: View, board: BoardView, now: number) => {
  const parts = new Map(board.subtasks);
  const changed = new Set<string>();
  const removed = new Set<string>();
  const decision = nothing();
  const given = new Map<string, number>();
  let head = board.head;

  /** The named subtask as it stands now, or null where the board has none. */
  const find = (id: string): Subtask | null => {
    const part = parts.get(id);
    if (!part && !removed.has(id) && view.read !== 'all' && !view.read.has(id)) throw new Missing([id]);
    return part ?? null;
  };
  const part = (id: string): Subtask => {
    const found = find(id);
    assert(found, `the board of ${view.taskId} has no subtask ${id}`);
    return found;
  };
  const changeHead = (fields: Partial<BoardHead>): void => {
    head = { ...head, ...fields };
  };
  const count = (state: SubtaskState, by: number): void => {
    const { [state]: before = 0, ...others } = head.counts;
    assert(before + by >= 0, `the board of ${view.taskId} counts fewer than no ${state}`);
    changeHead({ counts: before + by === 0 ? others : { ...others, [state]: before + by } });
  };

  return {
    now,
    at: new Date(now).toISOString(),
    /** The time so many milliseconds from now. */
    after: (ms: number): string => new Date(now + ms).toISOString(),
    taskId: view.taskId,
    rules: view.rules,
    agentFor: view.agentFor,
    othersFor: view.othersFor,
    candidatesFor: view.candidatesFor ?? ((role: string): readonly string[] => [view.agentFor(role)]),
    definitionOf: view.definitionOf ?? (() => null),
    /** True where attempts carry the definitions of their agents. */
    carries: view.definitionOf !== undefined,
    crew: (): Crew => {
      if (view.crew === undefined) throw new Missing([], 'crew');
      return view.crew;
    },
    /** How many attempts this decision has given to an agent; `give` counts one. */
    given: (agentId: string): number => given.get(agentId) ?? 0,
    give: (agentId: string): void => {
      given.set(agentId, (given.get(agentId) ?? 0) + 1);
    },
    chance: view.chance,
    /** The wait before something is tried again after so many times: it doubles, up to its limit. */
    waitMs: (times: number): number => Math.min(view.rules.retryWaitMaxMs, view.rules.retryBaseMs * 2 ** times),
    get head(): BoardHead {
      return head;
    },
    find,
    part,
    /** Several at once: what is not there is asked for in one go. */
    parts: (ids: readonly string[]): Subtask[] => {
      const unread = ids.filter((id) => !parts.has(id) && view.read !== 'all' && !view.read.has(id));
      if (unread.length > 0) throw new Missing(unread);
      return ids.map(part);
    },
    /** Every subtask, in order. Only what concerns the whole board may ask for this. */
    all: (): Subtask[] => {
      if (view.read !== 'all') throw new Missing('all');
      return [...parts.values()].toSorted((one, other) => one.order - other.order);
    },
    slots: (): Slots => {
      if (view.slots === undefined) throw new Missing([], 'slots');
      return view.slots;
    },
    runtimes: (): readonly string[] => {
      if (view.runtimes === undefined) throw new Missing([], 'runtimes');
      return view.runtimes;
    },
    task: (): TaskFacts | null => {
      if (view.task === undefined) throw new Missing([], 'task');
      return view.task;
    },
    changeHead,
    /** Changes fields of a subtask; a new state must be a legal move. Returns the subtask as it is now. */
    change: (id: string, fields: Partial<Subtask>): Subtask => {
      const before = part(id);
      const after = { ...before, ...fields };
      if (after.state !== before.state) {
        if (!subtaskTransitions[before.state].includes(after.state)) {
          throw fail('TRANSITION_ILLEGAL', { what: 'Subtask', id, from: before.state, to: after.state });
        }
        count(before.state, -1);
        count(after.state, 1);
      }
      parts.set(id, after);
      changed.add(id);
      return after;
    },
    add: (added: Subtask): void => {
      assert(!parts.has(added.id), `the board of ${view.taskId} already has a subtask ${added.id}`);
      parts.set(added.id, added);
      changed.add(added.id);
      removed.delete(added.id);
      count(added.state, 1);
      changeHead({ total: head.total + 1 });
    },
    remove: (id: string): void => {
      count(part(id).state, -1);
      parts.delete(id);
      changed.delete(id);
      removed.add(id);
      changeHead({ total: head.total - 1 });
    },
    publish: <K extends Kind>(
      type: K,
      payload: PayloadInput<K>,
      options: { key?: string; delayMs?: number } = {},
    ): void => {
      decision.publish.push({ type, payload, key: '', priority: head.priority, ...options });
    },
    /** Takes (+) or gives back (−) slots of the fleet. */
    takeSlots: (by: number): void => {
      decision.load += by;
    },
    stat: (counter: string): void => {
      decision.stats.push(counter);
    },
    history: (counter: string): void => {
      decision.history.push(counter);
    },
    /** Something to be remembered, once what led to it is settled. */
    note: (noted: PayloadInput<'memory.noted'>): void => {
      decision.notes.push(noted);
    },
    /** False while nothing was changed: the message came too late, or said nothing new. */
    isTouched: (): boolean => changed.size > 0 || removed.size > 0 || head !== board.head,
    /** What has come of it all. */
    decision: (): Decision => ({
      ...decision,
      ...(head === board.head && view.board ? {} : { head }),
      subtasks: [...changed].map(part),
      removed: [...removed],
    }),
  };
};
