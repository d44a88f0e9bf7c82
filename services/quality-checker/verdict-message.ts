/**
 * The verdict as a message: within its limits, since an envelope holds 64 kB and the next candidate carries these
 * checks too.
 */
import type { PayloadInput, PayloadOf } from '@nexus/shared/messages';
import type { Check } from '@nexus/shared/messages/domain';
import type { Candidate } from './candidate.ts';
import type { Verdict } from './verdict.ts';

type Message = PayloadInput<'verdict.reached'>;
type Submitted = PayloadOf<'candidate.submitted'>;

const checksBytesMax = 20_000;
const namesMax = 200;

/** What a candidate that was tested is told. */
export const verdictMessage = (of: {
  payload: Submitted;
  tested: string;
  verdict: Verdict;
  before: Check[] | null;
  gateRuns: number;
}): Message => ({
  ...idsOf(of.payload),
  verdict: of.verdict.verdict,
  base: of.payload.integration,
  tested_commit: of.tested,
  checks: fitted(of.verdict.checks),
  before: of.before && fitted(of.before.map((check) => ({ ...check, log_tail: '' }))),
  still_red: fittedNames(of.verdict.stillRed),
  alarms: of.verdict.alarms.slice(0, 20).map((alarm) => alarm.slice(0, 500)),
  files: [],
  gate_runs: of.gateRuns,
  says: of.verdict.says.slice(0, 4000),
  log_tail: of.verdict.logTail.slice(-4000),
});

/** What a candidate that cannot be merged is told. */
export const conflictVerdict = (
  payload: Submitted,
  conflict: Extract<Candidate, { merged: null }>,
  redact: (text: string) => string,
): Message => ({
  ...idsOf(payload),
  verdict: 'conflict',
  base: payload.integration,
  tested_commit: null,
  checks: [],
  before: null,
  still_red: [],
  alarms: [],
  files: conflict.files.map((path) => path.slice(0, 500)),
  gate_runs: 0,
  says: conflict.says.slice(0, 4000),
  log_tail: redact(conflict.logTail).slice(0, 4000),
});

const idsOf = ({ task_id, subtask_id, attempt }: Submitted) => ({ task_id, subtask_id, attempt });

/**
 * Checks in at most 20 kB: the logs of those that passed go first, then all logs are halved, then names are cut.
 * Names that were cut are fewer than the count of failures, by which a later comparison knows that they are not all.
 */
const fitted = (checks: readonly Check[]): Check[] => {
  let fit = checks.map((check) => ({ ...check, failing: fittedNames(check.failing) }));
  const bytes = () => Buffer.byteLength(JSON.stringify(fit));
  if (bytes() > checksBytesMax)
    fit = fit.map((check) => (check.state === 'passed' ? { ...check, log_tail: '' } : check));
  for (let charsMax = 2000; bytes() > checksBytesMax && charsMax >= 125; charsMax /= 2) {
    fit = fit.map((check) => ({ ...check, log_tail: check.log_tail.slice(-charsMax), why: check.why.slice(0, 500) }));
  }
  for (let names = 100; bytes() > checksBytesMax && names >= 1; names = Math.floor(names / 2)) {
    fit = fit.map((check) => ({ ...check, failing: check.failing.slice(0, names), command: short(check.command) }));
  }
  return fit;
};

const short = (command: string | null): string | null => command?.slice(0, 300) ?? null;

const fittedNames = (names: readonly string[]): string[] => names.slice(0, namesMax).map((name) => name.slice(0, 500));
