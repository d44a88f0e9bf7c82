/**
 * What stands around a fabric: the server that it lies on, what waits there in all, and its removal. No message
 * depends on this.
 */
import { readRedisAddress } from '@nexus/shared/config';
import { type AppError, fail } from '@nexus/shared/errors';
import type { ServiceName } from '@nexus/shared/messages/domain';
import { type Keys, prioritiesInOrder } from './keys.ts';
import { countParked } from './park.ts';
import { openRedis, probeRedis, type Redis, type RedisOptions, shownUrl } from './redis.ts';
import { redisFailure, type Troubles } from './troubles.ts';

export type ServerDescription = {
  /** The address without its password. */
  url: string;
  software: 'redis' | 'valkey';
  version: string;
  policy: string;
  /** `off`, or what appendfsync promises: `always`, `everysec`, `no`; `unknown` where CONFIG is forbidden. */
  durability: string;
  usedBytes: number;
  /** 0: no limit. */
  limitBytes: number;
  roundTripMs: number;
  /** Why it takes no writes now; null: it does. */
  refuses: AppError | null;
};

/** What INFO says of a field; '' if nothing. */
const fieldOf = (info: string, name: string): string => new RegExp(`^${name}:(.*?)\\r?$`, 'm').exec(info)?.[1] ?? '';

/** Checks at boot that this server can carry a fabric (rule 10). Throws REDIS_UNFIT or REDIS_READONLY. */
export const checkServer = async (redis: Redis, url: string): Promise<void> => {
  const info = await redis.info();
  const version = fieldOf(info, 'valkey_version') || fieldOf(info, 'redis_version') || '0';
  if (Number(version.split('.')[0]) < 7)
    throw fail('REDIS_UNFIT', { url: shownUrl(url), message: `it is version ${version}; 7.0 is needed at least` });
  const wrong = wrongPolicy(info, url);
  if (wrong) throw wrong;
  if (fieldOf(info, 'role') === 'slave')
    throw fail('REDIS_READONLY', { url: shownUrl(url), message: `it follows ${fieldOf(info, 'master_host')}` });
};

const wrongPolicy = (info: string, url: string): AppError | null => {
  const policy = fieldOf(info, 'maxmemory_policy') || 'noeviction';
  if (policy === 'noeviction') return null;
  const message = `its maxmemory-policy is ${policy}; it would throw work away. Set noeviction`;
  return fail('REDIS_UNFIT', { url: shownUrl(url), message });
};

type Watch = {
  redis: Redis;
  connection: RedisOptions;
  everyMs: number;
  replicasMin: number;
  troubles: Troubles;
};

/** Looks every so often whether the server still can carry a fabric: settings change, disks and memories fill up. */
export const watchServer = (watch: Watch): { close(): void } => {
  let looking = false;
  const timer = setInterval(() => {
    if (looking) return;
    looking = true;
    look(watch)
      // Whoever needs an answer tells that there is none.
      .catch(() => undefined)
      .finally(() => {
        looking = false;
      });
  }, watch.everyMs);
  timer.unref();
  return { close: () => clearInterval(timer) };
};

const look = async (watch: Watch): Promise<void> => {
  const { redis, connection, troubles } = watch;
  if (troubles.failing()) {
    // Connections only know that nobody answers them: what the server itself says is more.
    const error = await probeRedis(connection);
    const failure = error === null ? null : redisFailure(error, connection.url);
    if (failure !== null && failure.code !== 'REDIS_UNREACHABLE') troubles.met('server', failure);
    else troubles.well('server');
    return;
  }
  const info = await redis.info();
  for (const [part, warning] of Object.entries(warningsOf(info, watch)))
    if (warning === null) troubles.well(part);
    else troubles.warned(part, warning);
};

/** What is wrong though work goes on, by what it is about. */
const warningsOf = (info: string, watch: Watch): Record<string, AppError | null> => {
  const about = (message: string) => ({ url: shownUrl(watch.connection.url), message });
  const [used, limit] = [Number(fieldOf(info, 'used_memory')), Number(fieldOf(info, 'maxmemory'))];
  const percent = limit === 0 ? 0 : Math.round((100 * used) / limit);
  const saves = ['rdb_last_bgsave_status', 'aof_last_write_status', 'aof_last_bgrewrite_status'];
  const failed = saves.filter((name) => fieldOf(info, name) === 'err');
  const replicas = [...info.matchAll(/^slave\d+:.*state=online/gm)].length;
  return {
    policy: wrongPolicy(info, watch.connection.url),
    memory: percent < memoryPercent ? null : fail('BUS_MEMORY', { percent, percentMax: memoryPercent }),
    disk: failed.length === 0 ? null : fail('REDIS_DISK', about(failed.join(', '))),
    replicas:
      replicas >= watch.replicasMin
        ? null
        : fail('REDIS_REPLICAS', about(`${replicas} of ${watch.replicasMin} are connected`)),
  };
};
/** From here on the edge refuses new tasks, unless NEXUS_MEMORY_PERCENT_MAX says otherwise there. */
const memoryPercent = 80;

/** An error as it came; where a key has the wrong type, the error that names it, which Redis does not. */
export const explain = async (
  error: Error,
  { redis, keys, service }: { redis: Redis; keys: Keys; service: ServiceName },
): Promise<Error> => {
  if (!error.message.startsWith('WRONGTYPE')) return error;
  const hashes = [keys.beats(service), keys.presence, keys.control, keys.deaths, keys.parked, keys.dead];
  const wanted = [
    ...prioritiesInOrder.map((priority) => [keys.inbox(service, priority), 'stream'] as const),
    ...hashes.map((key) => [key, 'hash'] as const),
    ...[keys.due, keys.deadOrder, keys.tasks, keys.openTasks].map((key) => [key, 'zset'] as const),
    [keys.journal, 'stream'] as const,
  ];
  for (const [key, type] of wanted) {
    const found = await redis.type(key).catch(() => 'none');
    if (found !== 'none' && found !== type)
      return fail('BUS_KEY_TYPE', { key, found: `it holds a ${found}` }, { cause: error });
  }
  return error;
};

/** A script that may write is refused where writes are, and this one writes nothing. */
const refusalOf = async (redis: Redis, url: string): Promise<AppError | null> =>
  redis.eval('#!lua\nreturn 1', 0).then(
    () => null,
    (error) => redisFailure(error, url),
  );

/** Asks one server, once. Throws REDIS_UNREACHABLE after `timeoutMs`, or with what it said, such as NOAUTH. */
export const describeServer = async (
  options: Pick<RedisOptions, 'url' | 'password' | 'sentinelPassword'>,
  timeoutMs = 2000,
): Promise<ServerDescription> => {
  const redis = openRedis({ ...options, name: 'doctor' });
  let last = `no answer within ${timeoutMs} ms`;
  redis.on('error', (error: Error) => {
    last = error.message || last;
  });
  // Between two tries to connect, ioredis rejects nothing at disconnect(): so the time is raced against.
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error(last)), timeoutMs);
  try {
    const info = await Promise.race([redis.info(), late.promise]);
    const field = (name: string): string => fieldOf(info, name);
    const fsync = await redis.config('GET', 'appendfsync').catch(() => []);
    const began = performance.now();
    await redis.time();
    const roundTripMs = performance.now() - began;
    const valkey = field('valkey_version');
    return {
      url: shownUrl(options.url),
      software: valkey === '' ? 'redis' : 'valkey',
      version: valkey || field('redis_version'),
      policy: field('maxmemory_policy'),
      durability: field('aof_enabled') === '1' ? ((fsync as string[])[1] ?? 'unknown') : 'off',
      usedBytes: Number(field('used_memory')),
      limitBytes: Number(field('maxmemory')),
      roundTripMs,
      refuses: await refusalOf(redis, options.url),
    };
  } catch (error) {
    const message = error instanceof Error ? error.message : last;
    throw fail('REDIS_UNREACHABLE', { url: shownUrl(options.url), message }, { cause: error });
  } finally {
    clearTimeout(timer);
    redis.disconnect();
  }
};

/**
 * Why whoever reaches that Redis may command the fleet and read what it keeps; null: it wants a password that nobody
 * else knows. Asked as a stranger would ask: a password that is set here proves nothing.
 */
export const whyOpen = async (
  options: Pick<RedisOptions, 'url' | 'password' | 'sentinelPassword'>,
): Promise<string | null> => {
  const { url, sentinelPassword } = options;
  const password = readRedisAddress(url)?.password ?? options.password;
  const stranger = { url: url.replace(/\/\/[^@/]*@/, '//'), sentinelPassword, name: 'stranger' };
  if ((await probeRedis(stranger)) === null) return 'it asks nobody for a password';
  return password === publishedPassword ? 'its password is that of docker-compose.yml, which anybody can read' : null;
};
const publishedPassword = 'nexus';

/**
 * Removes every key of a fabric for good: for demos and tests, whose fabric has a hash tag of its own. Nobody may
 * work on it any more. The fabric of everyday work, `{nexus}`, is refused.
 */
export const eraseFabric = async (options: Pick<RedisOptions, 'url' | 'password'>, prefix: string): Promise<number> => {
  if (!/^\{[a-z0-9-]+\}$/.test(prefix) || prefix === '{nexus}') {
    throw fail('BUG', { message: `the fabric ${prefix} is not to be erased` });
  }
  const redis = openRedis({ ...options, name: 'eraser' });
  redis.on('error', () => undefined);
  let erased = 0;
  try {
    for (let cursor = '0'; ; ) {
      const [next, keys] = await redis.scan(cursor, 'MATCH', `${prefix}:*`, 'COUNT', 500);
      if (keys.length > 0) erased += await redis.unlink(...keys);
      if (next === '0') return erased;
      cursor = next;
    }
  } finally {
    redis.disconnect();
  }
};

/** What waits where. `oldest_dead_at` is null where no dead letter waits for a decision. */
export type Counts = {
  dead: number;
  oldest_dead_at: string | null;
  parked: number;
  inboxes: Record<string, { waiting: number; held: number }>;
  /** Tasks that have not ended, and those of them that wait for a person. */
  tasks: { open: number; waiting: number };
};

/** Share of maxmemory in use, 0 to 1; 0 where there is no limit. */
export const memoryShare = async (redis: Redis): Promise<number> => {
  const memory = await redis.info('memory');
  const used = Number(/used_memory:(\d+)/.exec(memory)?.[1] ?? 0);
  const limit = Number(/maxmemory:(\d+)/.exec(memory)?.[1] ?? 0);
  return limit === 0 ? 0 : used / limit;
};

/** Backlog is length minus pending, exact because settling deletes (rule 8). */
export const readCounts = async (redis: Redis, keys: Keys): Promise<Counts> => {
  const inboxes: Record<string, { waiting: number; held: number }> = {};
  const services: ServiceName[] = ['orchestrator', 'project-manager', 'worker-agent', 'quality-checker', 'finalizer'];
  for (const service of services) {
    let [length, held] = [0, 0];
    for (const priority of prioritiesInOrder) {
      const inbox = keys.inbox(service, priority);
      length += await redis.xlen(inbox);
      held += Number(((await redis.xpending(inbox, service).catch(() => [0])) as [number])[0]);
    }
    inboxes[service] = { waiting: length - held, held };
  }
  const [, diedAt] = await redis.zrange(keys.deadOrder, '0', '0', 'WITHSCORES');
  return {
    dead: await redis.zcard(keys.deadOrder),
    oldest_dead_at: diedAt === undefined ? null : new Date(Number(diedAt)).toISOString(),
    parked: await countParked(redis, keys),
    inboxes,
    tasks: { open: await redis.zcard(keys.openTasks), waiting: await redis.zcard(keys.waitingTasks) },
  };
};
