/**
 * The second half of an attempt: from what the agent left to the message that tells of it.
 *
 * A subtask that asks for a commit gets one, pushed to the ref of this claim; one that reports gets none, and
 * changes it made all the same are kept as evidence. Whatever failed keeps its work too, at the wip ref. All
 * of it is pushed before the message exists, so a settled message names only what is there.
 */

import { readFile } from 'node:fs/promises';
import { type AppError, type ErrorCode, fail } from '@nexus/shared/errors';
import { commitAll, conflictMarkers, diffStat, largeFiles, pushRef, refs, uncommit } from '@nexus/shared/git';
import type { PayloadInput } from '@nexus/shared/messages';
import type { AttemptOutcome, EvidenceRef } from '@nexus/shared/messages/domain';
import type { Attempt } from './attempt.ts';
import { type Checkpoints, saveForGood, saveSideWork } from './checkpoint.ts';
import { keepEvidence, patchOf } from './evidence.ts';
import { ignoredFiles, letIn } from './excluded.ts';
import { withGuests } from './guest-agents.ts';
import type { Prepared } from './prepare.ts';
import { leftSince, planOf, readLeft, reportOf } from './report.ts';
import type { Ran } from './run-agent.ts';
import type { RunResult } from './runtimes.ts';
import { markSaved, type Workspace } from './workspace.ts';

export type Finished = PayloadInput<'attempt.finished'>;

/** How an attempt ended, as far as its work is concerned. */
type Ending = {
  failure: { code: ErrorCode; says: string } | null;
  commit: string | null;
  wip: string | null;
  files: string[];
  diff: string;
};

/** Collects, commits, pushes, keeps the evidence, and says what there is to say. */
export const conclude = async (
  attempt: Attempt,
  prepared: Prepared,
  checkpoints: Checkpoints,
  ran: Ran & { runtime: string },
): Promise<Finished> => {
  const { order, tools } = attempt;
  const { result, transcript } = ran;
  const found = leftSince(prepared.before, await readLeft(prepared.workspace.folder));
  // A report that its runtime forced counts before one that is read from its words, not before its own file.
  const forced = result.report === undefined ? null : JSON.stringify(result.report);
  const left = tools.redactor.value({ ...found, 'report.json': found['report.json'] ?? forced });
  const { report, document } = reportOf(left, transcript.tail(4000));
  const planned = order.grows ? planOf(left) : null;
  const plan = planned && 'file' in planned ? { file: withGuests(planned.file, prepared.guests) } : planned;
  await checkpoints.close();
  const ending = await endOf(attempt, prepared.workspace, checkpoints, result, plan !== null);
  for (const says of checkpoints.left()) attempt.note(`not saved, but kept on its machine for a while: ${says}`);
  await noteIgnored(attempt, prepared);
  const evidence = await keep(attempt, prepared, ran, { report, document, ending });
  if (ending.failure === null) await markSaved(prepared.workspace, [...checkpoints.left(), ...attempt.leftOut]);
  return finished(attempt, {
    ...ending,
    says: ending.failure?.says ?? report.summary,
    report,
    plan,
    evidence,
    log: transcript.tail(4000),
    cost: result.cost,
  });
};

/** What the project ignores is no work, and goes with the workspace; what the agent made of it is named. */
const noteIgnored = async (attempt: Attempt, { workspace, ignored }: Prepared): Promise<void> => {
  const made = (await ignoredFiles(workspace.folder)).filter((path) => !ignored.includes(path));
  if (made.length === 0) return;
  const named = made.slice(0, 10).join(', ');
  attempt.note(
    `ignored by the project, so not taken over: ${named}${made.length > 10 ? ` and ${made.length - 10} more` : ''}`,
  );
};

/** The message of an attempt in which no agent ever ran. */
export const failedBefore = (attempt: Attempt, failure: { code: ErrorCode; says: string }, log: string): Finished =>
  finished(attempt, {
    failure,
    says: failure.says,
    commit: null,
    wip: null,
    files: [],
    report: null,
    plan: null,
    evidence: null,
    log: attempt.tools.redactor.text(log),
    cost: { usd: null, tokens: null },
  });

const endOf = async (
  attempt: Attempt,
  workspace: Workspace,
  checkpoints: Checkpoints,
  result: RunResult,
  planned: boolean,
): Promise<Ending> => {
  if (result.code !== null) return failedWith(attempt, workspace, checkpoints, result.code, result.says);
  return attempt.order.kind === 'report'
    ? reported(attempt, workspace, checkpoints)
    : committed(attempt, workspace, checkpoints, planned);
};

/** A failed attempt keeps what it has, conflict marks and all, for the next one. */
const failedWith = async (
  { order }: Attempt,
  workspace: Workspace,
  checkpoints: Checkpoints,
  code: ErrorCode,
  says: string,
  about?: string[],
): Promise<Ending> => {
  const wip = await saveForGood(checkpoints, workspace);
  const files = about ?? (wip === null ? [] : await changedFiles(workspace, order.integration, wip));
  return { failure: { code, says }, commit: null, wip, files, diff: '' };
};

const reported = async (attempt: Attempt, workspace: Workspace, checkpoints: Checkpoints): Promise<Ending> => {
  const changes = await saveForGood(checkpoints, workspace);
  const ending: Ending = { failure: null, commit: null, wip: null, files: [], diff: '' };
  if (changes === null) return ending;
  const { integration } = attempt.order;
  attempt.note('changed files, though its subtask only reports: kept as evidence (changes.diff), not taken over');
  const diff = await patchOf(workspace, integration, changes);
  return { ...ending, files: await changedFiles(workspace, integration, changes), diff };
};

const committed = async (
  attempt: Attempt,
  workspace: Workspace,
  checkpoints: Checkpoints,
  planned: boolean,
): Promise<Ending> => {
  const { order, author, message, hub, tools } = attempt;
  const { folder } = workspace;
  await letIn(folder);
  const unresolved = await conflictMarkers(folder, order.integration);
  if (unresolved.length > 0) {
    const { code, message: says } = fail('CONFLICT_UNRESOLVED', { files: unresolved.join(', ').slice(0, 1500) });
    return failedWith(attempt, workspace, checkpoints, code, says, unresolved);
  }
  const tooLarge = await refuseLarge(attempt, workspace);
  if (tooLarge !== null) return failedWith(attempt, workspace, checkpoints, tooLarge.code, tooLarge.message);
  const { commit, changed, left = [] } = await commitAll(folder, { message, author, since: order.integration });
  for (const { path, why } of left) attempt.note(`not committed: ${path} (${why})`);
  attempt.leftOut = left.map(({ path }) => path);
  if (commit === null || changed.length === 0) {
    if (planned) return { failure: null, commit: null, wip: null, files: [], diff: '' };
    const { code, message: says } = fail('AGENT_IDLE');
    return failedWith(attempt, workspace, checkpoints, code, says);
  }
  const ref = refs(order.task_id).attempt(order.subtask_id, order.attempt, tools.claim.token);
  await pushRef({ folder, hub, commit, ref, lease: null });
  for (const where of await saveSideWork(workspace, commit)) attempt.note(`left beside its commit, and kept: ${where}`);
  return { failure: null, commit, wip: null, files: changed, diff: '' };
};

/** Before it is committed: what a commit holds goes on with the work, and a host refuses it for good. */
const refuseLarge = async ({ order, tools }: Attempt, { folder }: Workspace): Promise<AppError | null> => {
  const bytesMax = tools.config.commitFileMax;
  if (bytesMax === 0) return null;
  const large = await largeFiles(folder, { since: order.integration, bytesMax, signal: tools.signal });
  if (large.length === 0) return null;
  await uncommit(folder, order.integration);
  const files = large.map(({ path, bytes }) => `${path} (${megabytes(bytes)})`).join(', ');
  return fail('FILE_TOO_LARGE', { max: megabytes(bytesMax), files: files.slice(0, 1500) });
};

const megabytes = (bytes: number): string => `${Math.ceil(bytes / 1e6)} MB`;

const changedFiles = async ({ folder }: Workspace, from: string, to: string): Promise<string[]> =>
  (await diffStat(folder, from, to)).files.map(({ path }) => path);

const keep = async (
  attempt: Attempt,
  prepared: Prepared,
  { result, transcript, agent: times, runtime }: Ran & { runtime: string },
  { report, document, ending }: { report: unknown; document: string; ending: Ending },
): Promise<EvidenceRef> => {
  const { order, agent, env, hub, tools } = attempt;
  const about = {
    task_id: order.task_id,
    subtask_id: order.subtask_id,
    attempt: order.attempt,
    agent_id: agent.agent_id,
    runtime,
    instance_id: tools.claim.instanceId,
    outcome: outcomeOf(ending.failure?.code ?? null),
    code: ending.failure?.code ?? null,
    says: ending.failure?.says ?? '',
    exit_code: result.exitCode,
    signal: result.signal,
    session_id: result.sessionId,
    cost: result.cost,
    ...useOf(result),
    commit: ending.commit,
    wip: ending.wip,
    integration: order.integration,
    brought: prepared.brought,
    files: ending.files,
    environment: Object.keys(env).sort(),
    began_at: new Date(attempt.beganAt).toISOString(),
    ended_at: new Date(tools.now()).toISOString(),
    agent_began_at: times.began_at,
    agent_ended_at: times.ended_at,
    notes: attempt.notes,
  };
  return keepEvidence({
    hub,
    ids: order,
    redactor: tools.redactor,
    files: {
      'prompt.md': attempt.sofar.sent ?? prepared.prompt,
      'output.log': transcript.text(),
      'transcript.jsonl': await transcriptOf(result),
      'report.md': document || (report as { summary: string }).summary || '(nothing was reported)',
      'report.json': `${JSON.stringify(report, null, 2)}\n`,
      'setup.log': prepared.setupLog,
      'attempt.json': `${JSON.stringify(about, null, 2)}\n`,
      'changes.diff': ending.diff,
    },
  });
};

/** What a runtime that knows it tells of its run. */
const useOf = ({ model, login, notional, usage, turns, toolCalls, context, touched }: RunResult) => ({
  model: model ?? null,
  login: login ?? null,
  cost_is_notional: notional ?? false,
  usage: usage ?? null,
  turns: turns ?? null,
  tool_calls: toolCalls ?? null,
  context: context ?? null,
  files_read: touched?.read ?? null,
  files_written: touched?.written ?? null,
  commands: touched?.commands ?? null,
});

/** The runtime's own record of the conversation, where it keeps one. */
const transcriptOf = async ({ transcript }: RunResult): Promise<string> =>
  transcript ? readFile(transcript, 'utf8').catch(() => '') : '';

const finished = (
  { order, agent, tools, beganAt }: Attempt,
  end: Omit<Ending, 'diff'> & Pick<Finished, 'says' | 'report' | 'plan' | 'evidence' | 'cost'> & { log: string },
): Finished => ({
  task_id: order.task_id,
  subtask_id: order.subtask_id,
  attempt: order.attempt,
  agent_id: agent.agent_id,
  instance_id: tools.claim.instanceId,
  outcome: outcomeOf(end.failure?.code ?? null),
  code: end.failure?.code ?? null,
  says: tools.redactor.text(end.says).slice(0, 2000),
  commit: end.commit,
  wip: end.wip,
  report: end.report,
  plan: end.plan,
  evidence: end.evidence,
  log_tail: lastBytes(end.log, 4000),
  files: withinBytes(end.files, 6000),
  began_at: new Date(beganAt).toISOString(),
  duration_ms: Math.max(0, Math.round(tools.now() - beganAt)),
  cost: end.cost,
});

const outcomeOf = (code: ErrorCode | null): AttemptOutcome => {
  if (code === null) return 'finished';
  if (code === 'AGENT_STUCK') return 'stuck';
  return code === 'AGENT_TIMED_OUT' ? 'timed_out' : 'failed';
};

/** An envelope holds 64 kB (rule 14), whatever script the log is written in. */
const lastBytes = (text: string, bytesMax: number): string => {
  const end = Buffer.from(text)
    .subarray(-bytesMax)
    .toString('utf8')
    .replace(/^\uFFFD+/, '');
  return end.slice(-bytesMax);
};

const withinBytes = (paths: string[], bytesMax: number): string[] => {
  const fit: string[] = [];
  let bytes = 0;
  for (const path of paths.slice(0, 200)) {
    bytes += Buffer.byteLength(path) + 3;
    if (bytes > bytesMax || path.length > 500) break;
    fit.push(path);
  }
  return fit;
};
