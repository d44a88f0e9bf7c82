/**
 * Stage 5: what an outcome means. One exhaustive switch, one script (`settle-7.lua`), and the one log line
 * that a failure gets.
 *
 * Outcomes are collected and go out at 64 or at the end of the tick, while reading goes on. The connection
 * never resends by itself; this file asks again until there is an answer. "lost" after such a second
 * question may mean that the first one had committed: either way the local work is over (rule 2).
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { isFailure, toAppError } from '@nexus/shared/errors';
import type { Log } from '@nexus/shared/telemetry';
import { endedWithin } from './ending.ts';
import type { Keys } from './keys.ts';
import type { LedgerWrite } from './outcome.ts';
import { callScript, isConnectionError, type Redis } from './redis.ts';

/** What a settlement came to. Anything but 'ok' has changed nothing. */
export type Settled = 'ok' | 'lost' | 'epoch' | 'moved' | 'twice' | `type ${string}`;

/** A message that a settlement publishes, ready for the wire. */
export type Outgoing = { inbox: string; json: string; short: string; id: string; delayMs: number | null };

/** How a delivery ends, in the script's words. */
export type Ending =
  | { end: 'done' | 'keep' | 'saved' | 'nobody' }
  | { end: 'park'; id: string; json: string; delayMs: number }
  | { end: 'dead'; id: string; json: string };

export type Settlement = {
  inbox: string;
  entryId: string;
  deliveries: number;
  /** null: valid under any epoch (rule 17). */
  epoch: number | null;
  ending: Ending;
  /** What the journal says of it; '' for nothing. */
  line: string;
  write: readonly LedgerWrite[];
  publish: readonly Outgoing[];
  /** How often the connection had broken when the ledger was read that this was decided on. */
  decidedAt?: number | undefined;
};

export type Settler = {
  settle(settlement: Settlement): Promise<Settled>;
  /** Waits so long for what Redis has not answered yet, then leaves it; returns how many outcomes that were. */
  close(limitMs: number): Promise<number>;
};

export type SettlerOptions = {
  redis: Redis;
  keys: Keys;
  group: string;
  consumer: string;
  journalMax: number;
  /** False while the process has not yet renewed what it holds after a reconnect: that comes first (rule 4). */
  whole?(): boolean;
  /** How often the connection has broken. */
  breaks?(): number;
  log: Log;
};

/** Calls of 64 cost a fifth less CPU than calls of 16 under load, and stay below two milliseconds in the server. */
const outcomesMax = 64;
/** While the server settles one call the next is made: in one piece, what writes the ledger would wait for itself. */
const bytesMax = 40_000;

type Waiting = {
  settlement: Settlement;
  /** What the script reads of it; null where it only ends: then its id and its line are all. */
  values: (string | number)[] | null;
  bytes: number;
  resolve(settled: Settled): void;
};

/** Opens the settling side of a consumer. `settle` resolves when Redis has answered, however long that takes. */
export const makeSettler = (options: SettlerOptions): Settler => {
  let waiting: Waiting[] = [];
  let bytes = 0;
  let scheduled = false;
  const flights = new Map<Promise<void>, number>();
  const life = { over: false };

  const flush = (): void => {
    scheduled = false;
    if (waiting.length === 0) return;
    const flight = send(options, waiting, life).finally(() => flights.delete(flight));
    flights.set(flight, waiting.length);
    waiting = [];
    bytes = 0;
  };

  return {
    settle: (settlement) =>
      new Promise((resolve) => {
        const values = onlyEnds(settlement) ? null : prepare(settlement);
        const one = { settlement, values, bytes: bytesOf(settlement, values), resolve };
        if (bytes + one.bytes > bytesMax) flush();
        waiting.push(one);
        bytes += one.bytes;
        if (waiting.length >= outcomesMax) flush();
        else if (!scheduled) {
          scheduled = true;
          setImmediate(flush);
        }
      }),
    close: async (limitMs) => {
      flush();
      await endedWithin(Promise.all(flights.keys()), limitMs);
      life.over = true;
      return [...flights.values()].reduce((sum, outcomes) => sum + outcomes, 0);
    },
  };
};

/** Nearly every message that is handled: the script is told of all of them together. */
const onlyEnds = ({ ending, write, publish, line }: Settlement): boolean =>
  ending.end === 'done' && write.length + publish.length === 0 && line !== '';

const bytesOf = ({ line }: Settlement, values: (string | number)[] | null): number => {
  let bytes = line.length + 32;
  for (const value of values ?? []) bytes += typeof value === 'string' ? value.length : 8;
  return bytes;
};

/** What the script reads of an entry that does more than end. */
const prepare = (settlement: Settlement): (string | number)[] => {
  const { ending, write, publish } = settlement;
  const { entryId, line } = settlement;
  const values: (string | number)[] = [entryId, line];
  if (ending.end === 'park') values.push('park', ending.id, ending.json, ending.delayMs);
  else if (ending.end === 'dead') values.push('dead', ending.id, ending.json);
  else if (write.length + publish.length === 0) {
    values.push(ending.end);
    return values;
  } else values.push('more', ending.end);
  values.push(write.length);
  for (const one of write) pushWrite(values, one);
  values.push(publish.length);
  for (const { inbox, json, short, id, delayMs } of publish)
    values.push(inbox, json, short, delayMs === null ? '' : `${Math.max(0, Math.round(delayMs))} ${id}`);
  return values;
};

const pushWrite = (values: (string | number)[], write: LedgerWrite): void => {
  switch (write.op) {
    case 'patch': {
      const fields = Object.entries(write.set);
      values.push('patch', write.key, write.revision, fields.length);
      for (const [name, value] of fields) values.push(name, value);
      const deletions = write.del ?? [];
      values.push(deletions.length, ...deletions);
      return;
    }
    case 'remove':
      values.push('remove', write.key);
      return;
    case 'index':
      values.push('index', write.key, write.member, write.score);
      return;
    case 'unindex':
      values.push('unindex', write.key, write.member);
      return;
    case 'unset':
      values.push('unset', write.key, write.field);
      return;
    case 'count':
      values.push('count', write.key, write.field, write.by, write.seconds ?? 0);
      return;
  }
};

/** One call, asked again until Redis answers; says once that it waits, and once that it goes on. */
const send = async (options: SettlerOptions, all: Waiting[], life: { over: boolean }): Promise<void> => {
  const { redis, keys, log } = options;
  const names = [keys.control, keys.journal, keys.parked, keys.due, keys.dead, keys.deadOrder, keys.deaths];
  let batch = all;
  for (let tries = 0; ; tries += 1) {
    batch = refuseOutdated(options, batch);
    if (batch.length === 0) return;
    const sets = setsOf(batch);
    const values = valuesOf(options, sets);
    try {
      if (!stands(options)) throw new Error('the connection has to stand again first');
      const results = (await callScript(redis, 'nexusSettle', names, values)) as (Settled | Settled[])[];
      if (tries > 0)
        log.debug({ tries, outcomes: batch.length }, 'Redis answers again; the waiting outcomes are settled');
      answer(sets, results);
      return;
    } catch (error) {
      const reason = toAppError(error).message;
      if (isAnswer(error)) {
        // Asked again it would say the same. What is not settled is still held here, and will be found.
        if (!reason.includes('NOGROUP')) log.error({ outcomes: batch.length, reason }, 'A settlement failed in Redis');
        for (const one of batch) one.resolve('lost');
        return;
      }
      // An outage is told once by whoever looks after the connections.
      const known = isConnectionError(error) || !stands(options);
      if (tries === 0)
        log[known ? 'debug' : 'warn']({ outcomes: batch.length, reason }, 'Redis does not settle; the outcomes wait');
      if (life.over) {
        for (const one of batch) one.resolve('lost');
        return;
      }
      await sleep(Math.min(1000, 50 * 2 ** tries));
    }
  }
};

/** Entries that have inbox, epoch and delivery count in common; of them those that only end, and the others. */
type EntrySet = { of: Settlement; plain: Waiting[]; others: Waiting[] };

/**
 * What entries have in common is said once: nearly always all of them have. That does not keep their order, so where
 * an entry comes twice each is a set of its own: of two outcomes of one entry the first counts.
 */
const setsOf = (batch: readonly Waiting[]): EntrySet[] => {
  const sets: EntrySet[] = [];
  const inOrder = new Set(batch.map(({ settlement }) => settlement.entryId)).size < batch.length;
  let own: EntrySet | undefined;
  for (const one of batch) {
    const { settlement } = one;
    if (own === undefined || inOrder || !isAlike(own.of, settlement)) {
      own = inOrder ? undefined : sets.find(({ of }) => isAlike(of, settlement));
      if (own === undefined) {
        own = { of: settlement, plain: [], others: [] };
        sets.push(own);
      }
    }
    (one.values === null ? own.plain : own.others).push(one);
  }
  return sets;
};

const isAlike = (one: Settlement, other: Settlement): boolean =>
  one.inbox === other.inbox && one.epoch === other.epoch && one.deliveries === other.deliveries;

const valuesOf = (options: SettlerOptions, sets: readonly EntrySet[]): (string | number)[] => {
  const values: (string | number)[] = [options.group, options.consumer, options.journalMax, sets.length];
  for (const { of, plain, others } of sets) {
    const ids = plain.map(({ settlement }) => settlement.entryId).join(' ');
    const lines = plain.map(({ settlement }) => settlement.line).join('\n');
    values.push(of.inbox, of.epoch ?? '', of.deliveries, ids, lines, others.length);
    for (const one of others) for (const value of one.values ?? []) values.push(value);
  }
  return values;
};

/** Hands out what the script returned, in the order in which it was told. */
const answer = (sets: readonly EntrySet[], results: readonly (Settled | Settled[])[]): void => {
  let at = 0;
  for (const { plain, others } of sets) {
    const of = results[at] ?? 'lost';
    at += 1;
    for (const [n, one] of plain.entries()) one.resolve(typeof of === 'string' ? of : (of[n] ?? 'lost'));
    for (const one of others) {
      one.resolve((results[at] as Settled | undefined) ?? 'lost');
      at += 1;
    }
  }
};

/**
 * Of what was decided before the connection broke the handler decides again: a server that has lost its last writes,
 * as after a failover, may stand at the same revision with other contents.
 */
const refuseOutdated = ({ breaks }: SettlerOptions, batch: Waiting[]): Waiting[] => {
  const now = breaks?.() ?? 0;
  const isOutdated = ({ settlement: { decidedAt } }: Waiting): boolean => decidedAt !== undefined && decidedAt !== now;
  if (!batch.some(isOutdated)) return batch;
  for (const one of batch) if (isOutdated(one)) one.resolve('moved');
  return batch.filter((one) => !isOutdated(one));
};

const stands = (options: SettlerOptions): boolean => options.whole?.() !== false;

/** True for what the script itself met, unlike what Redis or the connection says of its own state. */
const isAnswer = (error: unknown): boolean =>
  !isFailure(error) && error instanceof Error && /^(NOGROUP|WRONGTYPE|ERR) |NOGROUP/.test(error.message);
