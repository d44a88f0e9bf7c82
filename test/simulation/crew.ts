/**
 * Models of those who answer the project manager: workers that succeed, fail, vanish or stop, planners that
 * plan well or badly, a gate that passes, refuses or breaks, and a finalizer that merges or comes too late.
 * Each takes one message and answers with those that it would publish.
 */
import assert from 'node:assert/strict';
import type { FollowUp } from '@nexus/shared/bus';
import type { PayloadOf } from '@nexus/shared/messages';
import type { CheckState, PlanFile, PlannedSubtask, Subtask } from '@nexus/shared/messages/domain';
import { planFile } from '@nexus/shared/messages/domain';
import type { BoardMessage } from '../../services/project-manager/board.ts';
import { attemptBegun, attemptFinished, check, mergeFinished, node, verdictReached } from '../tools/board.ts';
import type { Random } from './random.ts';
import type { Repository } from './repository.ts';

/** How much goes wrong, 0 to 1. */
export type Trouble = { agents: number; gate: number; merges: number; plans: number };

export type Surroundings = {
  random: Random;
  trouble: Trouble;
  repository: Repository;
  /** The board as it stands, for what is asserted of it. */
  subtasks(): ReadonlyMap<string, Subtask>;
  taskEnded(): boolean;
  /** Nobody wants to go on with the task. */
  giveUp(): void;
  /** Counts what the bound on gate runs is about. */
  met: { candidates: number; gateRuns: number; refused: number; broken: number; moved: number; escalated: number };
};

/** What the addressee of a follow-up answers. */
export const answer = (message: FollowUp, around: Surroundings): BoardMessage[] => {
  switch (message.type) {
    case 'subtask.dispatched':
      return work(message.payload as PayloadOf<'subtask.dispatched'>, around);
    case 'candidate.submitted':
      return gate(message.payload as PayloadOf<'candidate.submitted'>, around);
    case 'merge.requested':
      return merge(message.payload as PayloadOf<'merge.requested'>, around);
    case 'backoff.elapsed':
      return [{ type: 'backoff.elapsed', payload: message.payload as PayloadOf<'backoff.elapsed'> }];
    case 'escalation.raised':
      return decide(message.payload as PayloadOf<'escalation.raised'>, around);
    default:
      return assert.fail(`the project manager published ${message.type}`);
  }
};

/** The orchestrator plans anew once, then asks a person, who lets it be tried again or gives the task up. */
const decide = (payload: PayloadOf<'escalation.raised'>, around: Surroundings): BoardMessage[] => {
  const { task_id, subtask_id, number, may_plan, plans, reason } = payload;
  around.met.escalated++;
  const answered = (answer: 'plan' | 'person' | 'retry', subtasks: PlannedSubtask[] = []): BoardMessage => ({
    type: 'escalation.answered',
    payload: { task_id, subtask_id, number, answer, subtasks, says: reason },
  });
  if (may_plan && plans === 0) {
    return [
      answered('plan', [
        node({ id: `replan-${subtask_id}`.slice(0, 40), role: 'planner', kind: 'report', grows: true }),
      ]),
    ];
  }
  // A person's word may overtake that of the orchestrator.
  if (number < 3 && around.random.chance(0.5)) return [answered('person'), answered('retry')];
  around.giveUp();
  return [answered('person'), { type: 'board.cancelled', payload: { task_id, reason } }];
};

const ofMessage = ({ task_id, subtask_id, attempt }: { task_id: string; subtask_id: string; attempt: number }) => ({
  task_id,
  subtask_id,
  attempt,
});

const work = (payload: PayloadOf<'subtask.dispatched'>, around: Surroundings): BoardMessage[] => {
  const { random, trouble } = around;
  const of = ofMessage(payload);
  if (around.taskEnded()) return [attemptFinished(of, { outcome: 'aborted' })];
  assertStart(payload, around);
  const answers: BoardMessage[] = random.chance(0.9) ? [attemptBegun(of)] : [];
  if (random.chance(trouble.agents)) {
    const outcome = random.pick(['failed', 'timed_out', 'stuck', 'lost', 'aborted', 'finished'] as const);
    const wip = random.chance(0.5) ? commitBy(payload, around) : null;
    const code = random.chance(0.05) ? 'COMMAND_MISSING' : outcome === 'finished' ? null : 'AGENT_FAILED';
    answers.push(attemptFinished(of, { outcome, code, wip, files: ['a.js'], log_tail: 'log' }));
  } else if (payload.grows) {
    answers.push(attemptFinished(of, { plan: planOf(payload, around) }));
  } else {
    answers.push(attemptFinished(of, { commit: payload.kind === 'report' ? null : commitBy(payload, around) }));
  }
  // A letter that died and was replayed tells of its attempt twice, in different words.
  if (random.chance(trouble.agents / 5)) answers.push(attemptFinished(of, { outcome: 'lost', code: 'POISON' }));
  return answers;
};

const assertStart = (payload: PayloadOf<'subtask.dispatched'>, { subtasks, repository }: Surroundings): void => {
  const part = subtasks().get(payload.subtask_id);
  // A message that lay for long may tell of a node that a plan has replaced, or of an attempt long over.
  if (part?.attempt !== payload.attempt) return;
  const held = repository.content(payload.integration).subtasks;
  for (const id of part.depends_on) {
    const on = subtasks().get(id);
    assert(on && ['merged', 'reported'].includes(on.state), `${part.id} began before ${id} had ended`);
    if (on.state === 'merged') assert(held.has(id), `${part.id} began from where ${id} is not yet in`);
  }
};

const testsOf = (subtask: string): string[] => [`${subtask}.a`, `${subtask}.b`];

const commitBy = (payload: PayloadOf<'subtask.dispatched'>, { random, subtasks, repository }: Surroundings): string => {
  const part = subtasks().get(payload.subtask_id);
  const authors = (part?.depends_on ?? []).filter((id) => subtasks().get(id)?.kind === 'tests_first');
  const red = authors.flatMap(testsOf);
  return repository.commit({
    subtask: payload.subtask_id,
    attempt: payload.attempt,
    adds: payload.kind === 'tests_first' ? testsOf(payload.subtask_id) : [],
    // Sent back, an agent tries harder.
    greens: payload.hand_over?.why === 'gate_failed' || random.chance(0.6) ? red : random.some(red, 0.5),
  });
};

type PlanLeft = PayloadOf<'attempt.finished'>['plan'];

const planOf = (payload: PayloadOf<'subtask.dispatched'>, { random, trouble }: Surroundings): PlanLeft => {
  if (random.chance(0.1)) return null;
  const count = random.between(1, 6);
  const ids = Array.from({ length: count }, (_, at) => `${payload.subtask_id}-${at}`);
  const subtasks: PlanFile['subtasks'][number][] = ids.map((id, at) => ({
    id,
    title: id,
    role: random.pick(['builder', 'tester', 'documenter']),
    kind: random.chance(0.15) ? 'report' : 'code',
    goal: `Do ${id}`,
    acceptance: [],
    depends_on: random.some(ids.slice(0, at), 0.3),
    files: [],
    time_box_minutes: 10,
  }));
  if (random.chance(trouble.plans)) {
    const flaw = random.pick(['problem', 'cycle', 'unknown', 'twice', 'role', 'occupied'] as const);
    const [first] = subtasks;
    if (flaw === 'problem' || !first) return { problem: 'It is not JSON.' };
    if (flaw === 'cycle') first.depends_on = [ids.at(-1) ?? first.id, first.id];
    if (flaw === 'unknown') first.depends_on = ['nobody'];
    if (flaw === 'twice') subtasks.push({ ...first });
    if (flaw === 'role') first.role = 'wizard';
    if (flaw === 'occupied') first.id = payload.subtask_id;
  }
  return { file: planFile.parse({ subtasks }) };
};

const gate = (payload: PayloadOf<'candidate.submitted'>, around: Surroundings): BoardMessage[] => {
  const { random, trouble, repository, met } = around;
  const of = ofMessage(payload);
  const base = payload.integration;
  met.candidates++;
  const runs = 1 + (payload.before === null ? 1 : 0);
  const before = payload.before === null ? [checkIn('passed')] : null;
  const fields = { base, before, gate_runs: runs };
  const told = (more: Partial<PayloadOf<'verdict.reached'>>): BoardMessage[] => {
    met.gateRuns += runs;
    if (more.verdict === 'failed' || more.verdict === 'conflict') met.refused++;
    const verdict = verdictReached(of, { ...fields, ...more });
    return random.chance(trouble.gate / 5) ? [verdict, verdict] : [verdict];
  };
  if (random.chance(trouble.gate)) {
    const verdict = random.pick(['failed', 'conflict', 'broken'] as const);
    const checks = verdict === 'failed' ? [checkIn('failed')] : [];
    return told({ verdict, checks, files: verdict === 'conflict' ? ['a.js'] : [], says: verdict });
  }
  // Merged by a push that the ledger has forgotten: git is the truth, and the merge will say so.
  const tested = repository.candidate(payload.commit, payload.attempt, base);
  const own = payload.kind === 'tests_first' ? testsOf(payload.subtask_id) : [];
  const still = [...tested.red].filter((test) => payload.allowed_red.includes(test) || own.includes(test));
  if (still.length < tested.red.size)
    return told({ verdict: 'failed', checks: [checkIn('failed')], says: 'still red' });
  repository.prove(tested.commit);
  // Where tests are red something is declared that can fail; only elsewhere may a gate have nothing to run.
  const redBefore = repository.content(base).red.size;
  const verdict = random.chance(0.1) && still.length + redBefore === 0 ? 'unproven' : 'passed';
  const checks = verdict === 'passed' ? [checkIn('passed')] : [checkIn('skipped')];
  return told({ verdict, tested_commit: tested.commit, still_red: still, checks });
};

const checkIn = (state: CheckState) => check({ state, log_tail: 'a log' });

const merge = (payload: PayloadOf<'merge.requested'>, around: Surroundings): BoardMessage[] => {
  const { random, trouble, repository, met } = around;
  if (random.chance(trouble.merges / 8)) {
    return [mergeFinished(ofMessage(payload), { outcome: 'failed', says: 'The hub is gone.' })];
  }
  // Somebody left a lock; but the marker is looked at first, so this is never said of what is merged.
  if (!repository.isMerged(payload.subtask_id) && random.chance(trouble.merges / 4)) {
    return [mergeFinished(ofMessage(payload), { outcome: 'moved', commit: repository.integration, says: 'locked' })];
  }
  if (random.chance(trouble.merges)) repository.disturb();
  const merged = repository.merge(payload.subtask_id, payload.base, payload.tested_commit);
  if (merged.outcome === 'moved') met.moved++;
  const told = mergeFinished(ofMessage(payload), merged);
  return random.chance(trouble.merges / 5) ? [told, told] : [told];
};
