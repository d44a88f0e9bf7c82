/**
 * Runs what a project declares in one checkout, one command after the other, and says of each what proves it.
 *
 *   set-up ─ ends well → each check → passed | failed | skipped | broken
 *      └─ fails → `set-up` is broken, and every check is skipped: nothing about the project is known
 *
 * What a command leaves running is ended after it, so a server that a test forgot disturbs neither the next check nor
 * the machine. Every process carries the mark of the claim.
 */
import { statfs } from 'node:fs/promises';
import type { Check, CheckState } from '@nexus/shared/messages/domain';
import { type ProcessResult, run, type Sandbox } from '@nexus/shared/process';
import { type SetUpCache, setUp } from '@nexus/shared/project';
import { type Counted, countTests, readTypeErrors } from './counts.ts';
import type { PlannedCheck } from './define-check.ts';
import type { GatePlan } from './detect.ts';

/** The name under which a set-up that failed is listed. */
export const setUpName = 'set-up';

export type Runner = {
  folder: string;
  environment: Record<string, string>;
  mark: string;
  signal: AbortSignal;
  /** What every command is started in; null: as it is. */
  sandbox: Sandbox | null;
  /** Where set-ups are kept; null where this one is the person's own. */
  cache: SetUpCache | null;
  limits: Record<'checkTimeoutMs' | 'setupTimeoutMs' | 'checkOutputMax' | 'checkLogMax' | 'diskReserve', number>;
  redact(text: string): string;
  started(name: string, command: string): void;
  finished(check: Check): void;
};

/** A check with its whole log, which goes into the evidence. */
export type Ran = { check: Check; log: string };

/** Runs set-up and checks. Throws the reason of the signal when that aborts, and only then. */
export const runChecks = async (plan: GatePlan, runner: Runner): Promise<Ran[]> => {
  const broken = await brokenSetUp(plan.setup, runner);
  if (broken) {
    const why = `Not run: the set-up failed at \`${broken.check.command}\`.`;
    const skipped = plan.checks.map(({ name, command }) => listed({ name, command, why }, runner));
    return [broken, ...skipped];
  }
  const ran: Ran[] = [];
  for (const check of plan.checks) {
    ran.push(check.command === null ? listed(check, runner) : await runCheck(check, check.command, runner));
  }
  return ran;
};

/** A set-up that failed is listed as a check that is broken; one that worked is not, since it proves nothing. */
const brokenSetUp = async (commands: readonly string[], runner: Runner): Promise<Ran | null> => {
  const { folder, environment: env, mark, signal, limits, cache, sandbox } = runner;
  const { failed, log } = await setUp({
    ...{ folder, commands, env, mark, signal, cache, sandbox: sandbox ?? undefined },
    timeoutMs: limits.setupTimeoutMs,
    outputBytesMax: limits.checkOutputMax,
    onCommand: (command) => runner.started(setUpName, command),
  });
  if (failed === null) return null;
  const full = isDiskFull(failed.result) ? `The disk is full (${await freeMb(folder)} MB are free): the` : 'The';
  const why = `${full} set-up ${endingOf(failed.result, runner)}.${keptOut(failed.result, runner)}`;
  return finish({ name: setUpName, state: 'broken', why, ...failed, log, counted: nothing }, runner);
};

const runCheck = async (planned: PlannedCheck, command: string, runner: Runner): Promise<Ran> => {
  const { name } = planned;
  const timeoutMs = planned.timeoutMs ?? runner.limits.checkTimeoutMs;
  runner.started(name, command);
  let result = await runCommand(command, timeoutMs, runner);
  // Somebody else ended it, so it says nothing of the project; the second time that is what there is to say.
  if (endedFromOutside(result)) result = await runCommand(command, timeoutMs, runner);
  const log = `$ ${command}\n${result.output}`;
  const counted = read(planned.reads, result.output, runner.folder);
  const state = (await stateOfFull(result, runner)) ?? stateOf(result, counted, runner);
  return finish({ name, command, ...state, result, log, counted }, runner);
};

/**
 * The signals by which people, supervisors and a machine without memory end programs; a shell tells of them by 128 and
 * more. A program that crashes by itself gets others.
 */
const endedFromOutside = ({ exitCode, signal, timedOut, outputLimited }: ProcessResult): boolean =>
  !timedOut &&
  !outputLimited &&
  (['SIGHUP', 'SIGINT', 'SIGTERM', 'SIGKILL'].includes(signal ?? '') || [129, 130, 137, 143].includes(exitCode ?? 0));

/** How programs say that the disk is full. */
const isDiskFull = ({ output }: ProcessResult): boolean =>
  /\bENOSPC\b|No space left on device|Disk quota/i.test(output);

/** How programs say that they may not write there: in the sandbox that is a matter of its settings. */
const keptOut = ({ exitCode, output }: ProcessResult, { sandbox }: Runner): string =>
  sandbox !== null && exitCode !== 0 && /\bEROFS\b|Read-only file system/i.test(output)
    ? ' It tried to write outside its clone, where its sandbox lets nothing write; NEXUS_SANDBOX_WRITE names more.'
    : '';

const freeMb = async (folder: string): Promise<number> => {
  const { bavail, bsize } = await statfs(folder);
  return Math.floor((bavail * bsize) / 1e6);
};

/** A check that failed for want of room is nobody's fault: it says so, and less is free than a gate begins with. */
const stateOfFull = async (result: ProcessResult, { folder, limits }: Runner) => {
  if (result.exitCode === 0 || !isDiskFull(result)) return null;
  const free = await freeMb(folder);
  if (free * 1e6 >= limits.diskReserve) return null;
  return { state: 'broken', why: `The disk is full: ${free} MB are free.` } as const;
};

const nothing: Counted = { tests: null, failing: [] };

const read = (what: PlannedCheck['reads'], output: string, folder: string): Counted => {
  if (what === 'tests') return countTests(output, folder);
  return what === 'types' ? { tests: null, failing: readTypeErrors(output, folder) } : nothing;
};

/** What the exit code says, and nothing but the exit code; a run that found no test proves nothing. */
const stateOf = (result: ProcessResult, { tests }: Counted, runner: Runner): { state: CheckState; why: string } => {
  const why = `It ${endingOf(result, runner)}.${keptOut(result, runner)}`;
  if (result.timedOut || result.outputLimited) return { state: 'failed', why };
  if (result.exitCode === 126 || result.exitCode === 127) {
    return { state: 'broken', why: `A tool that it needs is missing or cannot be run (exit code ${result.exitCode}).` };
  }
  if (endedFromOutside(result)) {
    return { state: 'broken', why: `It ${endingOf(result, runner)}, twice: somebody ended it, or memory ran out.` };
  }
  if (tests?.total === 0) return { state: 'skipped', why: 'It ran, but found no tests.' };
  return result.exitCode === 0 ? { state: 'passed', why: '' } : { state: 'failed', why };
};

const endingOf = (result: ProcessResult, { limits }: Runner): string => {
  if (result.timedOut) return `did not end, and was ended at its time limit, after ${result.durationMs} ms`;
  if (result.outputLimited) return `wrote more than ${limits.checkOutputMax} bytes and was ended`;
  return result.exitCode === null ? `was ended by ${result.signal}` : `ended with exit code ${result.exitCode}`;
};

type Finished = {
  name: string;
  command: string;
  state: CheckState;
  why: string;
  result: ProcessResult;
  log: string;
  counted: Counted;
};

const finish = ({ name, command, state, why, result, log, counted }: Finished, runner: Runner): Ran => {
  const clean = runner.redact(log);
  const check: Check = {
    name,
    state,
    command: runner.redact(command).slice(0, 4096),
    exit_code: result.timedOut || result.outputLimited ? null : result.exitCode,
    duration_ms: result.durationMs,
    tests: counted.tests,
    failing: counted.failing.slice(0, failingMax).map((test) => runner.redact(test)),
    failing_before: false,
    why,
    log_tail: tailOf(clean),
    log: null,
  };
  runner.finished(check);
  return { check, log: shortened(clean, runner.limits.checkLogMax) };
};

const failingMax = 200;

const listed = (
  { name, command, why }: { name: string; command: string | null; why?: string },
  runner: Runner,
): Ran => {
  const check: Check = {
    ...{ name, state: 'skipped', exit_code: null, duration_ms: 0, tests: null, failing: [] },
    command: command && runner.redact(command).slice(0, 4096),
    ...{ failing_before: false, why: why ?? '', log_tail: '', log: null },
  };
  runner.finished(check);
  return { check, log: '' };
};

/** Runs one command, with all that it left behind ended afterwards. */
const runCommand = async (command: string, timeoutMs: number, runner: Runner): Promise<ProcessResult> => {
  const { folder, environment: env, mark, signal, limits } = runner;
  signal.throwIfAborted();
  const outputBytesMax = limits.checkOutputMax;
  const sandbox = runner.sandbox ?? undefined;
  const how = { mark, leashed: true, ownFolder: 'mark', timeoutMs, outputBytesMax, signal, sandbox } as const;
  const result = await run({ command, folder, env, ...how });
  signal.throwIfAborted();
  return result;
};

const tailCharsMax = 3900;

/** The end of a log in at most 4 kB, beginning at a line. */
export const tailOf = (log: string): string => {
  const text = log.trimEnd();
  if (text.length <= tailCharsMax) return text;
  const tail = text.slice(-tailCharsMax);
  return tail.slice(tail.indexOf('\n') + 1);
};

const shortened = (log: string, charsMax: number): string => {
  if (log.length <= charsMax) return log;
  const head = Math.floor(charsMax / 4);
  const cut = log.length - charsMax;
  return `${log.slice(0, head)}\n(… ${cut} characters cut out …)\n${log.slice(-(charsMax - head))}`;
};
