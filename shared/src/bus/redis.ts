/**
 * Connections to Redis and the scripts: the only file that constructs ioredis.
 *
 * A process has one connection for commands, one for settling, one that blocks in reads and one that
 * listens to Pub/Sub. None of them resends by itself what a lost connection left unanswered: a script that
 * committed would answer "lost" the second time (rule 2). Whoever needs an answer asks again.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fail } from '@nexus/shared/errors';
import { Redis } from 'ioredis';

export type { Redis } from 'ioredis';

export type RedisOptions = { url: string; password?: string | undefined; name: string };

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
 * maxRetriesPerRequest and no resending, ioredis would leave it without any answer. BullMQ wants its own way.
 */
export const openRedis = (options: RedisOptions, forBullmq = false): Redis => {
  const redis = new Redis(options.url, {
    connectionName: options.name,
    ...(options.password ? { password: options.password } : {}),
    maxRetriesPerRequest: forBullmq ? null : 0,
    autoResendUnfulfilledCommands: forBullmq,
    // Its promise would be nobody's: whoever subscribes does it again on 'ready'.
    autoResubscribe: false,
    enableReadyCheck: true,
    retryStrategy: (tries) => Math.min(2000, 50 * 2 ** Math.min(tries, 6)),
    reconnectOnError: (error) => error.message.startsWith('READONLY'),
  });
  for (const [name, script] of Object.entries(scripts)) {
    redis.defineCommand(name, { numberOfKeys: script.keys, lua: script.lua });
  }
  return redis;
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

/** True for what a lost or missing connection does to a command: nothing is known of its effect. */
export const isConnectionError = (error: unknown): boolean =>
  error instanceof Error &&
  (error.name === 'MaxRetriesPerRequestError' ||
    /Connection is closed|ECONN|EPIPE|ETIMEDOUT|^LOADING|^MASTERDOWN|Command aborted/.test(error.message));

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

/** Checks once, at boot, that this server can carry a fabric (rule 10). Throws REDIS_UNFIT. */
export const checkServer = async (redis: Redis, url: string): Promise<{ version: string; policy: string }> => {
  const server = await redis.info('server');
  const version = /(?:valkey_version|redis_version):(\S+)/.exec(server)?.[1] ?? '0';
  const unfit = (message: string) => fail('REDIS_UNFIT', { url: shownUrl(url), message });
  if (Number(version.split('.')[0]) < 7) throw unfit(`it is version ${version}; 7.0 is needed at least`);
  const policy = /maxmemory_policy:(\S+)/.exec(await redis.info('memory'))?.[1] ?? 'noeviction';
  if (policy !== 'noeviction')
    throw unfit(`its maxmemory-policy is ${policy}; it would throw work away. Set noeviction`);
  return { version, policy };
};

/** Creates the consumer group on each of a service's inboxes; at 0, never $ (rule 5). */
export const ensureGroups = async (redis: Redis, inboxes: readonly string[], group: string): Promise<void> => {
  for (const inbox of inboxes) {
    await redis.xgroup('CREATE', inbox, group, '0', 'MKSTREAM').catch((error: Error) => {
      if (!error.message.startsWith('BUSYGROUP')) throw error;
    });
  }
};

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
  | 'nexusEdit';

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
