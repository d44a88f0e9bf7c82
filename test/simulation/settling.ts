/**
 * What an outcome means for a delivery, as `attempt.ts` has it: settled in one call, the alarm set only afterwards.
 * Failures become outcomes by the production code.
 */
import assert from 'node:assert/strict';
import type { FollowUp } from '@nexus/shared/bus';
import { type AppError, fail } from '@nexus/shared/errors';
import { entryOf, type Kind } from '@nexus/shared/messages';
import { exhausted, outcomeOf } from '../../shared/src/bus/failure.ts';
import { retryDelayMs } from '../../shared/src/bus/park.ts';
import type { Ending, Settlement, Write } from './fabric-port.ts';
import { followUpOf, type Mail } from './mail.ts';
import type { Job, Process } from './process.ts';
import type { World } from './world.ts';

export type Result =
  | { is: 'done'; publish: readonly FollowUp[]; write: readonly Write[] }
  | { is: 'give_back' }
  | { is: 'postpone'; delayMs: number }
  | { is: 'failed'; error: AppError };

const heldMs = 2000;
const retryBaseMs = 1000;

/** Settles what a handler came to. Returns what Redis said; the job is over unless it was 'moved'. */
export const settle = (world: World, process: Process, job: Job, result: Result): string => {
  const given = result.is === 'failed' ? fromError(world, job, result.error) : result;
  const end = given.is === 'give_back' && job.held ? { is: 'postpone' as const, delayMs: heldMs } : given;
  const said = send(world, process, job, end);
  if (said === 'moved') {
    job.stage = 0;
    return said;
  }
  if (said === 'epoch') {
    send(world, process, job, { is: 'give_back' });
    world.over(process, job);
    return said;
  }
  world.over(process, job);
  return said;
};

type End = Exclude<Result, { is: 'failed' }> | { is: 'park'; mail: Mail; delayMs: number } | Dead;
type Dead = { is: 'dead'; code: string; says: string };

const fromError = (world: World, job: Job, error: AppError): End => {
  const outcome = outcomeOf(error);
  const { mail } = job;
  switch (outcome.is) {
    case 'retry': {
      if (mail.attempt > entryOf(mail.type).retries) return dead(exhausted(outcome, mail.attempt));
      const delayMs = retryDelayMs(mail.attempt, retryBaseMs, () => world.chooses.below(1000) / 1000);
      return { is: 'park', mail: { ...mail, attempt: mail.attempt + 1 }, delayMs };
    }
    case 'dead':
      return dead(outcome);
    case 'give_back':
      return { is: 'give_back' };
    case 'done':
      return outcome as End;
    case 'postpone':
      return { is: 'postpone', delayMs: 5000 };
  }
};

const dead = ({ code, says }: { code: string; says: string }): Dead => ({ is: 'dead', code, says });

const send = (world: World, process: Process, job: Job, end: End): string => {
  const { mail, row } = job;
  const publish = end.is === 'done' ? end.publish.map((next) => followUpOf(mail, next)) : [];
  const write = end.is === 'done' ? end.write : [];
  let ending: Ending = { end: 'done' };
  if (end.is === 'give_back') ending = { end: 'nobody' };
  if (end.is === 'postpone') ending = { end: 'park', id: mail.id, json: mail, delayMs: end.delayMs };
  if (end.is === 'park') ending = { end: 'park', id: mail.id, json: end.mail, delayMs: end.delayMs };
  if (end.is === 'dead') {
    ending = { end: 'dead', id: mail.id, json: mail };
    const word = entryOf(mail.type).died?.(mail.payload, {
      code: end.code,
      says: end.says,
      at: new Date(0).toISOString(),
    });
    if (word) publish.push(followUpOf(mail, { type: word.type as Kind, payload: word.payload, key: 'died' }));
  }
  const guarded = end.is === 'done' && !job.ledgerOnly;
  const settlement: Settlement = {
    ...{ inbox: row.inbox, entryId: row.id, deliveries: row.deliveries, epoch: guarded ? job.epoch : null },
    ...{ ending, write, publish },
  };
  const said = world.settle(process, job, settlement);
  if (said !== 'ok') return said;
  if (end.is === 'dead') world.died(mail, end.code, row);
  if (ending.end === 'park') world.alarm(mail.id, ending.delayMs);
  for (const { id, delayMs } of publish) if (delayMs !== null) world.alarm(id, delayMs);
  return said;
};

/** A checkpoint in the middle of a delivery; false: the claim is lost. */
export const checkpoint = (world: World, process: Process, job: Job, write: readonly Write[]): boolean => {
  const { inbox, id: entryId, deliveries } = job.row;
  const settlement = { inbox, entryId, deliveries, epoch: null, ending: { end: 'saved' } as const, write, publish: [] };
  const said = world.settle(process, job, settlement);
  assert(said === 'ok' || said === 'lost' || said === 'moved', `a checkpoint was answered ${said}`);
  return said !== 'lost';
};

export const poisoned = (deaths: number): Result => ({ is: 'failed', error: fail('POISON', { deaths }) });
