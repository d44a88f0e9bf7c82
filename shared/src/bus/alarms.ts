/**
 * Time belongs to BullMQ (rule 16), and only this file knows it. A job is an alarm: it holds an id, nothing
 * else. When it rings, `release` moves the message if it is still parked; the sweep does the same for alarms
 * that were lost. A schedule's job is a tick: whoever hears it publishes the schedule's message, once a tick.
 *
 * Schedules live in Redis. Every half minute (six sweeps), and after each reconnect, each process says again which it
 * wants and takes away what its service no longer has: a chain of ticks that broke, or a Redis that came back empty,
 * heals.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Kind, PayloadInput } from '@nexus/shared/messages';
import type { ServiceName } from '@nexus/shared/messages/domain';
import type { Log } from '@nexus/shared/telemetry';
import type { Job, Queue, Worker } from 'bullmq';
import { uuidV8 } from './envelope.ts';
import type { Keys } from './keys.ts';
import { release } from './park.ts';
import { makePublisher, type PublisherOptions } from './publish.ts';
import { openRedis, type Redis, type RedisOptions } from './redis.ts';

export type Alarms = {
  /** Sets the alarm of a parked message. Failing only costs seconds, so it is logged, not thrown. */
  set(id: string, delayMs: number): void;
  /** From now on this process hears what rings: alarms, the sweep, and schedules. */
  ring(): void;
  /** From now on these schedules of a service stand, and no others of it. */
  schedule(service: ServiceName, schedules: readonly Schedule[]): void;
  close(): Promise<void>;
};

/** A message that is published every so often, once for the whole fleet. `name` is unique within its service. */
export type Schedule = {
  [K in Kind]: { name: string; everyMs: number; type: K; payload: PayloadInput<K> };
}[Kind];

const queueName = 'alarms';
/** So many sweeps are between two looks whether all that rings still stands. */
const keepSweeps = 6;
const closeMs = 2000;
/** An alarm that rings a moment early finds nothing due; so it rings a moment late. */
const lateMs = 5;

/**
 * Opens the alarm side of a process. One that only parks sets alarms for others to hear, and loads BullMQ (ten
 * megabytes) only once it does.
 */
export const openAlarms = (options: AlarmOptions): Alarms => {
  const { keys, log, publishing, sweepMs, aheadMs } = options;
  let opened: Promise<Opened> | null = null;
  let rings = false;
  let wanted: Wanted = null;
  let timer: NodeJS.Timeout | undefined;
  let closed = false;
  const keep = (): void => {
    if (closed) return;
    // Without BullMQ, which a full memory stops: what waits has to come back, or nothing could drain.
    if (rings) release(publishing.redis, keys).catch(() => undefined);
    keepSchedules(options, open, rings, wanted).catch((error: Error) =>
      log.debug({ reason: error.message }, 'Schedules could not be looked after; it is tried again'),
    );
  };
  const open = (): Promise<Opened> => {
    opened ??= openQueue(options, keep);
    return opened;
  };
  const keepOn = (): void => {
    timer ??= setInterval(keep, keepSweeps * sweepMs);
    timer.unref();
    keep();
  };
  return {
    set: (id, delayMs) => {
      // What is days away may be taken out of the park long before: the sweep finds it in time, and BullMQ keeps less.
      if (delayMs > aheadMs) return;
      open()
        .then(({ queue }) => queue.add('alarm', { id }, { delay: delayMs + lateMs, ...leavesNothing }))
        .catch((error: Error) =>
          log.debug({ id, reason: error.message }, 'An alarm was not set; the sweep will find it'),
        );
    },
    ring: () => {
      if (rings) return;
      rings = true;
      open()
        .then(({ ring }) => ring())
        .catch((error: Error) =>
          log.warn({ reason: error.message }, 'Alarms cannot ring here; the sweep of another service does it'),
        );
      keepOn();
    },
    schedule: (service, schedules) => {
      wanted = { service, schedules };
      keepOn();
    },
    close: async () => {
      closed = true;
      clearInterval(timer);
      const known = await opened?.catch(() => null);
      const ended = known?.close().catch(() => undefined);
      // Without Redis BullMQ would wait for it for ever.
      await Promise.race([ended, sleep(closeMs, undefined, { ref: false })]);
      // A connection that was handed to BullMQ is ours to close.
      for (const redis of known?.connections ?? []) redis.disconnect();
    },
  };
};

type AlarmOptions = {
  connection: RedisOptions;
  keys: Keys;
  log: Log;
  sweepMs: number;
  /** Messages that are due later have no alarm of their own: a sweep is seconds late at most. */
  aheadMs: number;
  /** What a tick's message is published with. */
  publishing: PublisherOptions;
};
type Wanted = { service: ServiceName; schedules: readonly Schedule[] } | null;
type Opened = { queue: Queue; connections: Redis[]; ring(): void; close(): Promise<unknown> };
const leavesNothing = { removeOnComplete: true, removeOnFail: true };
/** What happened to alarms, which nobody reads; BullMQ keeps 10,000 lines of it, a megabyte. */
const streams = { events: { maxLen: 100 } };

const openQueue = async (options: AlarmOptions, onReady: () => void): Promise<Opened> => {
  const { keys, log } = options;
  const bullmq = await import('bullmq');
  const connections: Redis[] = [];
  const connect = (): Redis => {
    const redis = openRedis(options.connection, true);
    redis.on('error', () => undefined);
    connections.push(redis);
    return redis;
  };
  const waits = (error: Error): void => log.debug({ reason: error.message }, 'BullMQ waits for Redis');
  const forQueue = connect();
  forQueue.on('ready', onReady);
  const queue = new bullmq.Queue(queueName, { connection: forQueue, prefix: keys.prefix, streams });
  queue.on('error', waits);
  let worker: Worker | undefined;
  const ring = (): void => {
    const moving = connect();
    const heard = async (job: Job<{ id?: string; schedule?: Schedule }>): Promise<void> => {
      const { id, schedule } = job.data;
      if (schedule === undefined) await release(moving, keys, id === undefined ? [] : [id]);
      else await publishTick(options.publishing, job.id ?? '', schedule);
    };
    const connection = connect();
    worker = new bullmq.Worker(queueName, heard, { connection, prefix: keys.prefix, concurrency: 20 });
    worker.on('error', waits);
    worker.on('failed', (job, error) => {
      log.warn({ job: job?.id, reason: error.message }, 'A sweep, an alarm or a tick failed; the next one is tried');
    });
  };
  return { queue, connections, ring, close: () => Promise.all([worker?.close(), queue.close()]) };
};

/**
 * Publishes the message of a schedule that rang, once in its period: a job may run twice, and a schedule that is made
 * anew rings at once. A scheduler's job is called `repeat:<scheduler>:<when it is due>`.
 */
const publishTick = async (publishing: PublisherOptions, jobId: string, schedule: Schedule): Promise<void> => {
  const { type, payload, everyMs } = schedule;
  const [scheduler = '', dueMs = '0'] = jobId.split(':').slice(-2);
  const tick = `${scheduler}.${Math.floor(Number(dueMs) / everyMs)}`;
  const seenSeconds = Math.ceil(2 + (2 * everyMs) / 1000);
  const draft = { type, payload, thread: scheduler, actor: 'schedule', idempotencyKey: tick, messageId: uuidV8(tick) };
  await makePublisher({ ...publishing, seenSeconds }).publish(draft);
};

/** Says again which schedules there are. One that stands unchanged keeps its next tick. */
const keepSchedules = async (
  options: AlarmOptions,
  open: () => Promise<Opened>,
  rings: boolean,
  wanted: Wanted,
): Promise<void> => {
  const { keys, sweepMs, publishing } = options;
  if (rings) await (await open()).queue.upsertJobScheduler('sweep', { every: sweepMs }, template('sweep', {}));
  if (wanted === null) return;
  const ours = `tick.${wanted.service}.`;
  const names = new Set(wanted.schedules.map(({ name }) => ours + name));
  const tries = { attempts: 5, backoff: { type: 'exponential', delay: 1000 } };
  for (const schedule of wanted.schedules) {
    const made = template('tick', { schedule });
    await (await open()).queue.upsertJobScheduler(
      ours + schedule.name,
      { every: schedule.everyMs },
      { ...made, opts: { ...made.opts, ...tries } },
    );
  }
  // Looked for without BullMQ: a service without schedules need not load it.
  const standing = await publishing.redis.zrange(`${keys.prefix}:${queueName}:repeat`, '0', '-1');
  for (const name of standing)
    if (name.startsWith(ours) && !names.has(name)) await (await open()).queue.removeJobScheduler(name);
};

const template = (name: string, data: object) => ({ name, data, opts: leavesNothing });
