/**
 * What becomes of a subtask that was escalated, once the orchestrator has answered.
 *
 *   plan   → a planner is put before it, and it stands for the plan: what is planned is done in its place
 *   person → waiting_for_person, with the other subtasks going on
 *   retry  → ready, every rung of the ladder counted anew; back to the gate if it was the gate that broke
 *
 * An answer counts for the escalation that it names, and once.
 */
import { fail } from '@nexus/shared/errors';
import type { PayloadOf } from '@nexus/shared/messages';
import { endedSubtask, type HandOver, type PlannedSubtask, type Subtask } from '@nexus/shared/messages/domain';
import { newPart, nothingClimbed, placeBefore, warn } from './decompose.ts';
import { makeReady } from './dispatch.ts';
import type { Draft } from './draft.ts';
import { short } from './ending.ts';
import { problemsOf } from './graph.ts';
import { enqueue } from './merge-queue.ts';
import { homeOf } from './routing.ts';

type Answered = PayloadOf<'escalation.answered'>;

/** The orchestrator has answered. An answer to an older escalation than the one that stands changes nothing. */
export const escalationAnswered = (draft: Draft, payload: Answered): void => {
  const part = draft.find(payload.subtask_id);
  if (!part || part.escalations !== payload.number || !isAsking(part)) return;
  if (payload.answer === 'retry') tryAgain(draft, part, payload.says, payload.by);
  else if (part.state === 'waiting_for_person') return;
  else if (payload.answer === 'plan') planBefore(draft, part, payload.subtasks);
  else draft.change(part.id, { state: 'waiting_for_person', reason: short(payload.says, 2000) });
};

/** True while somebody above decides: parked without a time, or waiting for a person. */
const isAsking = ({ state, resume_at }: Subtask): boolean =>
  state === 'waiting_for_person' || (state === 'parked' && resume_at === null);

/** A person wants it tried again: from the first rung, by the agent that the plan names. */
const tryAgain = (draft: Draft, part: Subtask, note: string, by = 'A person'): void => {
  const anew = {
    ...nothingClimbed,
    agent_id: homeOf(draft, part),
    step: 'person' as const,
    sent_back: 0,
    plan_rejections: 0,
    gate_broken: 0,
    reason: null,
  };
  if (part.gate_broken > draft.rules.gateBrokenMax && part.commit !== null) {
    draft.change(part.id, { ...anew, state: 'checking' });
    enqueue(draft, part.id);
  } else {
    makeReady(draft, part.id, { ...anew, hand_over: withNote(part, note, by) }, true);
  }
};

const withNote = ({ hand_over: before, commit }: Subtask, note: string, by: string): HandOver | null => {
  if (note.trim() === '') return before;
  const says = `${by} says: ${note.trim()}`;
  if (before === null) return { why: 'agent_failed', says, commit, log_tail: '', files: [] };
  return { ...before, says: short(`${says}\nBefore that: ${before.says}`, 4000) };
};

/** Puts the beginnings of a new plan before a subtask. They stand where it stood, and it depends on their ends. */
const planBefore = (draft: Draft, part: Subtask, planned: readonly PlannedSubtask[]): void => {
  const board = draft.all();
  const ids = new Set([...board.map(({ id }) => id), ...(draft.head.retired ?? [])]);
  const nodes = renamed(planned, ids);
  const problems = problemsOf(nodes, [...ids], draft.agentFor);
  if (problems.length > 0) throw fail('PLAN_INVALID', { problem: problems.join('; ').slice(0, 1500) });
  const plans = part.ladder.plans + 1;
  const ended = new Set(board.filter(({ state }) => endedSubtask(state)).map(({ id }) => id));
  draft.change(part.id, {
    state: 'blocked',
    step: 'new_plan',
    stands_for_plan: true,
    ladder: { ...part.ladder, plans },
  });
  const parts = nodes.map((node) => ({
    ...newPart(draft, { ...node, depends_on: [...node.depends_on, ...part.depends_on] }),
    waiting_for: [...node.depends_on, ...part.depends_on].filter((id) => !ended.has(id)),
    ladder: { ...nothingClimbed.ladder, plans },
    step: 'new_plan' as const,
    hand_over: part.hand_over,
    // What the subtask leaves behind goes with it once the plan stands in its place; its evidence is not to be lost.
    evidence: part.evidence,
  }));
  placeBefore(draft, part.id, parts);
  for (const one of parts) if (one.waiting_for.length === 0) makeReady(draft, one.id);
  const by = parts.map(({ id }) => `"${id}"`).join(', ');
  warn(draft, `"${part.id}" failed in ${part.attempt} attempts and is planned anew by ${by}: ${part.reason ?? ''}`);
};

/** The nodes under names that nobody has, or ever had: what is late tells of a name. */
const renamed = (planned: readonly PlannedSubtask[], taken: ReadonlySet<string>): PlannedSubtask[] => {
  const names = new Map<string, string>();
  for (const { id } of planned) {
    let name = id;
    for (let number = 2; taken.has(name); number++) name = `${id.slice(0, 44)}-${number}`;
    names.set(id, name);
  }
  const nameOf = (id: string): string => names.get(id) ?? id;
  return planned.map((node) => ({ ...node, id: nameOf(node.id), depends_on: node.depends_on.map(nameOf) }));
};
