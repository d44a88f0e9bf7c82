/**
 * The connections of one process, and what they know together: whether Redis answers.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { FabricConfig } from '@nexus/shared/config';
import type { AppError } from '@nexus/shared/errors';
import type { ServiceName } from '@nexus/shared/messages/domain';
import type { Log, Meters } from '@nexus/shared/telemetry';
import { endConnection } from './ending.ts';
import type { Keys } from './keys.ts';
import { openRedis, probeRedis, type Redis, type RedisOptions } from './redis.ts';
import { type Confirm, makeConfirm } from './replicas.ts';
import { checkServer, explain, watchServer } from './server.ts';
import { watchStandstill } from './standstill.ts';
import { makeTroubles, redisFailure, type Troubles } from './troubles.ts';

/** What a process stands on. */
export type Ground = {
  connection: RedisOptions;
  /** For commands. */
  redis: Redis;
  /** For what enters at the edge: where replicas confirm, waiting for them holds up this connection alone. */
  edge: Redis;
  confirm: Confirm;
  troubles: Troubles;
  /** Opens one more; it reconnects for ever, and says what it meets. */
  connect(): Redis;
  /** Told of a part: null, or why it failed. */
  report(part: string, error: Error | null): void;
  /** A beat without an answer for so long is told, though its connection still stands. */
  watchBeat(sinceMs: () => number, lateMs: number): void;
  close(): void;
};

type GroundOptions = {
  config: FabricConfig;
  keys: Keys;
  service: ServiceName;
  instanceId: string;
  /** Looks or sends for a moment: the server is not watched. */
  observer: boolean;
  log: Log;
  meters: Meters;
};

/** Connects, and checks the server. Throws what keeps it from working, after NEXUS_REDIS_WAIT at most. */
export const openGround = async (options: GroundOptions): Promise<Ground> => {
  const { config, keys, service, log } = options;
  const connection = {
    url: config.redisUrl,
    password: config.redisPassword,
    sentinelPassword: config.sentinelPassword,
    name: options.instanceId,
    timeoutMs: config.redisTimeout,
  };
  const still = watchStandstill({ log, longMs: config.standstill });
  const troubles = makeTroubles(log, config.redisUrl, still.lately);
  const { connect, close } = openConnections(connection, troubles, options.meters);
  const redis = connect();
  try {
    await reach(redis, connection, config.redisWait);
    if (!options.observer) await checkServer(redis, config.redisUrl);
  } catch (error) {
    still.close();
    close();
    throw redisFailure(error, config.redisUrl) ?? error;
  }
  let beatWatch: NodeJS.Timeout | undefined;
  /** How often each part has gone well. */
  const wells = new Map<string, number>();
  const edge = config.replicasMin === 0 ? redis : connect();
  const checking = { everyMs: config.redisCheck, replicasMin: config.replicasMin };
  const watch = options.observer ? null : watchServer({ redis, connection, troubles, ...checking });
  return {
    connection,
    redis,
    edge,
    confirm: makeConfirm(edge, keys, { countMin: config.replicasMin, waitMs: config.replicasWait }),
    troubles,
    connect,
    report: (part, error) => {
      const before = wells.get(part) ?? 0;
      if (error === null) {
        wells.set(part, before + 1);
        troubles.well(part);
        return;
      }
      // An explanation takes a while: what has gone well meanwhile fails no more.
      void explain(error, { redis, keys, service }).then((explained) => {
        if ((wells.get(part) ?? 0) === before) troubles.met(part, explained);
      });
    },
    watchBeat: (sinceMs, lateMs) => {
      clearInterval(beatWatch);
      beatWatch = setInterval(() => {
        if (sinceMs() > lateMs && !still.lately()) troubles.met('beat', new Error('it answered no beat'));
      }, lateMs / 5);
      beatWatch.unref();
    },
    close: () => {
      still.close();
      clearInterval(beatWatch);
      watch?.close();
      close();
    },
  };
};

const knockMs = 5000;

const openConnections = (
  options: RedisOptions,
  troubles: Troubles,
  meters: Meters,
): Pick<Ground, 'connect' | 'close'> => {
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
    close: () => {
      closed = true;
      clearInterval(knocking);
      for (const redis of open) endConnection(redis);
    },
  };
};

/** Waits for the first answer on a connection, so long at most. Throws what Redis says, or REDIS_UNREACHABLE. */
const reach = async (redis: Redis, options: RedisOptions, waitMs: number): Promise<void> => {
  let last: Error = new Error(`no answer within ${waitMs} ms`);
  redis.on('error', (error: Error) => {
    last = error;
  });
  const late = new AbortController();
  const over = sleep(waitMs, 'late', { signal: late.signal }).catch(() => 'late');
  try {
    for (;;) {
      const answered = redis.ping().then<string | Error, string | Error>(
        () => 'answered',
        (error: Error) => (isAnswer(error) ? error : sleep(50).then(() => 'not yet')),
      );
      const came = await Promise.race([answered, over]);
      // Where it only cannot save, what it holds can be read; whoever writes is told.
      if (came === 'answered' || (came instanceof Error && came.message.startsWith('MISCONF'))) return;
      if (came instanceof Error) throw redisFailure(came, options.url) ?? redisFailure(awayOf(came), options.url);
      if (came === 'late') throw (await said(options)) ?? redisFailure(awayOf(last), options.url);
    }
  } finally {
    late.abort();
  }
};

/** A refusal is an answer. Waiting mends none but these: it is busy, reads its data, or looks for its primary. */
const isAnswer = ({ name, message }: Error): boolean =>
  name === 'ReplyError' && !/^(BUSY|LOADING|MASTERDOWN|CLUSTERDOWN|TRYAGAIN)\b/.test(message);

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
