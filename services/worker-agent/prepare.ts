/**
 * The first half of an attempt: from an order to a workspace in which an agent can begin, and its prompt.
 *
 *   clone at integration → bring in what earlier attempts left → set up → write the prompt
 *
 * Work of earlier attempts comes from three places, the newest first: folders on this machine that a dead
 * worker left, the checkpoint that the ledger names, and the hand-over of the order. Each comes in by a
 * merge, and what conflicts is left for the agent to resolve.
 */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type ErrorCode, fail, isFailure } from '@nexus/shared/errors';
import { fetchCommits, mergeInto, readEvidence } from '@nexus/shared/git';
import type { LimitName } from '@nexus/shared/process';
import { packageManagerOf, readManifest, type SetUp, setUp, setUpCacheOf } from '@nexus/shared/project';
import type { Attempt } from './attempt.ts';
import { ignoredFiles, keepOut } from './excluded.ts';
import { type Guest, repositoryGuests, requestGuests } from './guest-agents.ts';
import { buildPrompt, type Interrupted } from './prompt.ts';
import { recallFor } from './recall.ts';
import { type Left, readLeft } from './report.ts';
import { openWorkspace, type Rescued, rescue, type Workspace } from './workspace.ts';

type SetupFailure = { code: ErrorCode; says: string };

export type Brought = {
  commits: string[];
  conflicts: string[];
  /** An earlier run that never told its end, as far as is known of it. */
  interrupted: Interrupted | null;
};

export type Prepared = {
  workspace: Workspace;
  brought: Brought;
  prompt: string;
  setupLog: string;
  /** Set-up failed on integration itself, so no agent can begin. */
  failure: SetupFailure | null;
  /** Agents beside those of the fleet, which a plan may name. */
  guests: Guest[];
  /** What lay in `.nexus` before the agent began. */
  before: Left;
  /** What the project ignores and was there before the agent. */
  ignored: string[];
};

/** Clones, at the commit that holds everything the subtask depends on. */
export const makeWorkspace = ({ order, tools, hub, mark }: Attempt): Promise<Workspace> =>
  openWorkspace({
    home: tools.config.home,
    note: {
      task_id: order.task_id,
      subtask_id: order.subtask_id,
      attempt: order.attempt,
      token: tools.claim.token,
      mark,
      base: order.integration,
      hub,
    },
    now: tools.now(),
    diskReserve: tools.config.diskReserve,
    signal: tools.signal,
  });

/** Makes a fresh clone ready for the agent. Throws the signal's reason as soon as it aborts. */
export const prepare = async (attempt: Attempt, workspace: Workspace): Promise<Prepared> => {
  const { tools, doing } = attempt;
  doing('brings in what is there already');
  const brought = await bring(attempt, workspace);
  tools.signal.throwIfAborted();
  const { failure, log } = await makeRunnable(attempt, workspace);
  // With earlier work in it a workspace may be what the agent has to mend; without it nobody's subtask is to blame.
  const mendable = failure !== null && brought.commits.length > 0;
  const notes = mendable
    ? [{ says: `Setting up this workspace failed, perhaps by the work so far: ${failure.says}`, data: log }]
    : [];
  if (mendable) attempt.note(`set-up failed with the work so far; the agent is told: ${failure.says}`);
  const documents = await readDocuments(attempt);
  const { order, agent, request, questions } = attempt;
  const memories = await recallFor(order, agent, request, tools);
  const guests = order.grows ? await guestsOf(attempt, workspace) : [];
  const roles = order.grows ? rolesOf(attempt, guests) : [];
  return {
    workspace,
    brought,
    guests,
    setupLog: log,
    failure: mendable ? null : failure,
    before: await readLeft(workspace.folder),
    ignored: await ignoredFiles(workspace.folder),
    prompt: buildPrompt({
      ...{ agent, order, request, questions, now: tools.now() },
      ...{ documents, brought, notes, memories, roles },
    }),
  };
};

const bring = async (attempt: Attempt, { folder }: Workspace): Promise<Brought> => {
  const { order, tools, hub, author, record } = attempt;
  const ids = { home: tools.config.home, taskId: order.task_id, subtaskId: order.subtask_id };
  const { rescued, failed } = await rescue({
    ...ids,
    token: tools.claim.token,
    author,
    signal: tools.signal,
    isClaimed: tools.isClaimed,
    fileBytesMax: tools.config.checkpointFileMax,
    disk: tools.config,
  });
  for (const says of failed) attempt.note(`could not save what an earlier worker left: ${says}`);
  for (const { commit } of rescued) attempt.note(`found the work of a worker that was gone: ${commit}`);
  const { before } = record;
  const interrupted: Interrupted | null =
    before === null && rescued.length === 0
      ? null
      : { at: before?.at ?? null, step: before?.step ?? null, left: [...(before?.left ?? []), ...leftOf(rescued)] };
  // A checkpoint of the very clone that was found is older than it, and would only conflict with it. Whoever finds this
  // clone next, before it has a checkpoint of its own, learns that from its history.
  const older = rescued.some(({ token }) => token === before?.token) ? (before?.commit ?? null) : null;
  const all = [...rescued.map(({ commit }) => commit), older ?? before?.commit, order.hand_over?.commit];
  const commits = [...new Set(all.filter((commit) => typeof commit === 'string'))];
  if (commits.length === 0) return { commits, conflicts: [], interrupted };
  await fetchCommits({ folder, hub, commits, signal: tools.signal });
  const brought: Brought = { commits: [], conflicts: [], interrupted };
  for (const commit of commits) {
    const message = `Bring in the work so far on ${order.subtask_id}`;
    const { clean, files } = await mergeInto(folder, commit, {
      message,
      known: commit === older,
      signal: tools.signal,
    });
    brought.commits.push(commit);
    if (clean) continue;
    brought.conflicts = files;
    break;
  }
  const left = commits.slice(brought.commits.length);
  if (left.length > 0) attempt.note(`older work could not be brought in beside a conflict: ${left.join(', ')}`);
  return brought;
};

const leftOf = (rescued: readonly Rescued[]): string[] => [...new Set(rescued.flatMap(({ left }) => left))];

const makeRunnable = async (attempt: Attempt, { folder }: Workspace) => {
  const { request, tools, env, mark, doing } = attempt;
  const commands = request.setup ?? (await setupOf(folder));
  if (commands.length === 0) return { failure: null, log: '' };
  const { failed, log } = await setUp({
    ...{ folder, commands, env, mark, signal: tools.signal },
    ...tools.safety?.setUp,
    timeoutMs: tools.config.setupTimeoutMs,
    outputBytesMax: setupOutputMax,
    cache: request.setup ? null : setUpCacheOf(tools.config),
    onCommand: (command) => doing(`sets up: ${command}`),
  });
  await keepOut(folder);
  return { failure: failed && failureOf(failed), log };
};

const setupOutputMax = 50_000_000;

/** What the project says itself; nothing else is guessed. */
const setupOf = async (folder: string): Promise<string[]> => {
  const read = (path: string) => readFile(join(folder, path), 'utf8').catch(() => '');
  const has = (name: string) => existsSync(join(folder, name));
  return (await packageManagerOf(readManifest(await read('package.json')), has, read)).setup;
};

const limits: Record<LimitName, string> = {
  cpu: 'processor time (NEXUS_AGENT_CPU_MAX)',
  memory: 'memory (NEXUS_AGENT_MEMORY_MAX)',
  processes: 'processes (NEXUS_AGENT_PROCESSES_MAX)',
  file: 'in one file (NEXUS_AGENT_FILE_MAX)',
};

const failureOf = ({ command, result }: NonNullable<SetUp['failed']>): SetupFailure => {
  const over = result.limit ? `too much: ${limits[result.limit]}` : (result.exitCode ?? result.signal ?? 'nothing');
  const ended = result.outputLimited ? 'too much output' : over;
  const exit = result.timedOut ? `no end after ${result.durationMs} ms` : ended;
  const message = result.output.trim().split('\n').slice(-5).join('\n').slice(-500);
  const { code, message: says } = fail('WORKSPACE_SETUP', { command, exit, message });
  return { code, says };
};

/** The whole documents of the subtasks before, where they can be read; their summaries stand in the order. */
const readDocuments = async ({ order, hub }: Attempt): Promise<Record<string, string>> => {
  const documents: Record<string, string> = {};
  for (const { subtask_id, evidence } of order.inputs) {
    if (evidence === null) continue;
    try {
      const text = await readEvidence({ hub, ref: evidence.ref, path: evidence.path, bytesMax: 64_000 });
      if (text) documents[subtask_id] = text;
    } catch (thrown) {
      if (!isFailure(thrown, 'GIT_FAILED')) throw thrown;
    }
  }
  return documents;
};

/** Agents that come with the request or the repository, for planners to name. */
const guestsOf = async ({ request, tools, note }: Attempt, { folder }: Workspace): Promise<Guest[]> => [
  ...requestGuests(request.agents),
  ...(tools.config.repositoryAgents ? await repositoryGuests(folder, tools.catalog, note) : []),
];

/** The roles that a plan may name, each with the first agent that has it. */
const rolesOf = ({ tools }: Attempt, guests: readonly Guest[]): { role: string; says: string }[] => {
  const roles = new Map<string, string>();
  for (const { role, description } of [...tools.catalog.agents.values(), ...guests.map(({ agent }) => agent)]) {
    if (!roles.has(role) && role !== 'orchestrator') roles.set(role, description);
  }
  return [...roles].map(([role, says]) => ({ role, says }));
};
