/**
 * Decomposition: how a plan becomes a board, and how the plan of a planner agent grows a running one.
 *
 * A grown plan takes the place of the node that `stands_for_plan`: its subtasks without dependencies among
 * themselves depend on what that node depended on, and what depended on the node depends on the ends of the
 * plan. An invalid plan goes back to its planner with what is wrong, a bounded number of times; after that
 * the node is done itself, as the workflow wrote it. The planner keeps the reason, and the task is warned. A subtask
 * that fails again and again stands for a plan in the same way, behind a planner of its own (`escalation.ts`).
 */
import { graphProblems } from '@nexus/shared/catalog';
import { fail } from '@nexus/shared/errors';
import type { BoardView } from '@nexus/shared/ledger';
import type { PayloadOf } from '@nexus/shared/messages';
import {
  type BoardHead,
  endedSubtask,
  type PlanFile,
  type PlannedSubtask,
  type Subtask,
  type TemporaryAgent,
  timeBoxLevelOf,
} from '@nexus/shared/messages/domain';
import { makeReady } from './dispatch.ts';
import type { Draft } from './draft.ts';
import { short } from './ending.ts';
import { dependenciesMax, dependentsIn, problemsOf, roleProblems } from './graph.ts';
import { type Guests, guestFor, noGuests, readGuests, withGuests } from './guests.ts';

type PlanLeft = NonNullable<PayloadOf<'attempt.finished'>['plan']>;

/** A new board without subtasks; `fill` puts them on it. */
export const emptyBoard = (
  task: Pick<BoardHead, 'task_id' | 'priority' | 'mode' | 'base_commit'>,
  now: number,
): BoardView => ({
  revision: 0,
  head: {
    task_id: task.task_id,
    priority: task.priority,
    mode: task.mode,
    created_at: new Date(now).toISOString(),
    counts: {},
    total: 0,
    ready: [],
    dispatched: [],
    queue: [],
    at_gate: null,
    integration: task.base_commit,
    base_commit: task.base_commit,
    before: null,
    proven: false,
    red: [],
    gate_runs: 0,
    attempts: 0,
    sent_back: 0,
    merged: 0,
    cost: { usd: null, tokens: null },
    outcome: null,
    reason: null,
  },
  subtasks: new Map(),
});

/** Puts a plan's subtasks on a new board. Throws PLAN_INVALID where they cannot be worked off. */
export const fill = (
  draft: Draft,
  planned: readonly PlannedSubtask[],
  brought: readonly TemporaryAgent[] = [],
): void => {
  const guests = guestsOf(draft, brought);
  const problems = [...guests.problems, ...problemsOf(planned, [], withGuests(guests, draft.agentFor))];
  if (problems.length > 0) throw fail('PLAN_INVALID', { problem: told(problems, 1500) });
  const dependents = dependentsIn(planned);
  for (const [order, node] of planned.entries()) {
    const neighbours = { dependents: dependents.get(node.id) ?? [], waiting_for: node.depends_on };
    const part = { ...newPart(draft, node, guests), ...neighbours, order };
    draft.add(part);
    if (part.waiting_for.length === 0) makeReady(draft, part.id);
  }
};

/**
 * Takes the plan that a planner left. True: the planner's subtask is done, whether the board has grown or the
 * node that stands for the plan remains. False: the plan went back.
 */
export const takePlan = (draft: Draft, planner: Subtask, left: PlanLeft, commit: string | null): boolean => {
  const problems = 'problem' in left ? unreadable(draft, planner, left) : grow(draft, planner, left.file);
  if (problems.length === 0) return true;
  const says = told(problems, 3000);
  if (planner.plan_rejections >= draft.rules.planRejectionsMax) {
    const reason = `The plan was refused ${planner.plan_rejections + 1} times, last because: ${says}`.slice(0, 2000);
    draft.change(planner.id, { reason });
    warnOfPlanner(draft, planner, says);
    return true;
  }
  const handOver = {
    why: 'plan_invalid' as const,
    says: `Your .nexus/plan.json cannot be used: ${says} Write it again.`,
    commit: commit ?? planner.hand_over?.commit ?? null,
    log_tail: '',
    files: [],
  };
  makeReady(draft, planner.id, { plan_rejections: planner.plan_rejections + 1, hand_over: handOver }, true);
  return false;
};

/** All that can be told of a plan that cannot be read: whoever mends it should not find the rest one by one. */
const unreadable = (
  draft: Draft,
  planner: Subtask,
  { problem, sketch = [] }: Extract<PlanLeft, { problem: string }>,
) => {
  const standing = draft.all().find((part) => standsForPlanOf(part, planner));
  const others = draft.all().filter((part) => part !== standing);
  const agentFor = withGuests(guestsOf(draft, []), draft.agentFor);
  return [
    problem,
    ...graphProblems(
      sketch,
      others.map(({ id }) => id),
    ).map(({ says }) => says),
    ...sketch.flatMap(({ id, role }) => (role === null ? [] : roleProblems(id, role, agentFor))),
  ];
};

/** Says on the board that a plan was given up: the task may end well without it, and nobody would know. */
const warnOfPlanner = (draft: Draft, planner: Subtask, says: string): void => {
  const standing = draft.all().find((part) => standsForPlanOf(part, planner));
  const instead = standing ? `"${standing.id}" is done as a whole` : 'nothing is added';
  const about = `The plan of "${planner.id}" was refused`;
  const warning = `${about} ${planner.plan_rejections + 1} times, so ${instead}. The last one: ${says}`;
  // A planner whose commit is sent back may come here once more: the last word on its plan counts.
  warn(draft, warning, about);
};

/** Adds to what the task is warned of; what began with the same words before is said again so. */
export const warn = (draft: Draft, warning: string, about = warning): void => {
  const others = (draft.head.warnings ?? []).filter((other) => !other.startsWith(about));
  draft.changeHead({ warnings: [...others, short(warning, 500)].slice(-20) });
};

/** Grows the board by a plan file; what is wrong with it, or nothing. Only a valid plan changes anything. */
const grow = (draft: Draft, planner: Subtask, file: PlanFile): string[] => {
  const board = draft.all();
  const standing = board.find((part) => standsForPlanOf(part, planner)) ?? null;
  const others = board.filter((part) => part !== standing);
  const nodes = file.subtasks.map((node) => ({ ...node, grows: false, stands_for_plan: false }));
  // The name of a subtask that was worked on is not used again: what comes late tells of a name.
  const taken = [...(draft.head.retired ?? []), ...(standing && standing.attempt > 0 ? [standing.id] : [])];
  const ids = others.map(({ id }) => id);
  const guests = guestsOf(draft, file.agents ?? []);
  const problems = [...guests.problems, ...problemsOf(nodes, ids, withGuests(guests, draft.agentFor), taken)];
  if (others.length + nodes.length > draft.rules.subtasksMax) {
    problems.push(`with ${nodes.length} more there would be over ${draft.rules.subtasksMax} subtasks`);
  }
  if (problems.length > 0) return problems;

  const joined = join(nodes, standing ?? planner, standing !== null);
  const followers = (standing ?? planner).dependents.map((id) => follow(draft.part(id), standing, joined.ends));
  const crowded = [...joined.nodes, ...followers].filter((node) => node.depends_on.length > dependenciesMax);
  if (crowded.length > 0) {
    return crowded.map(
      ({ id }) => `"${id}" would depend on more than ${dependenciesMax} subtasks; join some before it`,
    );
  }
  const followed = new Map(followers.map((node) => [node.id, node.depends_on]));
  const all = others.map((part) => ({ id: part.id, depends_on: followed.get(part.id) ?? part.depends_on }));
  const circles = graphProblems([...all, ...joined.nodes]);
  if (circles.length > 0) return circles.map(({ says }) => `on the whole board, ${says}`);

  const begins = joined.nodes.filter(({ id }) => !dependsOnOne(file, id));
  if (standing) draft.remove(standing.id);
  const place = standing?.order ?? planner.order + 1;
  put(
    draft,
    place,
    joined.nodes.map((node) => ({
      ...newPart(draft, node, guests),
      ladder: { ...nothingClimbed.ladder, plans: standing?.ladder.plans ?? 0 },
      // Where one begins alone, it goes on from what the subtask in whose place it stands has left.
      hand_over: begins.length === 1 && node === begins[0] ? (standing?.hand_over ?? null) : null,
    })),
    [...all, ...joined.nodes],
  );
  draft.change(planner.id, { grows: false });
  if (taken.length > 0) draft.changeHead({ retired: [...new Set(taken)] });
  return [];
};

/** The node that a planner's plan replaces: it waits for that planner, and nobody has worked on it. */
const standsForPlanOf = (part: Subtask, planner: Subtask): boolean =>
  part.stands_for_plan && part.state === 'blocked' && part.depends_on.includes(planner.id);

/** Hangs the beginnings of a plan on what its place depended on, and finds its ends. */
const join = (nodes: readonly PlannedSubtask[], place: Subtask, replaced: boolean) => {
  const ids = new Set(nodes.map(({ id }) => id));
  const before = replaced ? place.depends_on : [place.id];
  const dependents = dependentsIn(nodes);
  return {
    ends: nodes.filter(({ id }) => dependents.get(id)?.length === 0).map(({ id }) => id),
    nodes: nodes.map((node) =>
      node.depends_on.some((on) => ids.has(on))
        ? node
        : { ...node, depends_on: [...new Set([...node.depends_on, ...before])] },
    ),
  };
};

/** A subtask behind the plan's place, depending on the plan's ends now. */
const follow = (part: Subtask, standing: Subtask | null, ends: readonly string[]) => ({
  id: part.id,
  depends_on: [...new Set([...part.depends_on.filter((id) => id !== standing?.id), ...ends])],
});

/** True if a node of a plan depends on another of the same plan. */
const dependsOnOne = (file: PlanFile, id: string): boolean => {
  const ids = new Set(file.subtasks.map((node) => node.id));
  return file.subtasks.some((node) => node.id === id && node.depends_on.some((on) => ids.has(on)));
};

/**
 * Puts subtasks before one that waits for them from now on, and in front of it. They have their neighbours
 * before them already.
 */
export const placeBefore = (draft: Draft, id: string, added: readonly Subtask[]): void => {
  const part = draft.part(id);
  const needed = new Set(added.flatMap(({ depends_on }) => depends_on));
  const ends = added.filter((one) => !needed.has(one.id)).map((one) => one.id);
  const follower = { id, depends_on: [...new Set([...part.depends_on, ...ends])] };
  const graph = draft.all().map((one) => (one.id === id ? follower : one));
  put(draft, part.order, added, [...graph, ...added]);
};

/** Puts subtasks on the board at this place; the others get their new neighbours and places. */
const put = (
  draft: Draft,
  place: number,
  added: readonly Subtask[],
  graph: readonly { id: string; depends_on: readonly string[] }[],
): void => {
  const others = draft.all();
  const dependents = dependentsIn(graph);
  const dependsOn = new Map(graph.map((node) => [node.id, [...node.depends_on]]));
  const ended = new Set(others.filter(({ state }) => endedSubtask(state)).map(({ id }) => id));
  const waitingFor = (id: string): string[] => (dependsOn.get(id) ?? []).filter((on) => !ended.has(on));
  // Where a node was taken out, its place is free.
  const shift = added.length - (others.some(({ order }) => order === place) ? 0 : 1);
  for (const part of others) {
    const fields = {
      order: part.order >= place ? part.order + shift : part.order,
      dependents: dependents.get(part.id) ?? [],
      depends_on: dependsOn.get(part.id) ?? [],
      waiting_for: part.state === 'blocked' ? waitingFor(part.id) : part.waiting_for,
    };
    if (differs(part, fields)) draft.change(part.id, fields);
  }
  for (const [index, node] of added.entries()) {
    const neighbours = { dependents: dependents.get(node.id) ?? [], waiting_for: waitingFor(node.id) };
    draft.add({ ...node, ...neighbours, order: place + index });
  }
};

type Place = Pick<Subtask, 'order' | 'dependents' | 'depends_on' | 'waiting_for'>;

const differs = (part: Place, place: Place): boolean =>
  part.order !== place.order ||
  part.dependents.join() !== place.dependents.join() ||
  part.depends_on.join() !== place.depends_on.join() ||
  part.waiting_for.join() !== place.waiting_for.join();

/** What a subtask counts that has not failed yet. */
export const nothingClimbed = {
  ladder: { retries: 0, agents: 0, plans: 0 },
  tried: { agents: [], runtimes: [] },
  other_runtime: null,
} satisfies Partial<Subtask>;

/** A planned subtask as it comes on a board; its place and its neighbours are found there. */
export const newPart = (draft: Draft, node: PlannedSubtask, guests: Guests = noGuests): Subtask => ({
  ...node,
  ...nothingClimbed,
  time_box_level: timeBoxLevelOf(node.time_box_minutes),
  agent_id: withGuests(guests, draft.agentFor)(node.role),
  agent_source: guestFor(guests, node),
  state: 'blocked',
  order: 0,
  dependents: [],
  waiting_for: [],
  attempt: 0,
  failures: 0,
  escalations: 0,
  step: 'first',
  resume_at: null,
  sent_back: 0,
  plan_rejections: 0,
  gate_broken: 0,
  ordered_at: null,
  instance_id: null,
  began_at: null,
  ended_at: null,
  commit: null,
  merged_commit: null,
  report: null,
  evidence: [],
  hand_over: null,
  red: [],
  checks: [],
  history: [],
  reason: null,
});

const guestsOf = (draft: Draft, given: readonly TemporaryAgent[]): Guests =>
  readGuests(given, (name) => {
    try {
      draft.agentFor(name);
      return true;
    } catch {
      return false;
    }
  });

/** The problems as one sentence. */
const told = (problems: readonly string[], charsMax: number): string =>
  `${problems
    .join('; ')
    .slice(0, charsMax - 1)
    .replace(/\.$/, '')}.`;
