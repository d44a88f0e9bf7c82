/**
 * Time belongs to BullMQ (rule 16), and only this file knows it. A job is an alarm: it holds an id, nothing
 * else. When it rings, `release` moves the message if it is still parked; the sweep does the same for alarms
 * that were lost.
 */
import type { Log } from '@nexus/shared/telemetry';
import { Queue, Worker } from 'bullmq';
import type { Keys } from './keys.ts';
import { release } from './park.ts';
import { openRedis, type Redis, type RedisOptions } from './redis.ts';

export type Alarms = {
  /** Sets the alarm of a parked message. Failing only costs seconds, so it is logged, not thrown. */
  set(id: string, delayMs: number): void;
  close(): Promise<void>;
};

const queueName = 'alarms';
/** An alarm that rings a moment early finds nothing due; so it rings a moment late. */
const lateMs = 5;

/**
 * Opens the alarm side of a process. With `rings` it also handles alarms and the sweep; a process that only
 * parks sets alarms for others to hear.
 */
export const openAlarms = (options: {
  connection: RedisOptions;
  keys: Keys;
  log: Log;
  rings: boolean;
  sweepMs: number;
}): Alarms => {
  const { keys, log } = options;
  const connections: Redis[] = [];
  const connect = (): Redis => {
    const redis = openRedis(options.connection);
    redis.on('error', () => undefined);
    connections.push(redis);
    return redis;
  };
  const queue = new Queue(queueName, { connection: connect(), prefix: keys.prefix });
  queue.on('error', (error) => log.debug({ reason: error.message }, 'BullMQ waits for Redis'));
  let worker: Worker | null = null;
  if (options.rings) {
    const moving = connect();
    worker = new Worker(
      queueName,
      async (job) => {
        const id = (job.data as { id?: string }).id;
        await release(moving, keys, id === undefined ? [] : [id]);
      },
      { connection: connect(), prefix: keys.prefix, concurrency: 20 },
    );
    worker.on('error', (error) => log.debug({ reason: error.message }, 'BullMQ waits for Redis'));
    queue
      .upsertJobScheduler(
        'sweep',
        { every: options.sweepMs },
        { name: 'sweep', data: {}, opts: { removeOnComplete: true } },
      )
      .catch((error: Error) =>
        log.warn({ reason: error.message }, 'The sweep of parked messages could not be scheduled'),
      );
  }
  return {
    set: (id, delayMs) => {
      queue
        .add('alarm', { id }, { delay: delayMs + lateMs, removeOnComplete: true, removeOnFail: true })
        .catch((error: Error) =>
          log.debug({ id, reason: error.message }, 'An alarm was not set; the sweep will find it'),
        );
    },
    close: async () => {
      await worker?.close();
      await queue.close();
      // A connection that was handed to BullMQ is ours to close.
      for (const redis of connections) redis.disconnect();
    },
  };
};
