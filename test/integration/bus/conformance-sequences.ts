/**
 * Any sequence of commands, made up by fast-check, has the same answers on two fabrics and leaves the same state.
 * Deliveries are named by their place among all that were delivered so far, since ids differ between fabrics.
 */
import fc from 'fast-check';
import { expect } from 'vitest';
import type { FabricPort, Outgoing, Row, Write } from '../../simulation/fabric-port.ts';
import { beginOf, group, settlementOf, takeOf } from './conformance-tools.ts';

const consumers = ['A', 'B', 'C'] as const;
const idleMs = 15_000;
const consumer = fc.constantFrom(...consumers);
/** Which of the deliveries so far; the newest are the likeliest to be worth asking for. */
const which = fc.nat({ max: 5 });
const inbox = fc.constantFrom('finalizer:NORMAL', 'finalizer:LOW', 'finalizer:HIGH', 'orchestrator:NORMAL');
/** Nothing falls due, or idle, within the few seconds that a run takes on a real clock. */
const delayMs = fc.constantFrom(null, null, 10_000, 30_000);
/** Writes of both kinds meet under `mixed`, where only one of them can be right. */
const document = fc.constantFrom('task:t', 'task:u', 'load', 'mixed');
const index = fc.constantFrom('tasks:open', 'mixed');
const field = fc.constant('n');
const member = fc.constantFrom('t', 'u');
const status = fc.constantFrom('in_progress', 'cancelled', 'failed', 'completed');
const epoch = fc.nat({ max: 3 });

const write: fc.Arbitrary<Write> = fc.oneof(
  fc.record({
    op: fc.constant('patch' as const),
    key: document,
    revision: fc.nat({ max: 2 }),
    set: fc.record({ status }),
  }),
  fc.record({ op: fc.constant('count' as const), key: document, field, by: fc.constantFrom(-1, 1, 2) }),
  fc.record({ op: fc.constant('index' as const), key: index, member, score: fc.nat({ max: 9 }) }),
  fc.record({ op: fc.constant('unindex' as const), key: index, member }),
  fc.record({ op: fc.constant('remove' as const), key: fc.oneof(document, index) }),
  fc.record({ op: fc.constant('unset' as const), key: fc.constant('control'), field: fc.constant('task:t') }),
);
const ending = fc.constantFrom('done', 'done', 'keep', 'saved', 'nobody', 'park', 'dead');
const word = fc.constantFrom('STOP_ALL', 'PAUSE_ALL', 'RESUME_ALL', 'RESUME_ALL', 'DRAIN');
const scope = fc.constantFrom('', '', 'task:t', 'agent:a', 'service:finalizer', 'instance:A');

const settled = fc.record({
  ...{ which, ending, delayMs: fc.constantFrom(10_000, 30_000), guarded: fc.option(epoch, { freq: 2 }) },
  ...{ write: fc.array(write, { maxLength: 2 }), publish: fc.array(fc.record({ inbox, delayMs }), { maxLength: 2 }) },
});

const command = fc.oneof(
  { weight: 5, arbitrary: fc.record({ do: fc.constant('publish' as const), inbox, delayMs, again: fc.boolean() }) },
  {
    weight: 6,
    arbitrary: fc.record({
      ...{ do: fc.constant('take' as const), consumer, free: fc.integer({ min: 1, max: 3 }) },
      ...{ lowestFirst: fc.boolean(), lookForIdle: fc.boolean(), fresh: fc.boolean() },
      dead: fc.subarray(['A', 'B', 'C'], { maxLength: 1 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('read' as const), consumer, count: fc.constantFrom(1, 2) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('unseen' as const), consumer }) },
  {
    weight: 4,
    arbitrary: fc.record({
      ...{ do: fc.constant('begin' as const), consumer, which, epoch, alone: fc.boolean() },
      ...{ living: fc.boolean(), afterEnd: fc.boolean() },
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      ...{ do: fc.constant('renew' as const), consumer, which: fc.uniqueArray(which, { maxLength: 3 }) },
      ...{ living: fc.boolean(), afterEnd: fc.boolean() },
    }),
  },
  {
    weight: 7,
    arbitrary: fc.record({
      ...{ do: fc.constant('settle' as const), consumer, batch: fc.array(settled, { minLength: 1, maxLength: 3 }) },
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('release' as const), all: fc.boolean(), which }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('beat' as const), consumer, epoch, stopped: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('bury' as const), consumer, counter: fc.nat({ max: 3 }) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('control' as const), word, scope, expected: fc.option(epoch) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('replay' as const), which, drop: fc.boolean() }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('pass' as const) }) },
);
export type Command = typeof command extends fc.Arbitrary<infer C> ? C : never;
export const commands = fc.array(command, { minLength: 5, maxLength: 60, size: 'max' });

/** What one fabric answers to a sequence, step by step, and what lies in it in the end. */
export const play = async (fabric: FabricPort, sequence: readonly Command[]): Promise<unknown[]> => {
  const rows: Row[] = [];
  const ids: string[] = [];
  const said: unknown[] = [];
  for (const [at, one] of sequence.entries()) said.push([one.do, await playOne(fabric, one, at, rows, ids)]);
  said.push(['look', await fabric.look()]);
  return said;
};

/** Both answer alike, and both are left alike. */
export const agree = async (one: FabricPort, other: FabricPort, sequence: readonly Command[]): Promise<void> => {
  expect(await play(one, sequence)).toEqual(await play(other, sequence));
};

const playOne = async (fabric: FabricPort, one: Command, at: number, rows: Row[], ids: string[]): Promise<unknown> => {
  const seen = (delivered: readonly Row[]): unknown => {
    rows.push(...delivered);
    return delivered.map(({ id: _id, ...rest }) => rest);
  };
  const row = (back: number): Row | undefined => rows[rows.length - 1 - back];
  const demands = 'living' in one ? { living: one.living, afterEnd: one.afterEnd } : { living: false, afterEnd: false };
  switch (one.do) {
    case 'publish': {
      const id = `m${at}`;
      ids.push(id);
      const edge = { limit: one.again ? 6 : null, seen: one.again ? 'seen:k' : null, remember: id, mark: null };
      return fabric.publish([
        { ...{ inbox: one.inbox, json: id, id, delayMs: later(one.delayMs, at), attach: [] }, ...edge },
      ]);
    }
    case 'take': {
      const { do: _do, consumer: by, ...asked } = one;
      const { rows: delivered, ...rest } = await fabric.take(takeOf(by, { ...asked, idleMs }));
      return [rest, seen(delivered)];
    }
    case 'read':
      return seen(await fabric.read(group, one.consumer, one.count));
    case 'unseen':
      return seen(await fabric.pendingAt(group, one.consumer));
    case 'begin': {
      const claim = row(one.which);
      if (claim === undefined || claim.inbox.startsWith('orchestrator')) return null;
      const publish = [{ inbox: 'orchestrator:LOW', json: `b${at}`, id: `b${at}`, delayMs: null }];
      return fabric.begin({ ...beginOf(one.consumer, claim, one.epoch), ...demands, alone: one.alone, publish });
    }
    case 'renew': {
      const claims = one.which.flatMap((back) => row(back) ?? []);
      const asked = claims.map((claim) => ({ ...claim, taskKey: 'task:t', scopes: ['task:t', 'agent:a'], ...demands }));
      return fabric.renew(group, one.consumer, asked);
    }
    case 'settle': {
      const batch = one.batch.flatMap((settling, nth) => {
        const claim = row(settling.which);
        return claim === undefined ? [] : [settlement(claim, settling, at, nth, ids)];
      });
      if (batch.length === 0) return null;
      // Keys are told with their prefix, which differs.
      const results = await fabric.settle(group, one.consumer, batch);
      return results.map((result) => (result.startsWith('type') ? 'type' : result));
    }
    case 'release':
      return fabric.release(one.all ? null : ids.slice(-1 - one.which, ids.length - one.which), 100);
    case 'beat':
      return fabric.beat(group, one.consumer, one.epoch, one.stopped ? 'stopped' : 'running');
    case 'bury':
      return fabric.bury(group, one.consumer, one.counter === 0 ? '' : String(one.counter));
    case 'control':
      return fabric.control({ word: one.word, scope: one.scope, expected: one.expected });
    case 'replay': {
      const id = ids.at(-1 - one.which) ?? 'nobody';
      return fabric.replay(id, 'finalizer:NORMAL', one.drop ? null : `replayed ${id}`);
    }
    case 'pass':
      return fabric.pass(12_000);
  }
};

type Settling = typeof settled extends fc.Arbitrary<infer S> ? S : never;

/** What a later command parks falls due later, if only by a little: in which order is the same on both. */
const later = <T extends number | null>(delay: T, at: number): T => (delay === null ? delay : delay + 10 * at) as T;

const settlement = (claim: Row, of: Settling, at: number, place: number, ids: string[]) => {
  const name = `${at}.${place}`;
  const id = String(claim.body).replace(/^replayed |^again /, '');
  const publish: Outgoing[] = of.publish.map((sent, nth) => {
    const outgoing = { ...sent, delayMs: later(sent.delayMs, at), json: `f${name}.${nth}`, id: `f${name}.${nth}` };
    if (sent.delayMs !== null) ids.push(outgoing.id);
    return outgoing;
  });
  const end =
    of.ending === 'park'
      ? ({ end: 'park', id, json: `again ${id}`, delayMs: later(of.delayMs, at) } as const)
      : of.ending === 'dead'
        ? ({ end: 'dead', id, json: `letter ${id}` } as const)
        : ({ end: of.ending as 'done' | 'keep' | 'saved' | 'nobody' } as const);
  return settlementOf(claim, { ending: end, epoch: of.guarded, write: of.write, publish });
};
