/**
 * How entries come to a consumer: one call of the take script, or one blocking read. Both give deliveries.
 */
import { bodyOf } from './claims.ts';
import type { Control } from './control.ts';
import type { Delivery } from './delivery.ts';
import { callScript, type Redis } from './redis.ts';

/** Who reads: its name, its group (the service), its four inboxes in the order in which they are served. */
export type Reader = { service: string; instanceId: string; inboxes: readonly string[]; control: Control };

export type Asked = {
  free: number;
  /** Begin at the lowest priority. */
  lowestFirst: boolean;
  /** Look for entries that have been idle for so long; null: not now. */
  idleMs: number | null;
  /** Read new entries, too. */
  fresh: boolean;
  /** Peers whose entries may be taken over. */
  dead: readonly string[];
  /** When this is asked, as Redis' clock says: what Redis reads much later takes nothing over from peers. */
  sentAt: number;
};

/** `held`: the fleet is stopped or paused, or the service or this instance is held by itself. */
export type Taken = { held: boolean; deliveries: Delivery[]; fromDead: number; fromIdle: number };

type Row = [number, string, number, string, 'nobody' | 'dead' | 'idle' | 'new', number, string];

/** So many entries a call at most: five hundred take two milliseconds, in which Redis serves nobody else. */
const entriesMax = 500;

export const take = async (redis: Redis, names: [string, string], reader: Reader, asked: Asked): Promise<Taken> => {
  const { service, instanceId, inboxes, control } = reader;
  const values = [
    service,
    instanceId,
    Math.min(asked.free, entriesMax),
    asked.lowestFirst ? 1 : 0,
    asked.idleMs === null ? 0 : 1,
    asked.idleMs ?? 0,
    asked.fresh ? 1 : 0,
    Math.round(asked.sentAt),
    asked.dead.length,
    ...asked.dead,
  ];
  const reply = await callScript(redis, 'nexusTake', [...names, ...inboxes], values);
  const [epoch, state, ...rows] = reply as [number, string, ...Row[]];
  const held = state === 'held';
  if (!held) control.learn(epoch, state);
  const deliveries = rows.map(([number, entryId, count, body, , deaths, alone]) => ({
    inbox: inboxes[number - 1] ?? '',
    entryId,
    deliveries: count,
    body,
    epoch,
    deaths,
    diedAlone: alone === '1',
  }));
  const from = (source: string): number => rows.filter((row) => row[4] === source).length;
  return { held, deliveries, fromDead: from('dead'), fromIdle: from('idle') };
};

/** One blocking read over the four inboxes. COUNT is per stream, so it may give more than was asked for. */
export const block = async (reading: Redis, reader: Reader, count: number, waitMs: number): Promise<Delivery[]> => {
  const { service, instanceId, inboxes, control } = reader;
  const streams = [...inboxes, ...inboxes.map(() => '>')];
  const how = ['COUNT', count, 'BLOCK', waitMs, 'STREAMS'] as const;
  const reply = (await reading.xreadgroup('GROUP', service, instanceId, ...how, ...streams)) as
    | [string, [string, string[] | null][]][]
    | null;
  const { epoch } = control.known();
  return (reply ?? []).flatMap(([inbox, entries]) =>
    entries.map(([entryId, fields]) => ({
      inbox,
      entryId,
      deliveries: 1,
      body: bodyOf(fields),
      epoch,
      deaths: 0,
      diedAlone: false,
    })),
  );
};
