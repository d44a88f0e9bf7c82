/**
 * The fabric: acknowledged JSON messages on Redis Streams. This is the door.
 *
 * What it promises. A message that `publish` acknowledged reaches one end: handled, dead letter, or waiting
 * in its inbox or in the park. What a handler returned is settled once and whole: follow-ups, ledger and
 * acknowledgement in one script, guarded by the claim, the epoch and the revisions it was decided on. A
 * process that lost its claim changes nothing. What it does not promise: that a handler runs only once. An
 * effect outside Redis has to be keyed by the message, so that the second one is harmless.
 *
 * One message's journey, in the order to read the files:
 *   publish.ts  → an envelope (envelope.ts) goes into the inbox of its service and priority (keys.ts)
 *   consume.ts  → the only loop that reads, in one of two modes
 *   attempt.ts  → parse, find the handler, `begin` before anything is spawned, every failure an outcome
 *   outcome.ts  → what a handler may return
 *   settle.ts   → the one place that makes an outcome real
 *   park.ts     → what waits for a time; alarms.ts rings (the only file that knows BullMQ)
 *   claims.ts   → beat, renewal, takeover;  control.ts → STOP_ALL and the epoch
 *   dead.ts     → what cannot be handled;   journal.ts → what observers read
 *
 * To extend it: a new kind of message is an entry in the catalog (`@nexus/shared/messages`); a new
 * guarantee is a check in `settle-7.lua`, before its line.
 */
import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import type { FabricConfig } from '@nexus/shared/config';
import { type AppError, fail } from '@nexus/shared/errors';
import { type Kind, type KindsTo, kindsTo } from '@nexus/shared/messages';
import { type Presence, type ServiceName, serviceName } from '@nexus/shared/messages/domain';
import type { Log, Meters } from '@nexus/shared/telemetry';
import { type Alarms, openAlarms, type Schedule } from './alarms.ts';
import type { AnyHandler, AttemptContext } from './attempt.ts';
import { isClaimed, isHeldBy, openHeart, rhythmByDefault } from './claims.ts';
import { type Ground, openGround } from './connections.ts';
import { Consumer } from './consume.ts';
import { type Control, openControl } from './control.ts';
import { makeRefusals } from './control-word.ts';
import { type DeadLetters, makeDeadLetters } from './dead.ts';
import type { HandlerTools } from './delivery.ts';
import { makeEnding } from './ending.ts';
import { type Message, nameHandled, taskOf } from './envelope.ts';
import { ensureGroups } from './groups.ts';
import { follow, type JournalEntry, type LiveEvent, makeTeller } from './journal.ts';
import { type Keys, keysOf, prioritiesInOrder } from './keys.ts';
import type { Outcome } from './outcome.ts';
import { makePresence, readPresences, type Told } from './presence.ts';
import { type Draft, makePublisher, type Published } from './publish.ts';
import { makeStore, openRedis, patient, type Redis, type RedisOptions, type Store } from './redis.ts';
import { type Counts, memoryShare, readCounts } from './server.ts';
import { makeSettler } from './settle.ts';
import { makeSide, type Side } from './side-scripts.ts';
import { type BusHealth, redisFailure } from './troubles.ts';

export type { Schedule } from './alarms.ts';
export { rhythmByDefault } from './claims.ts';
export type { Control, ControlState, FleetState } from './control.ts';
export type { ControlWord, Scope } from './control-word.ts';
export { type DeadLetters, type Decision, type Letter, type LetterFilter, type Sweep, taskOfLetter } from './dead.ts';
export type { HandlerTools } from './delivery.ts';
export {
  type Envelope,
  envelopeSchema,
  type Message,
  makeEnvelope,
} from './envelope.ts';
export type { JournalEntry, LiveEvent } from './journal.ts';
export { type Keys, keysOf, prioritiesInOrder } from './keys.ts';
export type { LetterEdit } from './letter-edit.ts';
export { done, type FollowUp, followUp, giveBack, type LedgerWrite, type Outcome, postpone } from './outcome.ts';
export { followUpId, unpark } from './park.ts';
export { stateUnder, type Told } from './presence.ts';
export type { Draft, Published } from './publish.ts';
export { isConnectionError, patient, type Store } from './redis.ts';
export { type Counts, describeServer, eraseFabric, type ServerDescription, whyOpen } from './server.ts';
export type { Read, ReadCommand, Side } from './side-scripts.ts';
export { type BusHealth, redisFailure } from './troubles.ts';

/** A handler: from a message and tools to an outcome. It never publishes, acknowledges or retries. */
export type Handler<K extends Kind, T = unknown> = (
  message: Message<K>,
  tools: HandlerTools & T,
) => Outcome | Promise<Outcome>;

/** Exactly the handlers that the catalog demands of a service. */
export type HandlersOf<S extends ServiceName, T = unknown> = { readonly [K in KindsTo<S>]: Handler<K, T> };

export type ConsumeOptions<S extends ServiceName, T> = {
  /** `take` for few slots and long work, `stream` for handlers that only write the ledger. */
  mode: 'take' | 'stream';
  slots: number;
  /** How many deliveries more this process can hold just now, asked before each read; left out: what is free. */
  room?: (() => number) | undefined;
  /** True when no process of what is held lives any more, though it may still be saved: a STOP is carried out then. */
  ended?: (() => boolean) | undefined;
  handlers: HandlersOf<S, T>;
  /** Handed to every handler beside the bus's own tools. */
  tools: T;
};

export type Bus = {
  readonly instanceId: string;
  readonly keys: Keys;
  readonly store: Store;
  readonly control: Control;
  readonly dead: DeadLetters;
  /** Scripts of other modules beside the journey of messages, such as budgets. */
  readonly side: Side;
  /** Enters the fabric at its edge; resolves once Redis has the message. Throws BUS_FULL, MESSAGE_*. */
  publish<K extends Kind>(draft: Draft<K>): Promise<Published>;
  /** Starts the loop that reads this service's inboxes. */
  consume<S extends ServiceName, T>(options: ConsumeOptions<S, T>): void;
  /** From now on this service's schedules are these: each publishes its message once for the whole fleet, per tick. */
  schedule(schedules: readonly Schedule[]): void;
  /** Slots in use now. */
  busy(): number;
  /** Whether the claim that a token names still stands, of whichever service, dead or alive its holder. */
  isClaimed(token: string): Promise<boolean>;
  /** Whether what runs under a claim may go on: it stands, and under STOP, when nobody takes over, its holder lives. */
  mayRun(token: string): Promise<boolean>;
  /** Follows the journal until the signal aborts. */
  follow(options: { after?: string | undefined; signal: AbortSignal }): AsyncGenerator<JournalEntry>;
  /** What all live instances told last. */
  presences(): Promise<Presence[]>;
  /** Changes what this instance tells with its next beat. */
  present(told: Told): void;
  /** True if observers have been told all of it. */
  presented(): boolean;
  tell(event: LiveEvent): void;
  /** True if the edge has taken a task of this id within the last 24 hours. */
  accepted(taskId: string): Promise<boolean>;
  /** Stores a text once for the whole fabric; returns what is stored. */
  rememberOnce(name: string, value: string): Promise<string>;
  /** Share of maxmemory in use, 0 to 1; 0 where there is no limit. */
  memoryShare(): Promise<number>;
  counts(): Promise<Counts>;
  health(): BusHealth;
  /** Why no work is possible now; null: it is. */
  failure(): AppError | null;
  /** Drains, says goodbye and closes every connection. */
  close(graceMs?: number): Promise<void>;
};

export type BusOptions = {
  config: FabricConfig;
  service: ServiceName;
  log: Log;
  meters: Meters;
  /** For programs that only look or send: no beat, no presence. */
  observer?: boolean;
  version?: string;
  limits?: Partial<typeof limitsByDefault>;
};

const limitsByDefault = {
  journalMax: 100_000,
  seenSeconds: 86_400,
  retryBaseMs: 1000,
  sweepMs: 5000,
  aheadMs: 3_600_000,
  /** A beat without an answer for so long is told, though the connection still stands. */
  beatLateMs: 5000,
  cutOffMs: 900_000,
  ...rhythmByDefault,
};

/** Connects, checks the server, reads the state of the fleet. Throws what is wrong with Redis. */
export const openBus = async (options: BusOptions): Promise<Bus> => {
  const { config, service, log, meters } = options;
  const keys = keysOf(config.prefix);
  const instanceId = `${service}-${hostname().slice(0, 24).toLowerCase()}-${randomBytes(4).toString('hex')}`;
  const ground = await openGround({
    config,
    keys,
    service,
    instanceId,
    observer: options.observer ?? false,
    log,
    meters,
  });
  try {
    return await openOn(ground, options, keys, instanceId);
  } catch (error) {
    ground.close();
    throw redisFailure(error, config.redisUrl) ?? error;
  }
};

const openOn = async (ground: Ground, options: BusOptions, keys: Keys, instanceId: string): Promise<Bus> => {
  const { config, service, log, meters } = options;
  const limits = { ...limitsByDefault, ...options.limits };
  const { redis, edge, confirm, connect, connection, troubles, report } = ground;
  const channel = config.controlChannel;
  const teller = makeTeller(redis, keys, limits.journalMax, log);
  const refusals = makeRefusals({ redis, keys, log, channel, tell: teller.tell, noteMs: config.refusedNote });
  const silentMs = config.silentAfter;
  const controlling = { redis: edge, keys, channel, confirm, log, refusals, silentMs };
  const control = await openControl({ ...controlling, listening: connect() });
  const publishing = { redis: edge, keys, confirm, from: { service, instance_id: instanceId }, ...limits };
  const publisher = makePublisher(publishing);
  const store = makeStore(redis);
  const inboxes = await ensureInboxes(redis, keys, service);

  let consumer: Consumer | null = null;
  let ended = (): boolean => false;
  let alarms: Alarms | null = null;
  const alarmsOf = (): Alarms => {
    alarms ??= openAlarms({ ...limits, connection, keys, log, publishing });
    return alarms;
  };
  const self = makePresence({
    instanceId,
    service,
    version: options.version ?? '0.1.0',
    control,
    busy: () => consumer?.busy ?? 0,
    quiet: () => (consumer?.quiet ?? true) || ended(),
  });
  const heart = options.observer
    ? null
    : await openHeart({
        redis,
        keys,
        service,
        instanceId,
        control,
        inboxes,
        answered: (error) => {
          // What this beat was to tell has not arrived.
          if (error !== null) self.forget();
          report('beat', error);
        },
        presence: self.toTell,
        rhythm: limits,
        log,
      });
  if (heart !== null) ground.watchBeat(heart.sinceBeatMs, limits.beatLateMs);
  const measure = makeMeasure(meters);
  const times = () => [heart?.sinceBeatMs() ?? 0, consumer?.sinceTurnMs ?? 0, limits.beatLateMs] as const;

  return {
    instanceId,
    keys,
    store,
    control,
    dead: makeDeadLetters({ redis, keys, journalMax: limits.journalMax, recordMs: config.letterRecordMs }),
    side: makeSide(redis, keys.prefix),
    publish: publisher.publish,
    consume: (consume) => {
      if (heart === null) throw fail('BUG', { message: 'an observer consumes nothing' });
      if (consume.mode === 'stream') alarmsOf().ring();
      nameHandled(service, Object.keys(consume.handlers));
      const context: AttemptContext = {
        service,
        instanceId,
        redis,
        keys,
        store: patient(store),
        settler: makeSettler({
          redis: connect(),
          keys,
          group: service,
          consumer: instanceId,
          journalMax: limits.journalMax,
          whole: heart.whole,
          breaks: heart.breaks,
          log,
        }),
        breaks: heart.breaks,
        alarms: alarmsOf,
        handlers: consume.handlers as unknown as Record<string, AnyHandler>,
        tools: consume.tools as object,
        log,
        tell: teller.tell,
        skewMs: heart.skewMs,
        retryBaseMs: limits.retryBaseMs,
        journalMax: limits.journalMax,
        scopesOf: (message) => scopesOf(message, service, instanceId),
        measure,
      };
      self.change({ slots: consume.slots });
      ended = consume.ended ?? ended;
      consumer = new Consumer({
        context,
        mode: consume.mode,
        slots: consume.slots,
        room: consume.room ?? (() => consume.slots),
        redis,
        reading: connect(),
        control,
        heart,
        cutOffMs: limits.cutOffMs,
        report,
        rhythm: limits,
        log,
      });
    },
    schedule: (schedules) => alarmsOf().schedule(service, schedules),
    busy: () => consumer?.busy ?? 0,
    isClaimed: (token) => claimStands(redis, keys, token),
    mayRun: async (token) =>
      (await claimStands(redis, keys, token)) &&
      (control.known().state !== 'stopped' || isHeldBy(token, await readPresences(redis, keys, silentMs))),
    follow: (asked) => follow(openQuietly(connection), keys, asked),
    presences: () => readPresences(redis, keys, silentMs),
    present: (told) => {
      self.change(told);
      heart?.soon();
    },
    presented: self.told,
    tell: teller.tell,
    accepted: async (taskId) => (await redis.exists(keys.seen(`task:${taskId}`))) === 1,
    rememberOnce: (name, value) => rememberOnce(redis, keys.once(name), value),
    memoryShare: () => memoryShare(redis),
    counts: () => readCounts(redis, keys),
    health: () => troubles.health(...times()),
    failure: () => troubles.failure(...times())?.error ?? null,
    close: async (graceMs = 0) => {
      self.change({ state: 'draining' });
      const outcomes = (await consumer?.close(graceMs)) ?? 0;
      const ending = makeEnding(Math.max(0, limits.closeMs - (heart?.sinceBeatMs() ?? 0)));
      await ending.step('publications', publisher.flushed());
      await ending.step('live events', teller.close());
      await ending.step('alarms', alarms?.close());
      await ending.step('the goodbye', heart?.close());
      control.close();
      ground.close();
      if (outcomes + ending.left.length > 0)
        log.warn(
          { outcomes, left: ending.left },
          'Closed without an answer of Redis; what it was not told is taken over',
        );
    },
  };
};

/** The inboxes of a service, each with its group; none where nothing is addressed to it. */
const ensureInboxes = async (redis: Redis, keys: Keys, service: ServiceName): Promise<string[]> => {
  if (kindsTo(service).length === 0) return [];
  const inboxes = prioritiesInOrder.map((priority) => keys.inbox(service, priority));
  await ensureGroups(redis, keys, service);
  return inboxes;
};

/** Whoever reads on it tells what it meets. */
const openQuietly = (connection: RedisOptions): Redis => {
  const redis = openRedis(connection);
  redis.on('error', () => undefined);
  return redis;
};

/** An instance is named after its service, and so is the group in whose inboxes its claims are. */
const claimStands = async (redis: Redis, keys: Keys, token: string): Promise<boolean> => {
  const group = serviceName.options.find((name) => token.startsWith(`${name}-`));
  if (group === undefined) return false;
  const inboxes = prioritiesInOrder.map((priority) => keys.inbox(group, priority));
  try {
    return await isClaimed(redis, inboxes, group, token);
  } catch (error) {
    // Where nobody ever read, nobody holds anything.
    if (error instanceof Error && error.message.startsWith('NOGROUP')) return false;
    throw error;
  }
};

/** Looked for first: at maxmemory what stands can still be read. */
const rememberOnce = async (redis: Redis, key: string, value: string): Promise<string> => {
  const before = await redis.get(key);
  if (before !== null) return before;
  await redis.set(key, value, 'NX');
  return (await redis.get(key)) ?? value;
};

/** Counts deliveries. The label sets are looked up once: prom-client hashes them at each call. */
const makeMeasure = (meters: Meters): AttemptContext['measure'] => {
  const buckets = [0.001, 0.01, 0.1, 1, 10, 60, 600, 3600];
  const measured = meters.counter('nexus_messages_total', 'Deliveries by kind and outcome.', ['type', 'outcome']);
  const durations = meters.histogram('nexus_message_seconds', 'Time from delivery to settlement.', buckets, ['type']);
  type Known = { timer: { observe(seconds: number): void }; counters: Map<string, { inc(): void }> };
  const types = new Map<string, Known>();
  return (type, outcome, durationMs) => {
    let known = types.get(type);
    if (known === undefined) {
      known = { timer: durations.labels({ type }), counters: new Map() };
      types.set(type, known);
    }
    let counter = known.counters.get(outcome);
    if (counter === undefined) {
      counter = measured.labels({ type, outcome });
      known.counters.set(outcome, counter);
    }
    counter.inc();
    known.timer.observe(durationMs / 1000);
  };
};

/** STOP of any of these concerns a delivery. */
const scopesOf = (message: Message, service: ServiceName, instanceId: string): string[] => {
  const agent = (message.payload as { agent_id?: string }).agent_id;
  const scopes = [`task:${taskOf(message)}`, `service:${service}`, `instance:${instanceId}`];
  return agent === undefined ? scopes : [...scopes, `agent:${agent}`];
};
