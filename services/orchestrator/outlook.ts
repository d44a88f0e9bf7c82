/**
 * How likely a plan comes to its end, computed from what each role has done before. Pure.
 *
 * A role's history is a number of attempts that went well and of attempts that did not. What it can do is not known
 * from that, only likely: a Beta distribution, beginning with nine good and one bad (`prior`), so that whoever is new
 * counts as good but not as sure. A step has several attempts, all by the same uncertain ability: that they all fail
 * has the probability E[(1 − p)^tries], not (1 − E[p])^tries, which would take each retry for a fresh start. The plan
 * ends well if all of its steps do.
 */
import { historyField } from '@nexus/shared/ledger';
import type { Outlook, Plan, PlannedSubtask } from '@nexus/shared/messages/domain';

/** The good and bad attempts that everybody begins with, and from how many real ones on it is no mere assumption. */
const prior = { ok: 9, failed: 1 };
const knownFrom = 5;
/** Below this a plan says what would raise it. */
export const goodEnough = 0.7;
const stepsShown = 40;
const raisesMax = 6;

export type Tries = {
  /** How often a step is tried again by the same agent, and by how many others after that. */
  retries: number;
  otherAgents: number;
};

type Step = Outlook['steps'][number];

/** The outlook of a plan; `history` is what `readHistory` reads. */
export const outlookOf = (
  { subtasks }: Pick<Plan, 'subtasks'>,
  history: ReadonlyMap<string, number>,
  limits: Tries,
): Outlook => {
  const tries = 1 + limits.retries + limits.otherAgents;
  const steps = subtasks.map((node) => stepOf(node, history, tries));
  const probability = productOf(steps);
  const worst = steps.toSorted((one, other) => one.probability - other.probability);
  return {
    probability: rounded(probability),
    assumed: steps.some((step) => step.assumed),
    grows: subtasks.some(({ grows }) => grows),
    attempts: rounded(steps.reduce((total, step) => total + step.attempts, 0)),
    steps: worst.slice(0, stepsShown),
    raise: probability < goodEnough ? raises(worst, probability, limits, history, subtasks) : [],
  };
};

const stepOf = (node: PlannedSubtask, history: ReadonlyMap<string, number>, tries: number): Step => {
  const { ok, failed } = record(node, history);
  const fails = allFail(ok, failed, tries);
  return {
    id: node.id,
    role: node.role,
    probability: rounded(1 - fails),
    attempts: rounded(attemptsOf(ok, failed, tries)),
    n: ok + failed,
    ok,
    assumed: ok + failed < knownFrom,
  };
};

const record = (
  { role, kind }: Pick<PlannedSubtask, 'role' | 'kind'>,
  history: ReadonlyMap<string, number>,
): { ok: number; failed: number } => ({
  ok: history.get(historyField('role', role, kind, 'ok')) ?? 0,
  failed: history.get(historyField('role', role, kind, 'failed')) ?? 0,
});

/** E[(1 − p)^tries] for p from Beta(ok + 9, failed + 1). */
const allFail = (ok: number, failed: number, tries: number): number => {
  const [a, b] = [ok + prior.ok, failed + prior.failed];
  let all = 1;
  for (let one = 0; one < tries; one++) all *= (b + one) / (a + b + one);
  return all;
};

/** How many attempts a step takes on average: one, and one more for each beginning that failed all through. */
const attemptsOf = (ok: number, failed: number, tries: number): number => {
  let attempts = 0;
  for (let before = 0; before < tries; before++) attempts += allFail(ok, failed, before);
  return attempts;
};

const productOf = (steps: readonly Step[]): number => steps.reduce((all, step) => all * step.probability, 1);

/** What would raise it, and to what: each computed, none guessed. */
const raises = (
  worst: readonly Step[],
  probability: number,
  limits: Tries,
  history: ReadonlyMap<string, number>,
  subtasks: readonly PlannedSubtask[],
): string[] => {
  const found: string[] = [];
  for (const more of [1, 2, 4]) {
    const tries = 1 + limits.retries + limits.otherAgents + more;
    const then = productOf(subtasks.map((node) => stepOf(node, history, tries)));
    const is = percent(then);
    found.push(`NEXUS_RETRIES=${limits.retries + more}, which is ${more} more: ${is}`);
    if (then >= goodEnough) break;
  }
  for (const step of worst.slice(0, raisesMax - found.length)) {
    const others = probability / Math.max(step.probability, 1e-9);
    const says = step.n === 0 ? 'never tried so far' : `${step.ok} of ${step.n} attempts went well`;
    found.push(
      `the step ${step.id} (${step.role}, ${says}) by somebody surer, or in smaller steps: up to ${percent(others)}`,
    );
  }
  return found.slice(0, raisesMax);
};

export const percent = (probability: number): string => {
  const whole = probability * 100;
  return `${whole >= 99.95 ? '100' : whole >= 10 ? whole.toFixed(0) : whole.toFixed(1)} %`;
};

const rounded = (value: number): number => Math.round(value * 10_000) / 10_000;
