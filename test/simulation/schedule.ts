/**
 * One schedule: some tasks, all that a fleet says of them, and a fabric that delivers it in any order, twice,
 * side by side, and with crashes between deciding and settling. Everything follows from the seed.
 */
import assert from 'node:assert/strict';
import type { FollowUp } from '@nexus/shared/bus';
import type { PayloadOf } from '@nexus/shared/messages';
import type { Mode, Subtask } from '@nexus/shared/messages/domain';
import { type BoardMessage, type Decision, decide, Missing, type View } from '../../services/project-manager/board.ts';
import { shareOf } from '../../services/project-manager/dispatch.ts';
import { type MemoryLedger, type NodeGiven, openMemoryLedger, planAccepted, taskFacts } from '../tools/board.ts';
import { answer, type Surroundings, type Trouble } from './crew.ts';
import { openRandom, type Random } from './random.ts';
import { openRepository, type Repository } from './repository.ts';

export type ScheduleOptions = {
  /** Nothing goes wrong but the order in which messages come. */
  calm?: boolean;
};

export type TaskEnd = {
  /** How the board stood when it was last seen; null: there never was one. */
  outcome: string | null;
  codeSubtasks: number;
  gateRuns: number;
  sentBack: number;
  /** What happened to it on the way, so that a test can tell that it did happen. */
  saw: Set<string>;
};

type Task = {
  id: string;
  mode: Mode;
  repository: Repository;
  met: Surroundings['met'];
  completed: number;
  end: TaskEnd;
};
/** A delivery under way: what it has read so far. */
type Delivery = { message: BoardMessage; view: View };
/** How often anything may happen in one schedule: one that needs more goes round in circles. */
const stepsMax = 50_000;

export const runSchedule = (seed: number, options: ScheduleOptions = {}): TaskEnd[] => {
  const random = openRandom(seed);
  const rules = { taskAgentsMax: random.between(1, 8), subtasksMax: 30, readyListedMax: random.between(1, 6) };
  const ledger = openMemoryLedger({ capacity: random.between(1, 12), rules, chance: () => 0.5 });
  const world = openWorld(random, ledger, options);
  for (let tasks = random.between(1, 3); tasks > 0; tasks--) world.accept(`task-${tasks}`);
  for (let steps = 0; world.step(); steps++) assert(steps < stepsMax, 'it goes round in circles');
  return world.ends();
};

const openWorld = (random: Random, ledger: MemoryLedger, { calm = false }: ScheduleOptions) => {
  const level = calm ? 0 : random.pick([0, 0.1, 0.3]);
  const trouble: Trouble = { agents: level, gate: level, merges: level / 2, plans: calm ? 0 : level * 2 };
  const tasks = new Map<string, Task>();
  const inbox: BoardMessage[] = [];
  const elsewhere: FollowUp[] = [];
  const deliveries: Delivery[] = [];
  let copies = 0;

  const taskOf = (id: string): Task => tasks.get(id) ?? assert.fail(`nobody submitted ${id}`);
  const around = (task: Task): Surroundings => ({
    random,
    trouble,
    repository: task.repository,
    subtasks: () => ledger.boards.get(task.id)?.subtasks ?? new Map<string, Subtask>(),
    taskEnded: () => ledger.tasks.get(task.id)?.status !== 'in_progress',
    giveUp: () => {
      const facts = ledger.tasks.get(task.id);
      if (facts?.status === 'in_progress') ledger.tasks.set(task.id, { ...facts, status: 'failed' });
    },
    met: task.met,
  });
  const start = (message: BoardMessage): Delivery => {
    const { payload } = message;
    return { message, view: ledger.view(payload.task_id, 'subtask_id' in payload ? [payload.subtask_id] : []) };
  };
  const settled = (message: BoardMessage, published: readonly FollowUp[]): void => {
    const task = taskOf(message.payload.task_id);
    // A verdict that comes twice counts twice here, whatever the board makes of it.
    if (message.type === 'verdict.reached' && message.payload.verdict === 'broken') task.met.broken++;
    look(task, ledger);
    for (const followUp of published) {
      if (followUp.type === 'board.completed') complete(task, followUp.payload as PayloadOf<'board.completed'>, ledger);
      else elsewhere.push(followUp);
      if (followUp.type === 'merge.requested')
        assertMerge(task, followUp.payload as PayloadOf<'merge.requested'>, ledger);
    }
  };
  /** A delivery goes one step on: it reads what it lacks, or decides and settles. */
  const proceed = (delivery: Delivery): void => {
    const { message } = delivery;
    const decision = decide(delivery.view, message, 0);
    if (decision instanceof Missing) {
      deliveries.push({ message, view: ledger.more(delivery.view, decision) });
      return;
    }
    assertShare(delivery.view, decision);
    // The process dies with its decision in hand: the message is delivered again.
    if (!calm && random.chance(0.03)) inbox.push(message);
    else if (ledger.settle(message.payload.task_id, delivery.view.board?.revision ?? 0, decision)) {
      settled(message, decision.publish);
    } else deliveries.push(start(message));
  };
  /** A claim does not live through the time that a person takes to cancel a task and then to delete it. */
  const isPlanInHand = ({ id }: Task): boolean =>
    deliveries.some(({ message }) => message.type === 'plan.accepted' && message.payload.task_id === id);
  const meddle = (): void => {
    const task = random.pick([...tasks.values()]);
    const facts = ledger.tasks.get(task.id);
    if (facts && facts.status === 'in_progress' && random.chance(0.3)) {
      ledger.tasks.set(task.id, { ...facts, status: 'cancelled' });
      inbox.push({ type: 'board.cancelled', payload: { task_id: task.id, reason: 'No longer wanted.' } });
    } else if (facts && facts.status !== 'in_progress' && !isPlanInHand(task)) {
      task.end.saw.add('discarded');
      ledger.tasks.delete(task.id);
      inbox.push({ type: 'board.discarded', payload: { task_id: task.id } });
    }
  };

  return {
    accept: (id: string): void => {
      const mode = random.chance(0.2) ? 'sequential' : 'parallel';
      const met = { candidates: 0, gateRuns: 0, refused: 0, broken: 0, moved: 0, escalated: 0 };
      const repository = openRepository(id);
      const end = { outcome: null, codeSubtasks: 0, gateRuns: 0, sentBack: 0, saw: new Set<string>() };
      tasks.set(id, { id, mode, repository, met, completed: 0, end });
      ledger.tasks.set(id, { ...taskFacts, mode });
      inbox.push(planAccepted(id, nodesBy(random), mode));
    },
    /** Something happens; false once nothing is left to happen. */
    step: (): boolean => {
      if (inbox.length + elsewhere.length + deliveries.length === 0) return false;
      if (!calm && random.chance(0.003)) meddle();
      const choice = random.below(inbox.length + elsewhere.length + 2 * deliveries.length);
      if (choice < inbox.length) {
        const message = random.draw(inbox);
        if (!calm && copies < 40 && random.chance(0.05)) {
          copies++;
          inbox.push(message);
        }
        if (deliveries.length < 4) deliveries.push(start(message));
        else inbox.push(message);
      } else if (choice < inbox.length + elsewhere.length) {
        const message = random.draw(elsewhere);
        const { task_id: taskId } = message.payload as { task_id: string };
        inbox.push(...answer(message, around(taskOf(taskId))));
      } else proceed(random.draw(deliveries));
      return true;
    },
    ends: (): TaskEnd[] => {
      assert.equal(ledger.load.size, 0, 'whoever has ended holds no slot');
      for (const { head } of ledger.boards.values()) assert(head.outcome !== null, `${head.task_id} never ends`);
      return [...tasks.values()].map(({ end }) => end);
    },
  };
};

/** The orchestrator hears of the end: once, and only of what is true. */
const complete = (task: Task, payload: PayloadOf<'board.completed'>, ledger: MemoryLedger): void => {
  task.completed++;
  assert.equal(task.completed, 1, `${task.id} has ended twice`);
  const facts = ledger.tasks.get(task.id);
  if (facts?.status === 'in_progress') ledger.tasks.set(task.id, { ...facts, status: payload.outcome });
  const board = ledger.boards.get(task.id) ?? assert.fail('a board that completes is there');
  if (payload.outcome === 'failed') {
    const authors = board.head.red.map((id) => board.subtasks.get(id) as Subtask);
    const unread = authors.some(({ dependents }) => !dependents.some((id) => board.subtasks.get(id)?.kind === 'code'));
    assert(
      unread || !payload.reason?.startsWith('TESTS_LEFT_RED'),
      'whoever came last left tests red, and the gate let it pass',
    );
    return;
  }
  const code = [...board.subtasks.values()].filter(({ merged_commit }) => merged_commit !== null);
  const { subtasks, red } = task.repository.content(payload.commit ?? assert.fail('it completes with a commit'));
  assert.deepEqual([...subtasks].sort(), code.map(({ id }) => id).sort(), 'all that was merged is in it');
  assert.equal(red.size, 0, 'nothing red is completed');
};

/** What is merged is the current attempt's commit, tested on the head that stands. */
const assertMerge = (task: Task, payload: PayloadOf<'merge.requested'>, ledger: MemoryLedger): void => {
  const board = ledger.boards.get(task.id) ?? assert.fail('a board that merges is there');
  assert.equal(payload.base, board.head.integration, 'it was tested on another head');
  const commit = board.subtasks.get(payload.subtask_id)?.commit;
  assert.equal(task.repository.broughtInBy(payload.tested_commit), commit, 'another commit was tested');
};

/** Looks at a board after each change of it. */
const look = (task: Task, ledger: MemoryLedger): void => {
  const board = ledger.boards.get(task.id);
  if (!board) return;
  const { head } = board;
  const parts = [...board.subtasks.values()];
  const most = task.mode === 'sequential' ? 1 : ledger.rules.taskAgentsMax;
  assert(head.dispatched.length <= most, 'a task works with no more agents than it may');
  assert(task.end.outcome === null || task.end.outcome === head.outcome, 'a board that has ended stays so');
  assert(head.sent_back <= task.met.refused, 'one refusal sends back once');
  const codeSubtasks = parts.filter((part) => part.kind !== 'report').length;
  // Whoever was escalated may come back to the gate with the same commit, and a new plan replaces who was there.
  const again = task.met.broken + task.met.moved + task.met.escalated;
  const candidatesMax = codeSubtasks + (head.retired ?? []).length + head.sent_back + again;
  assert(task.met.candidates <= candidatesMax, `${task.met.candidates} gates for ${candidatesMax} reasons`);
  task.end = {
    outcome: head.outcome,
    codeSubtasks,
    gateRuns: task.met.gateRuns,
    sentBack: head.sent_back,
    saw: task.end.saw,
  };
  const saw = (what: string, happened: boolean) => happened && task.end.saw.add(what);
  saw('sent back', head.sent_back > 0);
  saw('gate broken', task.met.broken > 0);
  saw('integration moved', task.met.moved > 0);
  saw(
    'tried again',
    parts.some((part) => part.failures > 0 && part.attempt > 1),
  );
  saw(
    'other agent',
    parts.some((part) => part.ladder.agents > 0),
  );
  saw(
    'planned anew',
    parts.some((part) => part.ladder.plans > 0),
  );
  saw('waited for a person', (head.counts.waiting_for_person ?? 0) > 0);
  saw('grown', board.subtasks.has('planner-0'));
  saw(
    'plan refused',
    parts.some((part) => part.plan_rejections > 0),
  );
  saw(
    'plan given up',
    (head.warnings ?? []).some((warning) => warning.includes('is done as a whole')),
  );
  saw('red merged', head.red.length > 0);
  saw('three at once', head.dispatched.length >= 3);
};

/** What is started while others work is within the share that the decision knew of. */
const assertShare = (view: View, decision: Decision): void => {
  const before = view.board?.head.dispatched.length ?? 0;
  const after = decision.head?.dispatched.length ?? before;
  if (decision.load <= 0 || !view.slots || view.board?.head.mode === 'sequential') return;
  assert(after <= Math.max(1, shareOf(view.slots, view.taskId)), `${view.taskId} takes more than its share`);
};

const nodesBy = (random: Random): NodeGiven[] => {
  if (random.chance(0.4)) return workflow(random);
  const ids = Array.from({ length: random.between(1, 8) }, (_, at) => `node-${at}`);
  return ids.map((id, at) => ({
    id,
    kind: random.pick(['code', 'code', 'code', 'report', 'tests_first'] as const),
    depends_on: random.some(ids.slice(0, at), 0.35),
  }));
};

/** A planner, the node that stands for its plan, and what may come before and after. */
const workflow = (random: Random): NodeGiven[] => {
  const analyst = random.chance(0.5);
  const nodes: NodeGiven[] = analyst ? [{ id: 'analyst', role: 'analyst', kind: 'report' }] : [];
  const before = analyst ? ['analyst'] : [];
  nodes.push({ id: 'planner', role: 'planner', kind: 'report', grows: true, depends_on: before });
  if (random.chance(0.9)) nodes.push({ id: 'builder', stands_for_plan: true, depends_on: ['planner', ...before] });
  if (random.chance(0.5)) {
    const last = nodes.at(-1)?.id ?? 'planner';
    nodes.push({ id: 'tester', role: 'tester', depends_on: [last] });
    nodes.push({ id: 'reviewer', role: 'reviewer', kind: 'report', depends_on: ['tester', last] });
  }
  return nodes;
};
