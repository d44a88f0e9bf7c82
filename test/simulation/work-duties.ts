/**
 * What workers, checkers and finalizers do with a message, step by step: begin, run, checkpoint, settle. Between any
 * two steps their process may die, sleep, lose its claim or be stopped.
 */
import assert from 'node:assert/strict';
import { type FollowUp, followUp } from '@nexus/shared/bus';
import { fail } from '@nexus/shared/errors';
import type { Kind } from '@nexus/shared/messages';
import { attemptFinished, check, mergeFinished, node, verdictReached } from '../tools/board.ts';
import { boardKey } from './ledger-duties.ts';
import type { Job, Process } from './process.ts';
import { checkpoint, poisoned, settle } from './settling.ts';
import type { World } from './world.ts';

/** Brings a delivery one step on. */
export const work = (world: World, process: Process, job: Job): void => {
  if (suspect(world, process, job)) return;
  const { epoch, state } = process.known;
  const isOver = job.spawned && (state === 'stopped' || epoch !== job.epoch);
  assert(!isOver || job.abort !== null, `${process.name} works on at ${job.mail.id} though it knows of the STOP`);
  if (job.abort !== null) {
    leave(world, process, job, job.abort);
    return;
  }
  if (job.stage === 0) {
    if (job.mail.type === 'hub.discarded' || job.mail.type === 'hub.expired') done(world, process, job, []);
    else begin(world, process, job);
    return;
  }
  if (job.mail.poison) {
    world.kill(process, 'poison');
    return;
  }
  const { chooses } = world;
  if (job.stage < 4 && chooses.chance(0.35)) {
    job.stage += 1;
    if (job.mail.type === 'subtask.dispatched' && chooses.chance(0.3)) saveWork(world, process, job);
    return;
  }
  if (world.calm < 1 && chooses.chance(0.01)) {
    settle(world, process, job, { is: 'failed', error: fail('UNEXPECTED', { message: 'something went wrong' }) });
    return;
  }
  finish(world, process, job);
};

/** True if this was all that may be done now with an entry that killed processes before (rule 6). */
export const suspect = (world: World, process: Process, job: Job): boolean => {
  if (job.row.diedAlone) {
    settle(world, process, job, poisoned(job.row.deaths));
    return true;
  }
  if (!job.alone || job.stage > 0) return false;
  if (process.jobs.length === 1) return false;
  job.waited += 1;
  if (job.waited > 12) settle(world, process, job, { is: 'give_back' });
  return true;
};

/** Ends the local work: a stopped attempt saves what it has and is given back. */
const leave = (world: World, process: Process, job: Job, why: NonNullable<Job['abort']>): void => {
  job.spawned = false;
  if (why === 'lost') world.over(process, job);
  else if (why === 'ended') settle(world, process, job, { is: 'done', publish: [], write: [] });
  else {
    if (job.stage > 0 && job.mail.type === 'subtask.dispatched') saveWork(world, process, job);
    settle(world, process, job, { is: 'give_back' });
  }
};

/** The gate before anything is spawned; true if it let the delivery through. */
export const begin = (world: World, process: Process, job: Job): boolean => {
  const { mail } = job;
  const { task_id, subtask_id, attempt, agent_id } = mail.payload;
  const publish: FollowUp[] = [];
  if (mail.type === 'subtask.dispatched') {
    const begun = { task_id, subtask_id, attempt, agent_id, instance_id: process.name, began_at: world.at };
    // After a failover the same delivery may begin once more; only then is that the same message twice.
    const token = `${process.name}.${job.row.id}.${job.row.deliveries}`;
    const key = world.failovers > 0 ? `${token} after failover ${world.failovers}` : token;
    publish.push(followUp('attempt.begun', begun, { key }));
  }
  const said = world.begin(process, job, publish);
  if (said === 'ok') {
    job.stage = 1;
    job.spawned = true;
    return true;
  }
  if (said === 'lost') leave(world, process, job, 'lost');
  else if (said.startsWith('ended')) leave(world, process, job, 'ended');
  else {
    job.held = said.startsWith('held');
    leave(world, process, job, 'stopped');
  }
  return false;
};

/** A checkpoint: what the next delivery goes on from. */
const saveWork = (world: World, process: Process, job: Job): void => {
  const { task_id: task, subtask_id: subtask } = job.mail.payload;
  const key = `attempt:${task}:${subtask}`;
  const revision = Number(world.fabric.state.hashes.get(key)?.get('revision') ?? 0);
  const write = [{ op: 'patch' as const, key, revision, set: { wip: job.row.deliveries } }];
  if (!checkpoint(world, process, job, write)) job.abort = 'lost';
};

const finish = (world: World, process: Process, job: Job): void => {
  const finishing = finishings[job.mail.type] ?? assert.fail(`nobody handles ${job.mail.type}`);
  finishing(world, process, job);
};

const done = (world: World, process: Process, job: Job, publish: FollowUp[]): void => {
  job.spawned = false;
  settle(world, process, job, { is: 'done', publish, write: [] });
};

const ofMessage = ({ task_id, subtask_id, attempt }: { task_id: string; subtask_id: string; attempt: number }) => ({
  ...{ task_id, subtask_id, attempt },
});

const finishAttempt = (world: World, process: Process, job: Job): void => {
  const { payload } = job.mail;
  const { chooses } = world;
  const of = ofMessage(payload);
  let told = attemptFinished(of, { commit: payload.kind === 'report' ? null : world.hubOf(of.task_id).commit() });
  if (chooses.chance(world.trouble)) {
    const outcome = chooses.pick(['failed', 'timed_out', 'stuck', 'aborted'] as const);
    told = attemptFinished(of, { outcome, code: outcome === 'aborted' ? null : 'AGENT_FAILED' });
  } else if (payload.grows) {
    const ids = Array.from({ length: chooses.between(1, 2) }, (_, at) => `${of.subtask_id.slice(0, 30)}-${at}`);
    const subtasks = ids.map((id, at) => {
      const { grows: _grows, stands_for_plan: _stands, ...rest } = node({ id, depends_on: ids.slice(0, at) });
      return rest;
    });
    const flaw = world.wider && chooses.chance(world.trouble) ? chooses.pick(flaws) : null;
    if (flaw !== null) world.note('bad plan');
    spoil(subtasks, flaw, of.subtask_id);
    told = attemptFinished(of, { plan: flaw === 'unread' ? { problem: 'It is not JSON.' } : { file: { subtasks } } });
  }
  job.spawned = false;
  const forget = { op: 'remove' as const, key: `attempt:${of.task_id}:${of.subtask_id}` };
  settle(world, process, job, { is: 'done', publish: [followUp('attempt.finished', told.payload)], write: [forget] });
};

const flaws = ['unread', 'cycle', 'unknown', 'twice', 'role', 'occupied'] as const;

/** A plan as agents leave it that do not read what is asked for. */
const spoil = (
  subtasks: { id: string; role: string; depends_on: string[] }[],
  flaw: (typeof flaws)[number] | null,
  planner: string,
): void => {
  const [first] = subtasks;
  if (first === undefined) return;
  if (flaw === 'cycle') first.depends_on = [first.id];
  if (flaw === 'unknown') first.depends_on = ['nobody'];
  if (flaw === 'twice') subtasks.push({ ...first });
  if (flaw === 'role') first.role = 'wizard';
  if (flaw === 'occupied') first.id = planner;
};

const finishGate = (world: World, process: Process, job: Job): void => {
  const { payload } = job.mail;
  const { chooses } = world;
  const of = ofMessage(payload);
  const hub = world.hubOf(of.task_id);
  const told: Parameters<typeof verdictReached>[1] = { base: payload.integration, gate_runs: 1 };
  const ungated = world.breaks.has('merge ungated');
  if (chooses.chance(world.trouble)) {
    const verdict = chooses.pick(['failed', 'conflict', 'broken'] as const);
    Object.assign(told, { verdict, says: verdict, files: [], checks: verdict === 'failed' ? [failedCheck] : [] });
    if (ungated)
      Object.assign(told, { verdict: 'passed', tested_commit: hub.test(of.subtask_id, payload.integration) });
  } else {
    const tested = hub.test(of.subtask_id, payload.integration);
    hub.prove(tested);
    Object.assign(told, { verdict: 'passed', tested_commit: tested, checks: [passedCheck] });
  }
  done(world, process, job, [followUp('verdict.reached', verdictReached(of, told).payload)]);
};
const failedCheck = check({ state: 'failed' });
const passedCheck = check({ state: 'passed' });

/** The push is one step, and the settlement another: between them the process may die. */
const finishMerge = (world: World, process: Process, job: Job): void => {
  const { payload } = job.mail;
  const of = ofMessage(payload);
  const hub = world.hubOf(of.task_id);
  if (job.stage < 10) {
    assertDependencies(world, of);
    const outcome = hub.merge(of.subtask_id, payload.base, payload.tested_commit);
    job.memo = { outcome, commit: outcome === 'merged' ? payload.tested_commit : hub.integration };
    job.stage = 10;
    world.trace?.(`${process.name} pushes the merge of ${of.subtask_id}: ${outcome}`);
    return;
  }
  const { outcome, commit } = job.memo;
  const told = mergeFinished(of, { outcome: outcome === 'moved' ? 'moved' : 'merged', commit });
  done(world, process, job, [followUp('merge.finished', told.payload)]);
  if (world.breaks.has('marker after settle') && outcome === 'merged') hub.mark(of.subtask_id, commit);
};

/** What a subtask depends on is merged before it, wherever the board says so. */
const assertDependencies = (world: World, of: { task_id: string; subtask_id: string }): void => {
  const board = world.fabric.state.hashes.get(boardKey(of.task_id));
  const part = board?.get(`s:${of.subtask_id}`) as { state: string; depends_on: string[] } | undefined;
  const { markers } = world.hubOf(of.task_id);
  if (part?.state !== 'merging' || markers.has(of.subtask_id)) return;
  for (const id of part.depends_on) {
    const on = board?.get(`s:${id}`) as { state: string; kind: string } | undefined;
    const hasEnded = on?.state === 'reported' || (on?.state === 'merged' && markers.has(id));
    assert(hasEnded, `${of.subtask_id} is merged before ${id}, which it depends on`);
  }
};

const finishRepository = (world: World, process: Process, job: Job): void => {
  const { task_id } = job.mail.payload;
  const made = { task_id, base_commit: world.baseOf(task_id), warnings: [], code: null, says: '' };
  const refused = { ...made, base_commit: null, code: 'REPOSITORY_MISSING', says: 'There is none.' };
  const isRefused = world.trouble > 0 && world.chooses.chance(0.01);
  done(world, process, job, [followUp('repository.prepared', isRefused ? refused : made)]);
};

const finishRelease = (world: World, process: Process, job: Job): void => {
  const { task_id, outcome, commit } = job.mail.payload;
  const completed = outcome === 'completed';
  if (completed && job.stage < 10) {
    world.hubOf(task_id).release(commit);
    job.stage = 10;
    return;
  }
  const checks = { passed: 0, failed: 0, skipped: 0, broken: 0 };
  const rest = { repository: null, checks, proven: false, undo: null, look: null, start: null };
  const result = completed ? { branch: `nexus/${task_id}`, commit, ...rest } : null;
  done(world, process, job, [followUp('release.finished', { task_id, result, code: null, says: '' })]);
};

const finishings: Partial<Record<Kind, typeof finish>> = {
  'subtask.dispatched': finishAttempt,
  'candidate.submitted': finishGate,
  'merge.requested': finishMerge,
  'repository.requested': finishRepository,
  'release.requested': finishRelease,
};
