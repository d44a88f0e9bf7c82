/**
 * Stage 7: who is alive, and whose entries may be taken over.
 *
 * The beat is a counter. A peer is dead if its counter stood still while this observer completed its own beats
 * on one unbroken connection, and no connection bears its name any more; a paused process keeps its connection,
 * so its entries are taken only when they have been idle for too long (rules 3 and 4). After a reconnect every
 * observation begins at zero: otherwise, after a restart of Redis, everybody would take over everybody.
 */
import type { Presence, ServiceName } from '@nexus/shared/messages/domain';
import type { Log } from '@nexus/shared/telemetry';
import type { Control } from './control.ts';
import type { Delivery, TaskDemands } from './delivery.ts';
import { partsOfToken, tokenOf } from './delivery.ts';
import { withoutField } from './envelope.ts';
import type { Keys } from './keys.ts';
import { callScript, type Redis } from './redis.ts';
import type { Reader } from './take.ts';

export const beatMs = 1000;
const soonMs = 200;

/** How often what is done, and how long what is waited for. */
export const rhythmByDefault = {
  beatMs,
  /** A beat that stood still for so long is stale. */
  staleMs: 1500,
  renewMs: 3000,
  /** Five renewals: an entry that idle is held by nobody who is well. */
  idleMs: 15_000,
  /** Younger entries that are pending here may still be on their way. */
  unseenMs: 2000,
  /** How long a suspect entry waits to be alone. */
  aloneMs: 60_000,
  /** How long an aborted handler may take to checkpoint when its process ends. */
  abortMs: 15_000,
  /** How long an end waits for Redis where it does not answer. */
  closeMs: 5000,
};
export type Rhythm = typeof rhythmByDefault;

export type Heart = {
  /** Names of peers that are dead, with entries that may be taken over. */
  dead(): string[];
  /** A takeover of this peer is complete, as far as this process saw: forget it if nothing is pending there. */
  bury(name: string): Promise<void>;
  /** Called after a reconnect, once the first beat was answered: before all else (rule 4). */
  onReturn(listener: () => Promise<void>): void;
  /** False from the moment that the connection breaks until it stands again and all of `onReturn` is done. */
  whole(): boolean;
  /** How often the connection has broken so far. */
  breaks(): number;
  /** Called after every beat that Redis answered. */
  onBeat(listener: (beat: number) => void): void;
  /** Beats sooner than it would, at most five times a second: something new is to be told. */
  soon(): void;
  /** Milliseconds since Redis last answered a beat. */
  sinceBeatMs(): number;
  /** For how long every beat was answered soon, on one connection. */
  steadyMs(): number;
  /** Redis time minus ours, in ms, as the last beat saw it. */
  skewMs(): number;
  /** Beats no more and says goodbye, so that no peer has to find out. */
  close(): Promise<void>;
};

type Peer = { counter: string; stoodStillSince: number; ownBeats: number };

/** What can be judged about peers, apart from time and Redis: fed with each beat's reply, tested alone. */
export const makeObserver = (self: string, staleMs: number) => {
  let peers = new Map<string, Peer>();
  return {
    /** Begin at zero: the connection was broken. */
    reset: () => {
      peers = new Map();
    },
    /** Takes one reply (names and counters, flat); returns the names whose counter stands still too long. */
    observe: (flat: readonly string[], nowMs: number): string[] => {
      const next = new Map<string, Peer>();
      const stale: string[] = [];
      for (let at = 0; at < flat.length; at += 2) {
        const [name = '', counter = ''] = [flat[at], flat[at + 1]];
        if (name === self) continue;
        const before = peers.get(name);
        const still = before !== undefined && before.counter === counter;
        const peer = still
          ? { ...before, ownBeats: before.ownBeats + 1 }
          : { counter, stoodStillSince: nowMs, ownBeats: 0 };
        next.set(name, peer);
        if (peer.ownBeats >= 2 && nowMs - peer.stoodStillSince >= staleMs) stale.push(name);
      }
      peers = next;
      return stale;
    },
    counterOf: (name: string): string => peers.get(name)?.counter ?? '',
  };
};

type Options = {
  redis: Redis;
  keys: Keys;
  service: ServiceName;
  instanceId: string;
  control: Control;
  inboxes: string[];
  /** What to tell with this beat; null if nothing has changed. */
  presence: () => Presence | null;
  /** Told after each beat: null, or why there was no answer. */
  answered: (error: Error | null) => void;
  rhythm: Rhythm;
  log: Log;
};

/** Starts beating; resolves after the first beat. */
export const openHeart = async (options: Options): Promise<Heart> => {
  const { redis, keys, service, instanceId, control, rhythm, log } = options;
  const observer = makeObserver(instanceId, rhythm.staleMs);
  const listeners: ((beat: number) => void)[] = [];
  const returns: (() => Promise<void>)[] = [];
  // How often the connection broke, and of these how often all was done that comes first afterwards.
  let [breaks, returned] = [0, 0];
  let dead: string[] = [];
  let answeredAt = performance.now();
  let steadySince = answeredAt;
  let skew = 0;
  let beats = 0;
  let closed = false;
  let timer: NodeJS.Timeout | undefined;
  let beating: Promise<void> = Promise.resolve();

  const names = [keys.beats(service), keys.presence, ...options.inboxes];
  const bury = async (name: string, counter: string): Promise<void> => {
    if (options.inboxes.length === 4) await callScript(redis, 'nexusBury', names, [service, name, counter]);
    else await redis.multi().hdel(keys.beats(service), name).hdel(keys.presence, name).exec();
  };
  redis.on('close', () => {
    breaks += 1;
    steadySince = Number.POSITIVE_INFINITY;
    observer.reset();
    dead = [];
  });
  redis.on('ready', () => schedule(0));
  const beat = async (): Promise<void> => {
    const told = options.presence();
    const known = control.known();
    const values = [instanceId, told ? JSON.stringify(told) : '', known.epoch, known.state];
    const reply = await callScript(redis, 'nexusBeat', [keys.beats(service), keys.presence, keys.control], values);
    const [time, epoch, state, flat] = reply as [number, number, string, string[]];
    const asOf = performance.now();
    if (asOf - answeredAt > rhythm.beatMs + rhythm.staleMs) steadySince = asOf;
    answeredAt = asOf;
    skew = time - Date.now();
    beats += 1;
    control.learn(epoch, state);
    const stale = observer.observe(flat, answeredAt);
    dead = stale.length === 0 ? [] : await unconnected(redis, stale);
    for (const name of dead) log.debug({ peer: name }, 'A peer is dead; its entries may be taken over');
    // Where there are no inboxes nobody takes over, so nobody else would forget the dead.
    if (options.inboxes.length === 0)
      for (const name of dead) void bury(name, observer.counterOf(name)).catch(() => undefined);
    if (returned !== breaks) {
      const meant = breaks;
      steadySince = asOf;
      for (const listener of returns) await listener();
      returned = meant;
    }
    for (const listener of listeners) listener(beats);
  };
  let due = 0;
  const schedule = (delayMs: number): void => {
    clearTimeout(timer);
    due = performance.now() + delayMs;
    timer = setTimeout(() => {
      due = 0;
      beating = beat()
        .then(() => options.answered(null))
        .catch((error: Error) => {
          if (!closed) options.answered(error);
          observer.reset();
          log.debug({ reason: error.message }, 'A beat was not answered');
        })
        .finally(() => {
          if (!closed) schedule(rhythm.beatMs);
        });
    }, delayMs);
    timer.unref();
  };
  await beat();
  schedule(rhythm.beatMs);

  return {
    dead: () => dead,
    bury: (name) => bury(name, observer.counterOf(name)),
    onReturn: (listener) => {
      returns.push(listener);
    },
    whole: () => returned === breaks,
    breaks: () => breaks,
    onBeat: (listener) => {
      listeners.push(listener);
    },
    soon: () => {
      // Under way (due is 0): the beat after it tells.
      const waitMs = Math.max(0, answeredAt + soonMs - performance.now());
      if (!closed && due > performance.now() + waitMs) schedule(waitMs);
    },
    steadyMs: () => performance.now() - steadySince,
    sinceBeatMs: () => performance.now() - answeredAt,
    skewMs: () => skew,
    close: async () => {
      closed = true;
      clearTimeout(timer);
      await beating;
      await bury(instanceId, '').catch(() => undefined);
    },
  };
};

/** Those of the names that no connection bears: a killed process vanishes from CLIENT LIST within 50 ms. */
const unconnected = async (redis: Redis, names: string[]): Promise<string[]> => {
  const list = String(await redis.client('LIST'));
  const connected = new Set([...list.matchAll(/ name=(\S+)/g)].map((match) => match[1]));
  return names.filter((name) => !connected.has(name));
};

export type Claim = {
  inbox: string;
  entryId: string;
  deliveries: number;
  taskKey: string;
  scopes: string;
  demands: TaskDemands;
};
export type Renewed = 'ok' | 'lost' | 'ended' | 'stopped';

/** Renews claims in one call; tells of each what it is. Also learns the fleet's state. */
export const renew = async (
  redis: Redis,
  keys: Keys,
  control: Control,
  group: string,
  consumer: string,
  claims: readonly Claim[],
): Promise<Renewed[]> => {
  const values = claims.flatMap((claim) => [
    claim.inbox,
    claim.entryId,
    claim.deliveries,
    claim.taskKey,
    claim.scopes,
    ...claim.demands,
  ]);
  const reply = await callScript(redis, 'nexusRenew', [keys.control], [group, consumer, claims.length, ...values]);
  const [epoch, state, ...results] = reply as [number, string, ...Renewed[]];
  control.learn(epoch, state);
  return results;
};

/**
 * Whether the claim that a token names still stands: its entry is pending at that consumer with that delivery count.
 * That of a dead process stands until somebody takes it over.
 */
export const isClaimed = async (
  redis: Redis,
  inboxes: readonly string[],
  group: string,
  token: string,
): Promise<boolean> => {
  const named = partsOfToken(token);
  if (named === null) return false;
  const { entryId, deliveries } = named;
  const found = await Promise.all(inboxes.map((inbox) => redis.xpending(inbox, group, entryId, entryId, 1)));
  const rows = found.flat() as [string, string, number, number][];
  return rows.some(
    ([, consumer, , count]) => count === deliveries && tokenOf(consumer, { entryId, deliveries }) === token,
  );
};

/** Whether one of these instances is the consumer that a token names. */
export const isHeldBy = (token: string, living: readonly Presence[]): boolean => {
  const named = partsOfToken(token);
  return named !== null && living.some(({ instance_id }) => tokenOf(instance_id, named) === token);
};

export type Found = Omit<Delivery, 'epoch'>;

/**
 * Entries that are pending at this consumer but that it never saw: a socket died while the reply was under
 * way (rule 3). `holds` tells what it does hold. Younger entries than `unseenMs` may still be on their way.
 */
export const findUnseen = async (
  redis: Redis,
  keys: Keys,
  { inboxes, service: group, instanceId: consumer }: Omit<Reader, 'control'>,
  unseenMs: number,
  holds: (inbox: string, entryId: string) => boolean,
): Promise<Found[]> => {
  const found: Found[] = [];
  for (const inbox of inboxes) {
    const rows = await redis.xpending(inbox, group, 'IDLE', unseenMs, '-', '+', 500, consumer);
    for (const [entryId, , , deliveries] of rows as [string, string, number, number][]) {
      if (holds(inbox, entryId)) continue;
      const [entry] = await redis.xrange(inbox, entryId, entryId);
      if (entry === undefined) await redis.xack(inbox, group, entryId);
      else {
        const [deaths, alone] = await redis.hmget(keys.deaths, `${inbox}|${entryId}`, `${inbox}|${entryId}|alone`);
        const died = { deaths: Number(deaths ?? 0), diedAlone: alone === 'died' };
        found.push({ inbox, entryId, deliveries, body: bodyOf(entry[1]), ...died });
      }
    }
  }
  return found;
};

/** The field `m` of an entry; without it all that the entry holds, so that its dead letter can show it. */
export const bodyOf = (fields: readonly string[] | null): string => {
  for (let at = 0; fields !== null && at < fields.length; at += 2) if (fields[at] === 'm') return fields[at + 1] ?? '';
  return withoutField + JSON.stringify(fields ?? []);
};
