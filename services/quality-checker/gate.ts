/**
 * One candidate at the gate, after its merge: detect, run, compare with the commit before, judge, keep the evidence.
 *
 * The checks of the commit before come with the message. Where nobody ever ran them, they are run here, once, and
 * only if they matter: something failed, or tests are to be counted against something. The verdict brings them back,
 * so that the next candidate gets them with its message. N subtasks cost N + 1 runs at most, and one more for each
 * candidate that a failed check sends back, each gate that breaks, and each head that somebody else pushed.
 */
import type { HandlerTools, Message } from '@nexus/shared/bus';
import { type Change, changesBetween, commitEvidence, hubLocation, refs, trackedFiles } from '@nexus/shared/git';
import type { PayloadOf } from '@nexus/shared/messages';
import type { Check } from '@nexus/shared/messages/domain';
import { decidesSetup, setUpCacheOf } from '@nexus/shared/project';
import { checkOut, markOf, openWorkshop, type Workshop } from './candidate.ts';
import { isSourceFile, isTestFile, ownTests } from './changes.ts';
import { detect } from './detect.ts';
import { checkEnvironment } from './environment.ts';
import { type Ran, type Runner, runChecks } from './run-checks.ts';
import type { CheckerTools } from './tools.ts';
import { judge, needsBefore } from './verdict.ts';
import { verdictMessage } from './verdict-message.ts';

type Candidate = PayloadOf<'candidate.submitted'>;

export type Gate = {
  payload: Candidate;
  workshop: Workshop;
  /** What every process of this gate carries. */
  mark: string;
  /** Where the tested commit goes. */
  ref: string;
  evidence: string;
  tools: HandlerTools & CheckerTools;
  redact(text: string): string;
};

/** Makes the folder and the names of one delivery. */
export const openGate = async (
  { payload }: Message<'candidate.submitted'>,
  tools: HandlerTools & CheckerTools,
): Promise<Gate> => {
  const { task_id, subtask_id, attempt } = payload;
  const { claim, signal, config, keys } = tools;
  const { home, diskReserve } = config;
  const hub = hubLocation(config, task_id);
  const of = { prefix: keys.prefix, token: claim.token };
  return {
    payload,
    workshop: await openWorkshop({ home, taskId: task_id, ...of, hub, diskReserve, signal }),
    mark: markOf(of.prefix, of.token),
    ref: refs(task_id).tested(subtask_id, attempt),
    evidence: refs(task_id).evidence(`gate-${subtask_id}-${attempt}`),
    tools,
    redact: tools.redact,
  };
};

/** Tests a merged candidate; the payload of its verdict. */
export const testCandidate = async (gate: Gate, merged: string, folder: string) => {
  const { payload, workshop } = gate;
  const { signal } = workshop;
  const changes = await changesBetween(folder, payload.integration, merged, signal);
  const { ran: candidate, chains } = await runIn(gate, folder, changes, '');
  const before = await checksBefore(gate, candidate.map(checkOf));
  const failing = candidate.flatMap(({ check }) => check.failing);
  const verdict = judge({
    kind: payload.kind,
    checks: candidate.map(checkOf),
    before: before.checks,
    allowedRed: payload.allowed_red,
    ownTests: await ownTests({ folder, from: payload.integration, to: merged, changes, failing, signal }),
    chains,
    asked: new Set(payload.checks.map(({ name }) => name)),
    last: payload.last,
    ...factsOf(changes),
  });
  const logs = await keepEvidence(gate, merged, candidate, before.ran, verdict);
  return verdictMessage({
    payload,
    tested: merged,
    verdict: { ...verdict, checks: withLogs(verdict.checks, gate.evidence, logs.candidate) },
    before: before.ran.length === 0 ? null : withLogs(before.ran.map(checkOf), gate.evidence, logs.before),
    gateRuns: 1 + (before.ran.some(({ check }) => check.exit_code !== null) ? 1 : 0),
  });
};

const checkOf = ({ check }: Ran): Check => check;

const factsOf = (changes: readonly Change[]) => {
  const deleted = changes.filter(({ how }) => how === 'deleted').map(({ path }) => path);
  return {
    changesSetup: changes.some(({ path }) => decidesSetup(path)),
    removesFeature: deleted.some(isSourceFile) && deleted.some(isTestFile),
  };
};

/**
 * Detects and runs what one checkout declares. `label` tells the events of the commit before from those of the
 * candidate.
 */
const runIn = async (gate: Gate, folder: string, changes: readonly Change[], label: string) => {
  const { payload, tools, mark, redact } = gate;
  const { signal } = gate.workshop;
  const plan = await detect({
    folder,
    files: await trackedFiles(folder, signal),
    changed: changes.filter(({ how }) => how !== 'deleted').map(({ path }) => path),
    setup: payload.setup,
    asked: payload.checks,
    definitions: tools.definitions,
  });
  const of = { task_id: payload.task_id, subtask_id: payload.subtask_id, attempt: payload.attempt };
  const runner: Runner = {
    folder,
    environment: checkEnvironment(tools.config.home),
    mark,
    signal,
    limits: tools.config,
    sandbox: tools.sandbox,
    cache: payload.setup === null ? setUpCacheOf(tools.config) : null,
    redact,
    started: (name, command) => {
      const text = `${label}${name}: ${redact(command)}`.slice(0, 1000);
      tools.tell({ event: 'check.started', ...of, text, data: { name, before: label !== '' } });
    },
    finished: (check) => {
      const { name, state, exit_code, duration_ms, tests, why } = check;
      const text = `${label}${name}: ${state}`;
      const data = { name, state, exit_code, duration_ms, tests, why: why.slice(0, 300), before: label !== '' };
      tools.tell({ event: 'check.finished', ...of, text, data });
    },
  };
  const chains = new Map([...plan.chains].map(([name, chain]) => [name, chain.map(redact)]));
  return { ran: await runChecks(plan, runner), chains };
};

/** The checks of the commit before: as the message brings them, or run now if they matter, or none. */
const checksBefore = async (gate: Gate, checks: Check[]): Promise<{ checks: Check[] | null; ran: Ran[] }> => {
  const { payload, workshop } = gate;
  if (payload.before !== null) return { checks: payload.before, ran: [] };
  if (!needsBefore(checks)) return { checks: null, ran: [] };
  const folder = await checkOut(workshop, 'before', payload.integration);
  const files = await trackedFiles(folder, workshop.signal);
  // The first commit of a new repository: there is nothing that could have failed before.
  if (files.length === 0) return { checks: null, ran: [] };
  const { ran } = await runIn(gate, folder, [], 'before: ');
  return { checks: ran.map(checkOf), ran };
};

type Logs = { candidate: Map<string, string>; before: Map<string, string> };

/** Commits every log and the verdict; each delivery has a folder of its own in the tree. */
const keepEvidence = async (
  gate: Gate,
  merged: string,
  candidate: readonly Ran[],
  before: readonly Ran[],
  verdict: ReturnType<typeof judge>,
): Promise<Logs> => {
  const { payload, workshop, evidence } = gate;
  const folder = gate.tools.claim.token;
  const decided = { base: payload.integration, tested_commit: merged, ...verdict };
  const files: Record<string, string> = { [`${folder}/verdict.json`]: `${JSON.stringify(decided, null, 2)}\n` };
  const write = (ran: readonly Ran[], under: string) =>
    new Map(
      ran
        .filter(({ log }) => log !== '')
        .map(({ check, log }) => {
          const path = `${folder}/${under}${check.name.replaceAll(/[^\w.-]+/g, '_')}.log`;
          files[path] = log;
          return [check.name, path];
        }),
    );
  const logs = { candidate: write(candidate, ''), before: write(before, 'before/') };
  const message = `Gate of ${payload.subtask_id}, attempt ${payload.attempt}: ${verdict.verdict}`;
  await commitEvidence({ hub: workshop.hub, ref: evidence, files, message });
  return logs;
};

const withLogs = (checks: readonly Check[], ref: string, paths: Map<string, string>): Check[] =>
  checks.map((check) => {
    const path = paths.get(check.name);
    return path === undefined ? check : { ...check, log: { ref, path } };
  });
