/**
 * The connections of one process, and what they know together: whether Redis answers.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { AppError } from '@nexus/shared/errors';
import type { Meters } from '@nexus/shared/telemetry';
import { endConnection } from './ending.ts';
import { openRedis, probeRedis, type Redis, type RedisOptions } from './redis.ts';
import { redisFailure, type Troubles } from './troubles.ts';

export type Connections = {
  /** Opens one more; it reconnects for ever, and says what it meets. */
  connect(): Redis;
  /** Waits for the first answer on a connection, so long at most. Throws what Redis says, or REDIS_UNREACHABLE. */
  reach(redis: Redis, waitMs: number): Promise<void>;
  close(): void;
};

const knockMs = 5000;

export const openConnections = (options: RedisOptions, troubles: Troubles, meters: Meters): Connections => {
  const open: Redis[] = [];
  let closed = false;
  const knock = (): Promise<unknown> =>
    Promise.all(open.filter(({ status }) => status !== 'end').map((redis) => redis.ping()));
  troubles.overOnce(knock);
  // One that is silent for days, as a subscription may be, would not know that nobody is there any more.
  const knocking = setInterval(() => void knock().catch(() => undefined), knockMs);
  knocking.unref();
  const reconnects = meters.counter('nexus_redis_reconnects_total', 'Connections to Redis that stood again.');
  return {
    connect: () => {
      const redis = openRedis(options);
      const part = `connection ${open.length + 1}`;
      let stood = false;
      redis.on('error', (error: Error) => troubles.met(part, error));
      redis.on('close', () => {
        // One that was ended on purpose is at its end already.
        if (!closed && redis.status !== 'end') troubles.met(part, new Error('Connection is closed'));
      });
      redis.on('ready', () => {
        if (stood) reconnects.inc();
        stood = true;
        troubles.well(part);
      });
      open.push(redis);
      return redis;
    },
    reach: (redis, waitMs) => reach(redis, options, waitMs),
    close: () => {
      closed = true;
      clearInterval(knocking);
      for (const redis of open) endConnection(redis);
    },
  };
};

const reach = async (redis: Redis, options: RedisOptions, waitMs: number): Promise<void> => {
  let last: Error = new Error(`no answer within ${waitMs} ms`);
  redis.on('error', (error: Error) => {
    last = error;
  });
  const late = new AbortController();
  const over = sleep(waitMs, 'late', { signal: late.signal }).catch(() => 'late');
  try {
    for (;;) {
      const answered = redis.ping().then(
        () => 'answered',
        () => sleep(50).then(() => 'not yet'),
      );
      const came = await Promise.race([answered, over]);
      if (came === 'answered') return;
      if (came === 'late') throw (await said(options)) ?? redisFailure(awayOf(last), options.url);
    }
  } finally {
    late.abort();
  }
};

/** What a connection that waits for nothing is told, such as LOADING; null where nothing says more. */
const said = async (options: RedisOptions): Promise<AppError | null> => {
  const error = await probeRedis(options);
  const failure = error === null ? null : redisFailure(error, options.url);
  return failure?.code === 'REDIS_UNREACHABLE' ? null : failure;
};

/** Whatever kept the first answer away: certificates and passwords, too. */
const awayOf = (error: Error): Error => {
  const away = new Error(error.message, { cause: error });
  away.name = 'MaxRetriesPerRequestError';
  return away;
};
