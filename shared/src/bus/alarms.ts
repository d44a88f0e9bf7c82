/**
 * Time belongs to BullMQ (rule 16), and only this file knows it. A job is an alarm: it holds an id, nothing
 * else. When it rings, `release` moves the message if it is still parked; the sweep does the same for alarms
 * that were lost.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Log } from '@nexus/shared/telemetry';
import type { Queue, Worker } from 'bullmq';
import type { Keys } from './keys.ts';
import { release } from './park.ts';
import { openRedis, type Redis, type RedisOptions } from './redis.ts';

export type Alarms = {
  /** Sets the alarm of a parked message. Failing only costs seconds, so it is logged, not thrown. */
  set(id: string, delayMs: number): void;
  close(): Promise<void>;
};

const queueName = 'alarms';
const closeMs = 2000;
/** An alarm that rings a moment early finds nothing due; so it rings a moment late. */
const lateMs = 5;

/**
 * Opens the alarm side of a process. With `rings` it also handles alarms and the sweep; a process that only
 * parks sets alarms for others to hear, and loads BullMQ (ten megabytes) only once it does.
 */
export const openAlarms = (options: AlarmOptions): Alarms => {
  const { log } = options;
  let opened: Promise<Opened> | null = null;
  const open = (): Promise<Opened> => {
    opened ??= openQueue(options);
    return opened;
  };
  if (options.rings) {
    open().catch((error: Error) =>
      log.warn({ reason: error.message }, 'Alarms cannot ring here; the sweep of another service does it'),
    );
  }
  return {
    set: (id, delayMs) => {
      open()
        .then(({ queue }) =>
          queue.add('alarm', { id }, { delay: delayMs + lateMs, removeOnComplete: true, removeOnFail: true }),
        )
        .catch((error: Error) =>
          log.debug({ id, reason: error.message }, 'An alarm was not set; the sweep will find it'),
        );
    },
    close: async () => {
      const known = await opened?.catch(() => null);
      const closed = Promise.all([known?.worker?.close(), known?.queue.close()]).catch(() => undefined);
      // Without Redis BullMQ would wait for it for ever.
      await Promise.race([closed, sleep(closeMs, undefined, { ref: false })]);
      // A connection that was handed to BullMQ is ours to close.
      for (const redis of known?.connections ?? []) redis.disconnect();
    },
  };
};

type AlarmOptions = { connection: RedisOptions; keys: Keys; log: Log; rings: boolean; sweepMs: number };
type Opened = { queue: Queue; worker: Worker | null; connections: Redis[] };

const openQueue = async (options: AlarmOptions): Promise<Opened> => {
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
  const queue = new bullmq.Queue(queueName, { connection: connect(), prefix: keys.prefix });
  queue.on('error', waits);
  if (!options.rings) return { queue, worker: null, connections };
  const moving = connect();
  const ring = async (job: { data: { id?: string } }): Promise<void> => {
    await release(moving, keys, job.data.id === undefined ? [] : [job.data.id]);
  };
  const worker = new bullmq.Worker(queueName, ring, { connection: connect(), prefix: keys.prefix, concurrency: 20 });
  worker.on('error', waits);
  const template = { name: 'sweep', data: {}, opts: { removeOnComplete: true } };
  queue
    .upsertJobScheduler('sweep', { every: options.sweepMs }, template)
    .catch((error: Error) =>
      log.warn({ reason: error.message }, 'The sweep of parked messages could not be scheduled'),
    );
  return { queue, worker, connections };
};
