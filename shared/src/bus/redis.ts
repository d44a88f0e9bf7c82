/**
 * Connections to Redis and the scripts: the only file that constructs ioredis.
 *
 * A process has one connection for commands, one for settling, one that blocks in reads and one that
 * listens to Pub/Sub. None of them resends by itself what a lost connection left unanswered: a script that
 * committed would answer "lost" the second time (rule 2). Whoever needs an answer asks again.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { readRedisAddress } from '@nexus/shared/config';
import { fail } from '@nexus/shared/errors';
import { type RedisOptions as AllOptions, Redis } from 'ioredis';

export type { Redis } from 'ioredis';

export type RedisOptions = {
  url: string;
  password?: string | undefined;
  sentinelPassword?: string | undefined;
  name: string;
  /** A command that gets no answer for so long breaks the connection: nobody may be there any more. */
  timeoutMs?: number | undefined;
};

/** What services read of the ledger. Nothing here writes: writes are outcomes. */
export type Store = {
  /** All fields of a hash; `{}` if there is none. */
  readHash(key: string): Promise<Record<string, string>>;
  readFields(key: string, fields: string[]): Promise<(string | null)[]>;
  readText(key: string): Promise<string | null>;
  /** Members of a sorted index with their scores. `from` and `to` bound the score, inclusive. */
  readIndex(
    key: string,
    options?: { newestFirst?: boolean; limit?: number; offset?: number; from?: number; to?: number },
  ): Promise<{ member: string; score: number }[]>;
};

/**
 * Opens one connection. It reconnects for ever, with a pause that grows to two seconds. A command that is under way
 * when the socket closes fails at once, and so does one that waits when a new try fails: with `null` for
 * maxRetriesPerRequest and no resending, ioredis would leave it without any answer. BullMQ wants its own way, and
 * blocks longer than we do.
 */
export const openRedis = (options: RedisOptions, forBullmq = false): Redis => {
  const timeoutMs = options.timeoutMs ?? 10_000;
  const redis = new Redis({
    ...addressOptions(options),
    connectionName: options.name,
    maxRetriesPerRequest: forBullmq ? null : 0,
    autoResendUnfulfilledCommands: forBullmq,
    // Its promise would be nobody's: whoever subscribes does it again on 'ready'.
    autoResubscribe: false,
    enableReadyCheck: true,
    maxLoadingRetryTime: 500,
    connectTimeout: Math.max(1000, timeoutMs),
    socketTimeout: forBullmq ? timeoutMs + 15_000 : timeoutMs,
    retryStrategy: (tries) => pauseMs(tries),
    reconnectOnError: (error) => error.message.startsWith('READONLY'),
  });
  for (const [name, script] of Object.entries(scripts)) {
    redis.defineCommand(name, { numberOfKeys: script.keys, lua: script.lua });
  }
  return redis;
};

const pauseMs = (tries: number): number => Math.min(2000, 50 * 2 ** Math.min(tries, 6));

/** ioredis types its replies by this option, so one that may be there or not fits no constructor. */
type IoRedisOptions = Omit<AllOptions, 'replyMapping'>;

const addressOptions = (options: Pick<RedisOptions, 'url' | 'password' | 'sentinelPassword'>): IoRedisOptions => {
  const address = readRedisAddress(options.url);
  if (address === null) throw fail('BUG', { message: `${shownUrl(options.url)} is no address of Redis` });
  const password = address.password ?? options.password;
  const common: IoRedisOptions = {
    db: address.db,
    ...(address.username ? { username: address.username } : {}),
    ...(password ? { password } : {}),
    ...(address.tls ? { tls: {} } : {}),
  };
  if (address.primary === null) return { ...common, ...address.servers[0] };
  return {
    ...common,
    sentinels: address.servers,
    name: address.primary,
    ...(options.sentinelPassword ? { sentinelPassword: options.sentinelPassword } : {}),
    ...(address.tls ? { enableTLSForSentinelMode: true, sentinelTLS: {} } : {}),
    sentinelCommandTimeout: 2000,
    // A failover is heard of at once, also where the old primary still answers.
    failoverDetector: true,
    sentinelRetryStrategy: (tries) => pauseMs(tries),
  };
};

/**
 * Asks once, on a connection of its own that waits for nothing: what Redis says of itself while others only see
 * that they have no answer. Null if it answers well.
 */
export const probeRedis = async (options: RedisOptions): Promise<Error | null> => {
  const redis = new Redis({
    ...addressOptions(options),
    connectionName: `${options.name}-probe`,
    enableReadyCheck: false,
    lazyConnect: true,
    connectTimeout: 1000,
    commandTimeout: 1000,
    maxRetriesPerRequest: 0,
    retryStrategy: null as never,
    sentinelRetryStrategy: () => null,
  });
  let met: Error | null = null;
  redis.on('error', (error: Error) => {
    met = error;
  });
  try {
    await redis.connect();
    await redis.ping();
    return null;
  } catch (error) {
    return met ?? (error as Error);
  } finally {
    redis.disconnect();
  }
};

/** Calls a script by name. KEYS and ARGV are as its header says. */
export const callScript = (
  redis: Redis,
  name: ScriptName,
  keys: string[],
  values: (string | number)[],
): Promise<unknown> => {
  const command = (redis as unknown as Record<string, (...parts: (string | number)[]) => Promise<unknown>>)[name];
  if (!command) throw fail('BUG', { message: `script ${name} is not defined` });
  return command.call(redis, ...keys, ...values);
};

/** The address without its password, for people. */
export const shownUrl = (url: string): string => url.replace(/\/\/([^@/]*)@/, '//***@');

/**
 * True where Redis did not do what was asked because of its own state: no connection (then nothing is known of the
 * effect), loading, a full memory or disk, a replica. Whoever asked may ask again; nothing is wrong with the question.
 */
export const isConnectionError = (error: unknown): boolean =>
  error instanceof Error && (error.name === 'MaxRetriesPerRequestError' || awayWords.test(error.message));
const awayWords =
  /Connection is closed|Socket timeout|ECONN|EPIPE|ETIMEDOUT|Command aborted|sentinels are unreachable|^(LOADING|MASTERDOWN|READONLY|MISCONF|NOREPLICAS|OOM|CLUSTERDOWN)\b/;

/** A store whose reads wait until Redis answers: what took an hour must not fail for a second's outage. */
export const patient = (store: Store): Store => {
  const waiting =
    <A extends unknown[], R>(read: (...asked: A) => Promise<R>) =>
    async (...asked: A): Promise<R> => {
      for (let pauseMs = 50; ; pauseMs = Math.min(1000, 2 * pauseMs)) {
        try {
          return await read(...asked);
        } catch (error) {
          if (!isConnectionError(error)) throw error;
          await sleep(pauseMs);
        }
      }
    };
  return {
    readHash: waiting(store.readHash),
    readFields: waiting(store.readFields),
    readText: waiting(store.readText),
    readIndex: waiting(store.readIndex),
  };
};

export const makeStore = (redis: Redis): Store => ({
  readHash: (key) => redis.hgetall(key),
  readFields: (key, fields) => (fields.length === 0 ? Promise.resolve([]) : redis.hmget(key, ...fields)),
  readText: (key) => redis.get(key),
  readIndex: async (key, options = {}) => {
    const { newestFirst = false, limit = 1000, offset = 0 } = options;
    const [low, high] = [String(options.from ?? '-inf'), String(options.to ?? '+inf')];
    const flat = newestFirst
      ? await redis.zrevrangebyscore(key, high, low, 'WITHSCORES', 'LIMIT', offset, limit)
      : await redis.zrangebyscore(key, low, high, 'WITHSCORES', 'LIMIT', offset, limit);
    const rows: { member: string; score: number }[] = [];
    for (let at = 0; at < flat.length; at += 2) rows.push({ member: flat[at] ?? '', score: Number(flat[at + 1]) });
    return rows;
  },
});

type Script = { keys: number; lua: string };
export type ScriptName =
  | 'nexusPublish'
  | 'nexusTake'
  | 'nexusBegin'
  | 'nexusRenew'
  | 'nexusSettle'
  | 'nexusRelease'
  | 'nexusBeat'
  | 'nexusBury'
  | 'nexusControl'
  | 'nexusReplay'
  | 'nexusGroup'
  | 'nexusEdit'
  | 'nexusRestore';

/** scripts/<verb>-<number of keys>.lua → nexus<Verb>. */
const loadScripts = (): Record<string, Script> => {
  const folder = new URL('./scripts/', import.meta.url);
  const found: Record<string, Script> = {};
  for (const file of readdirSync(folder)) {
    const match = /^([a-z]+)-(\d+)\.lua$/.exec(file);
    const [, verb = '', keys = ''] = match ?? [];
    if (!match) continue;
    const name = `nexus${verb.charAt(0).toUpperCase()}${verb.slice(1)}`;
    found[name] = { keys: Number(keys), lua: readFileSync(new URL(file, folder), 'utf8') };
  }
  return found;
};
const scripts = loadScripts();
