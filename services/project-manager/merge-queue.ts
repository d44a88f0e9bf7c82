/**
 * The merge queue of a task (rule 25). One candidate at a time is at the gate or being merged, in the order in
 * which they came, each tested on the head that the one before left: so nothing is tested twice in vain.
 *
 *   queued → at the gate ─ passed, unproven → merging ─ merged → the next one
 *                │ ▲                           │ moved → at the gate again, on the new head
 *                │ └── broken, a few times     └ failed → a person is asked; the next one
 *                ├─ failed, conflict → back to the subtask that owns it, a few times, then up the ladder; the next one
 *                └─ broken for good → a person is asked; the next one
 */
import { fail } from '@nexus/shared/errors';
import type { PayloadOf } from '@nexus/shared/messages';
import type { Check, HandOver, Subtask } from '@nexus/shared/messages/domain';
import { makeReady, release } from './dispatch.ts';
import type { Draft } from './draft.ts';
import { remember } from './history.ts';
import { climbHigher, escalate } from './ladder.ts';
import { noteMended, noteSentBack } from './lessons.ts';
import { allowedRed, bookRed } from './red-tests.ts';
import { book } from './routing.ts';

type Verdict = PayloadOf<'verdict.reached'>;

const keptLogChars = 1000;

/** A subtask has a commit: it waits for the gate behind those that came before. */
export const enqueue = (draft: Draft, id: string): void => {
  draft.changeHead({ queue: [...draft.head.queue, id] });
};

/** Sends the first candidate of the queue to the gate, if nobody is there. */
export const gateNext = (draft: Draft): void => {
  const [first, ...queue] = draft.head.queue;
  if (draft.head.at_gate !== null || first === undefined) return;
  draft.changeHead({ at_gate: first, queue });
  submit(draft, draft.part(first));
};

/** The gate has come to a verdict on the candidate that is there. */
export const verdictReached = (draft: Draft, payload: Verdict): void => {
  const candidate = atGate(draft, payload, 'checking');
  // A verdict on an older head was overtaken: the candidate is being tested again on this one.
  if (!candidate || payload.base !== draft.head.integration) return;
  const { head } = draft;
  draft.changeHead({
    gate_runs: head.gate_runs + payload.gate_runs,
    before: payload.before ? payload.before.map((check) => shortened(check, 0)) : head.before,
  });
  const alarms = payload.alarms.filter((alarm) => !payload.says.includes(alarm));
  const says = [payload.says, ...alarms].filter((text) => text !== '').join(' ');
  const part = draft.change(candidate.id, {
    checks: payload.checks.map((check) => shortened(check, check.state === 'passed' ? 0 : keptLogChars)),
    history: remember(draft, candidate, { outcome: `gate_${payload.verdict}`, says, commit: payload.tested_commit }),
  });
  if (payload.verdict === 'failed' || payload.verdict === 'conflict') sendBack(draft, part, payload);
  else if (payload.verdict === 'broken' || payload.tested_commit === null) gateAgain(draft, part, payload.says);
  else {
    draft.change(part.id, { state: 'merging', red: payload.still_red });
    merge(draft, part, payload.tested_commit);
  }
};

/** The finalizer has merged the candidate, or could not. */
export const mergeFinished = (draft: Draft, payload: PayloadOf<'merge.finished'>): void => {
  const candidate = atGate(draft, payload, 'merging') ?? atGate(draft, payload, 'checking');
  if (!candidate) return;
  const { commit } = payload;
  if (payload.outcome === 'merged' && commit !== null) {
    // Git is the truth of merges: one that succeeds while the candidate is tested once more counts all the same.
    merged(draft, draft.change(candidate.id, { state: 'merging' }), commit);
  } else if (candidate.state !== 'merging') {
    return;
  } else if (payload.outcome !== 'moved') {
    giveUp(draft, candidate, null, `It could not be merged: ${payload.says}`);
  } else if (commit === null || commit === draft.head.integration) {
    mergeAgain(draft, candidate, payload.says);
  } else {
    // What the checks say of a head that somebody else made is not known.
    draft.changeHead({ integration: commit, before: null });
    submit(draft, draft.change(candidate.id, { state: 'checking' }));
  }
};

/** The candidate that a message tells of, if it is in work in this state and by this attempt; else null. */
const atGate = (
  draft: Draft,
  payload: { subtask_id: string; attempt: number },
  state: Subtask['state'],
): Subtask | null => {
  if (draft.head.at_gate !== payload.subtask_id) return null;
  const part = draft.part(payload.subtask_id);
  return part.attempt === payload.attempt && part.state === state ? part : null;
};

const submit = (draft: Draft, part: Subtask, delayMs?: number): void => {
  draft.change(part.id, { ordered_at: draft.after(delayMs ?? 0) });
  const { commit, title, kind, attempt } = part;
  if (commit === null) throw fail('BUG', { message: `subtask ${part.id} is in the merge queue without a commit` });
  const task = draft.task();
  draft.publish(
    'candidate.submitted',
    {
      task_id: draft.taskId,
      subtask_id: part.id,
      attempt,
      title,
      kind,
      commit,
      integration: draft.head.integration,
      setup: task?.setup ?? null,
      checks: task?.checks ?? [],
      before: draft.head.before,
      allowed_red: allowedRed(draft, part),
      last: isLast(draft, part),
    },
    { key: `${part.id}-${attempt}`, ...(delayMs === undefined ? {} : { delayMs }) },
  );
};

const lookedAtMax = 8;

/** True if nothing but reports that follow it is still to come. Few open subtasks are looked at, whatever the board. */
const isLast = ({ head, parts }: Draft, candidate: Subtask): boolean => {
  const { merged = 0, reported = 0 } = head.counts;
  const others = head.total - merged - reported - 1;
  if (others > lookedAtMax) return false;
  const following = new Set<string>();
  let next = candidate.dependents;
  while (next.length > 0) {
    const reports = parts(next).filter(({ id, kind }) => kind === 'report' && !following.has(id));
    for (const { id } of reports) following.add(id);
    next = reports.flatMap(({ dependents }) => dependents);
  }
  return following.size === others;
};

const merge = (draft: Draft, part: Subtask, testedCommit: string, delayMs?: number): void => {
  draft.change(part.id, { ordered_at: draft.after(delayMs ?? 0) });
  draft.publish(
    'merge.requested',
    {
      task_id: draft.taskId,
      subtask_id: part.id,
      attempt: part.attempt,
      base: draft.head.integration,
      tested_commit: testedCommit,
    },
    { key: `${part.id}-${part.attempt}`, ...(delayMs === undefined ? {} : { delayMs }) },
  );
};

/**
 * The merge was refused though integration stands where it was tested: a lock that somebody left, or an answer
 * that came twice. Asking again is harmless, since the marker lets a merge happen once.
 */
const mergeAgain = (draft: Draft, part: Subtask, problem: string): void => {
  const delayMs = draft.waitMs(part.gate_broken);
  if (countBroken(draft, part, `the merge is refused though nothing has moved: ${problem}`)) {
    merge(draft, part, testedOf(part), delayMs);
  }
};

const testedOf = (part: Subtask): string => {
  const tested = part.history.at(-1)?.commit ?? null;
  if (tested === null) throw fail('BUG', { message: `subtask ${part.id} is being merged without a tested commit` });
  return tested;
};

/** What was asked of the gate or the finalizer was lost. The gate finds a verdict of before; a merge happens once. */
export const askAgain = (draft: Draft, part: Subtask): void => {
  if (draft.head.at_gate !== part.id) return;
  if (part.state === 'checking') submit(draft, part);
  if (part.state === 'merging') merge(draft, part, testedOf(part));
};

const merged = (draft: Draft, candidate: Subtask, commit: string): void => {
  draft.stat(`agent:${candidate.agent_id}:completed`);
  book(draft, candidate, 'ok');
  const proven = candidate.checks.some(({ state }) => state === 'passed' || state === 'failed');
  const part = draft.change(candidate.id, {
    state: 'merged',
    merged_commit: commit,
    hand_over: null,
    ended_at: draft.at,
  });
  noteMended(draft, part);
  bookRed(draft, part, proven);
  draft.changeHead({
    at_gate: null,
    integration: commit,
    before: candidate.checks.map((check) => shortened(check, 0)),
    proven,
    merged: draft.head.merged + 1,
  });
  release(draft, part);
};

/** The gate could not run, which is nobody's fault: once more, a few times. */
const gateAgain = (draft: Draft, part: Subtask, problem: string): void => {
  const delayMs = draft.waitMs(part.gate_broken);
  if (countBroken(draft, part, problem)) submit(draft, draft.part(part.id), delayMs);
};

/** Counts one more try in vain; false: it was the last, and a person is asked. */
const countBroken = (draft: Draft, part: Subtask, problem: string): boolean => {
  draft.change(part.id, { gate_broken: part.gate_broken + 1 });
  if (part.gate_broken < draft.rules.gateBrokenMax) return true;
  const { code, message } = fail('GATE_BROKEN', { problem: problem || 'it gave no reason' });
  giveUp(draft, part, code, message);
  return false;
};

/** Nobody's fault, and nothing that another attempt would mend: it leaves the gate, and waits to come back to it. */
const giveUp = (draft: Draft, part: Subtask, code: string | null, says: string): void => {
  draft.changeHead({ at_gate: null });
  const candidate = draft.change(part.id, { gate_broken: draft.rules.gateBrokenMax + 1 });
  const handOver = part.hand_over ?? { why: 'gate_failed', says, commit: part.commit, log_tail: '', files: [] };
  escalate(draft, candidate, { code, says, handOver }, false);
};

/** Back to the subtask that owns the commit, which knows then what was wrong with it. */
const sendBack = (draft: Draft, part: Subtask, payload: Verdict): void => {
  const handOver = payload.verdict === 'conflict' ? conflictOf(part, payload) : failureOf(part, payload);
  noteSentBack(draft, part, handOver);
  draft.changeHead({ at_gate: null, sent_back: draft.head.sent_back + 1 });
  if (payload.verdict === 'failed') book(draft, part, 'failed');
  draft.change(part.id, { sent_back: part.sent_back + 1 });
  if (part.sent_back >= draft.rules.sentBackMax) {
    const says = `It was sent back ${part.sent_back} times, and again: ${handOver.says}`;
    climbHigher(draft, draft.part(part.id), { code: null, says, handOver });
    return;
  }
  makeReady(draft, part.id, { hand_over: handOver, red: [] }, true);
};

const conflictOf = (part: Subtask, payload: Verdict): HandOver => ({
  why: 'conflict',
  says: `Your commit conflicts with what others have merged meanwhile, in: ${payload.files.join(', ')}. ${payload.says}`
    .trim()
    .slice(0, 4000),
  commit: part.commit,
  log_tail: payload.log_tail,
  files: payload.files,
});

const failureOf = (part: Subtask, payload: Verdict): HandOver => {
  const blamed = payload.checks.filter((check) => check.state === 'failed' && !check.failing_before).map(described);
  const says = payload.says.trim() || `Failed: ${blamed.join('; ')}.`;
  return { why: 'gate_failed', says: says.slice(0, 4000), commit: part.commit, log_tail: payload.log_tail, files: [] };
};

const described = (check: Check): string => {
  const how = check.command === null ? '' : ` (\`${check.command}\`, exit code ${check.exit_code ?? 'none'})`;
  const tests = check.failing.slice(0, 10).join(', ') + (check.failing.length > 10 ? ', …' : '');
  return `${check.name}${how}${tests === '' ? '' : `, failing: ${tests}`}`;
};

/** The head and the messages carry what checks say, not their logs; those lie in the evidence. */
const shortened = (check: Check, logChars: number): Check => ({
  ...check,
  log_tail: logChars === 0 ? '' : check.log_tail.slice(-logChars),
});
