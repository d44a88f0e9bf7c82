/**
 * Attempts: what becomes of a subtask when a worker says that one began or ended.
 *
 * A result counts only for the attempt that holds the subtask's slot; all else came too late and changes
 * nothing. A good report ends its subtask, a commit goes to the merge queue, a plan grows the board. What
 * failed climbs the ladder (`ladder.ts`), and the next attempt goes on from where it stopped. An attempt that was
 * stopped from outside counts nothing.
 */
import { type ErrorCode, fail } from '@nexus/shared/errors';
import type { PayloadOf } from '@nexus/shared/messages';
import { type Cost, endedTask, type HandOver, type Subtask } from '@nexus/shared/messages/domain';
import { takePlan } from './decompose.ts';
import { freeSlot, isRunning, makeReady, release } from './dispatch.ts';
import type { Draft } from './draft.ts';
import { cancelBoard } from './ending.ts';
import { remember } from './history.ts';
import { climb, escalate, park } from './ladder.ts';
import { noteAttempt, noteMended } from './lessons.ts';
import { enqueue } from './merge-queue.ts';
import { book } from './routing.ts';

type Finished = PayloadOf<'attempt.finished'>;

/** A worker has begun an attempt, or taken it over from one that is gone. */
export const attemptBegun = (draft: Draft, payload: PayloadOf<'attempt.begun'>): void => {
  const part = draft.find(payload.subtask_id);
  if (!part || !isRunning(draft, part, payload.attempt)) return;
  if (part.state === 'working' && part.instance_id !== payload.instance_id) {
    draft.change(part.id, { instance_id: payload.instance_id });
  }
  if (part.state !== 'ready') return;
  draft.change(part.id, { state: 'working', instance_id: payload.instance_id, began_at: payload.began_at });
};

/** The wait of a parked subtask is over: its next attempt may begin. */
export const backoffElapsed = (draft: Draft, { subtask_id, attempt }: PayloadOf<'backoff.elapsed'>): void => {
  const part = draft.find(subtask_id);
  if (part?.state !== 'parked' || part.attempt !== attempt || part.resume_at === null) return;
  makeReady(draft, part.id, {}, true);
};

/** An attempt has ended, well or not. */
export const attemptFinished = (draft: Draft, told: Finished): void => {
  const part = draft.find(told.subtask_id);
  if (!part || !isRunning(draft, part, told.attempt)) return;
  const payload = isIdle(part, told) ? idle(told) : told;
  freeSlot(draft, part.id);
  draft.changeHead({ cost: sum(draft.head.cost, payload.cost) });
  const booked = draft.change(part.id, {
    history: remember(draft, part, { ...payload, began_at: payload.began_at ?? part.began_at }),
    evidence: [...part.evidence, ...(payload.evidence ? [payload.evidence] : [])].slice(-64),
    instance_id: payload.instance_id ?? part.instance_id,
  });
  noteAttempt(draft, booked, payload);
  if (payload.outcome === 'aborted' || payload.code === 'TASK_ENDED') aborted(draft, booked, payload);
  else if (payload.outcome === 'finished') finished(draft, booked, payload);
  else if (waitsForMoney.has(payload.code ?? '')) broke(draft, booked, payload);
  else failed(draft, booked, payload);
};

/** A subtask that asks for a commit ended well without one; a planner's plan is as good. */
const isIdle = (part: Subtask, payload: Finished): boolean =>
  payload.outcome === 'finished' && part.kind !== 'report' && payload.commit === null && !(part.grows && payload.plan);

const idle = (payload: Finished): Finished => ({
  ...payload,
  outcome: 'failed',
  code: 'AGENT_IDLE',
  says: `${fail('AGENT_IDLE').message} ${payload.says}`.trim().slice(0, 2000),
});

const finished = (draft: Draft, part: Subtask, payload: Finished): void => {
  passOn(draft, part, payload);
  if (part.grows && payload.plan && !takePlan(draft, part, payload.plan, payload.commit)) return;
  const { commit, report } = payload;
  if (part.kind === 'report' || commit === null) {
    draft.stat(`agent:${payload.agent_id}:completed`);
    book(draft, part, 'ok');
    const ended = draft.change(part.id, { state: 'reported', commit, report, hand_over: null, ended_at: draft.at });
    noteMended(draft, ended);
    release(draft, ended);
  } else {
    draft.change(part.id, { state: 'checking', commit, report });
    enqueue(draft, part.id);
  }
};

const failed = (draft: Draft, part: Subtask, payload: Finished): void => {
  draft.stat(`agent:${payload.agent_id}:failed`);
  const failures = part.failures + 1;
  const says = payload.says || payload.code || payload.outcome;
  const handOver = handedOn(part, payload, payload.outcome === 'lost' ? 'worker_lost' : 'agent_failed');
  const booked = draft.change(part.id, { failures });
  const questions = questionsIn(payload);
  if (questions.length > 0 && couldNotGoOn.has(payload.code ?? '')) {
    const reason = `${says} The agent asks: ${questions.join(' ')}`;
    escalate(draft, booked, { code: payload.code, says: reason, handOver }, false, questions);
    return;
  }
  book(draft, part, 'failed', payload.code);
  passOn(draft, part, payload);
  climb(draft, booked, { code: payload.code, says, handOver });
};

/** Nothing was changed, or it gave up: where it left questions, no further try helps before they are answered. */
const couldNotGoOn: ReadonlySet<string> = new Set<ErrorCode>(['AGENT_IDLE', 'AGENT_ASKS']);

const questionsIn = ({ report }: Finished): string[] =>
  (report?.agent_feedback.additional_questions ?? []).map((text) => text.trim()).filter((text) => text !== '');

/** Questions that nobody waits for; the work goes on by what the agent assumed. */
const passOn = (draft: Draft, part: Subtask, payload: Finished): void => {
  const questions = questionsIn(payload);
  if (questions.length === 0) return;
  const { task_id, subtask_id, attempt, agent_id } = payload;
  const asked = { task_id, subtask_id, attempt, agent_id, questions };
  draft.publish('questions.asked', asked, { key: `${part.id}-${attempt}` });
};

/** No other agent or runtime has more: only a person can say whether it is worth it. */
const waitsForMoney: ReadonlySet<string> = new Set<ErrorCode>(['BUDGET_SPENT', 'PRICE_UNKNOWN']);

/** Nobody failed at it, so nothing is counted; it goes on from its saved work once a person has decided. */
const broke = (draft: Draft, part: Subtask, payload: Finished): void => {
  const handOver = handedOn(part, payload, 'stopped');
  escalate(draft, part, { code: payload.code, says: payload.says, handOver }, false);
};

/** Stopped or cancelled from outside: nothing is counted, and it goes on where it was, unless its task has ended. */
const aborted = (draft: Draft, part: Subtask, payload: Finished): void => {
  const task = draft.task();
  if (task === null || endedTask(task.status)) {
    cancelBoard(draft, task ? `The task is ${task.status}.` : 'The task is gone.');
    return;
  }
  park(draft, part.id, draft.chance * draft.waitMs(0), { hand_over: handedOn(part, payload, 'stopped') });
};

/** What the next attempt is told: this end, and what it was asked to mend if this attempt did not get to it. */
const handedOn = (part: Subtask, payload: Finished, why: HandOver['why']): HandOver => {
  const before = part.hand_over;
  const says = payload.says || payload.code || `The attempt before ended as ${payload.outcome}.`;
  return {
    why,
    says: (before ? `${says}\nBefore that: ${before.says}` : says).slice(0, 4000),
    commit: payload.wip ?? payload.commit ?? before?.commit ?? part.commit,
    log_tail: payload.log_tail || (before?.log_tail ?? ''),
    files: (payload.files.length > 0 ? payload.files : (before?.files ?? [])).slice(0, 100),
  };
};

const sum = (one: Cost, other: Cost): Cost => ({
  usd: plus(one.usd, other.usd),
  tokens: plus(one.tokens, other.tokens),
});

/** What is not known counts nothing, and stays unknown only while nothing is known. */
const plus = (one: number | null, other: number | null): number | null =>
  one === null ? other : other === null ? one : one + other;
