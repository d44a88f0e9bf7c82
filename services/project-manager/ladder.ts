/**
 * The ladder that a subtask climbs while it fails. Every rung is bounded by a setting, counted on the subtask
 * (`ladder`), and named by the history of its attempts (`step`).
 *
 *   failed ─ a retry is left, and one may help → parked, holding no slot → backoff.elapsed → ready
 *          ├ an agent is left that has not failed at it, or a runtime → ready, with that
 *          └ else → parked without a time, and the orchestrator is asked: `escalation.ts` takes its answer
 *
 * What every agent would meet alike is not tried with another one: it goes to another runtime, or to a person at once.
 * What a gate sends back too often begins at the second rung; what is nobody's fault (the gate itself is broken,
 * a merge cannot be made) at the third, and no new plan is asked for. Another agent or runtime has one attempt:
 * whoever wants more raises the number of retries.
 */
import { type ErrorCode, errorTable } from '@nexus/shared/errors';
import type { HandOver, Subtask } from '@nexus/shared/messages/domain';
import { warn } from './decompose.ts';
import { makeReady } from './dispatch.ts';
import type { Draft } from './draft.ts';
import { failSubtask, short } from './ending.ts';
import { homeOf } from './routing.ts';

/** Why a subtask cannot go on as it is, and what the next attempt is told. */
export type Failure = { code: string | null; says: string; handOver: HandOver };

/** Codes that say how a delivery died, not what was wrong with the work: another attempt may well succeed. */
const deathsOfDeliveries = new Set(['RETRIES_EXHAUSTED']);
const permanent = new Set<string>(
  errorTable().flatMap(([code, entry]) => (entry.outcome === 'dead' && !deathsOfDeliveries.has(code) ? [code] : [])),
);
/** What is wrong with the request itself: nobody mends that by trying it again, no person either. */
const hopeless = new Set(['SCENARIO_INVALID', 'REQUEST_INVALID']);

/** Failures that every agent would meet alike: what can mend them, beside the retries where these make sense. */
const mendedBy = new Map<string, 'another runtime' | 'a person'>([
  ['NO_RUNTIME', 'another runtime'],
  ['RUNTIME_UNKNOWN', 'another runtime'],
  ['AGENT_COMMAND_MISSING', 'another runtime'],
  ['COMMAND_MISSING', 'another runtime'],
  ['AGENT_PROGRAM_MISSING', 'another runtime'],
  // A key that is refused is refused to all that have it.
  ['MODEL_KEY_REFUSED', 'another runtime'],
  ['LOGIN_REFUSED', 'another runtime'],
  // Each try costs three workers their lives, and their other attempts with them.
  ['POISON', 'another runtime'],
  // Whose account is to be charged in its place is not for us to say.
  ['CREDIT_SPENT', 'a person'],
  // It fails before there is an agent, and with every runtime.
  ['WORKSPACE_SETUP', 'a person'],
] satisfies [ErrorCode, 'another runtime' | 'a person'][]);

/** An attempt has failed: the first rung that is left. */
export const climb = (draft: Draft, part: Subtask, failure: Failure): void => {
  const { code, says } = failure;
  if (hopeless.has(code ?? '')) {
    failSubtask(draft, part.id, code ? `${code}: ${says}` : says);
  } else if (part.ladder.retries < draft.rules.retries && !permanent.has(code ?? '')) {
    const { retries } = part.ladder;
    draft.change(part.id, { step: 'retry', ladder: { ...part.ladder, retries: retries + 1 } });
    park(draft, part.id, draft.chance * draft.waitMs(retries), { hand_over: failure.handOver });
  } else {
    climbHigher(draft, part, failure);
  }
};

/** No retry helps: another agent, another runtime, or the orchestrator decides. */
export const climbHigher = (draft: Draft, part: Subtask, failure: Failure): void => {
  const tried = triedBy(part);
  const other = part.ladder.agents < draft.rules.otherAgentsMax ? anotherWay(draft, part, tried, failure.code) : null;
  draft.change(part.id, { tried });
  if (other === null) {
    const mayPlan = !part.grows && !permanent.has(failure.code ?? '');
    // Smaller subtasks would meet the same.
    escalate(draft, part, failure, mayPlan && !mendedBy.has(failure.code ?? ''));
    return;
  }
  if (other.other_runtime) tellOtherRuntime(draft, part, other.other_runtime, failure);
  const ladder = { ...part.ladder, agents: part.ladder.agents + 1 };
  makeReady(draft, part.id, { ...other, ladder, hand_over: failure.handOver, red: [] }, true);
};

/** Asks the orchestrator; the subtask holds nothing until the answer comes. */
export const escalate = (
  draft: Draft,
  part: Subtask,
  failure: Failure,
  mayPlan: boolean,
  questions: string[] = [],
): void => {
  const { code, says } = failure;
  const reason = short(code ? `${code}: ${says}` : says, 2000);
  const escalations = part.escalations + 1;
  draft.change(part.id, { state: 'parked', resume_at: null, hand_over: failure.handOver, escalations, reason });
  draft.publish(
    'escalation.raised',
    {
      task_id: draft.taskId,
      subtask_id: part.id,
      number: escalations,
      attempts: part.attempt,
      plans: part.ladder.plans,
      may_plan: mayPlan,
      title: part.title,
      goal: part.goal,
      reason,
      ...(questions.length === 0 ? {} : { questions, attempt: part.attempt, agent_id: part.agent_id }),
    },
    { key: `${part.id}-${escalations}` },
  );
};

/** Holds a subtask back for a while, without a slot; `backoff.elapsed` brings it on. */
export const park = (draft: Draft, id: string, delayMs: number, fields: Partial<Subtask>): void => {
  const wait = Math.round(delayMs);
  const { attempt } = draft.change(id, {
    ...fields,
    state: 'parked',
    resume_at: new Date(draft.now + wait).toISOString(),
  });
  draft.publish(
    'backoff.elapsed',
    { task_id: draft.taskId, subtask_id: id, attempt },
    { key: `${id}-${attempt}`, delayMs: wait },
  );
};

/** Where an attempt cannot even begin, another runtime helps rather than another agent; or neither does. */
const anotherWay = (
  draft: Draft,
  part: Subtask,
  tried: Subtask['tried'],
  code: string | null,
): Partial<Subtask> | null => {
  const agent = () => anotherAgent(draft, part, tried);
  const runtime = () => anotherRuntime(draft, part, tried);
  const mend = mendedBy.get(code ?? '');
  if (mend !== undefined) return mend === 'another runtime' ? runtime() : null;
  return permanent.has(code ?? '') ? (runtime() ?? agent()) : (agent() ?? runtime());
};

/** Another runtime may be paid by another account: nobody is charged without a word. */
const tellOtherRuntime = (draft: Draft, part: Subtask, name: string, { code, says }: Failure): void => {
  const about = `"${part.id}" goes on with the runtime "${name}", on its account`;
  warn(draft, `${about}, since the one before failed: ${code ? `${code}: ${says}` : says}`, about);
};

const anotherAgent = (draft: Draft, part: Subtask, tried: Subtask['tried']): Partial<Subtask> | null => {
  const other = draft.othersFor(homeOf(draft, part)).find((id) => !tried.agents.includes(id));
  return other === undefined ? null : { agent_id: other, agent_source: null, step: 'other_agent' };
};

/** Only among those that living workers say are usable, and only where neither the plan nor the task asked for one. */
const anotherRuntime = (draft: Draft, part: Subtask, tried: Subtask['tried']): Partial<Subtask> | null => {
  if (part.runtime !== undefined || draft.task()?.runtimeAsked !== false) return null;
  const other = draft.runtimes().find((name) => !tried.runtimes.includes(name));
  return other === undefined ? null : { other_runtime: other, step: 'other_runtime' };
};

const triedMax = 32;

/** Who has failed at it so far, this agent and its runtime among them. */
const triedBy = ({ tried, agent_id, history, other_runtime }: Subtask): Subtask['tried'] => {
  const ran = history.findLast(({ runtime }) => runtime)?.runtime ?? other_runtime;
  return {
    agents: [...new Set([...tried.agents, agent_id])].slice(-triedMax),
    runtimes: [...new Set([...tried.runtimes, ...(ran ? [ran] : [])])].slice(-triedMax),
  };
};
