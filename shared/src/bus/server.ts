/**
 * What stands around a fabric: the server that it lies on, what waits there in all, and its removal. No message
 * depends on this.
 */
import { fail } from '@nexus/shared/errors';
import type { ServiceName } from '@nexus/shared/messages/domain';
import { type Keys, prioritiesInOrder } from './keys.ts';
import { countParked } from './park.ts';
import { openRedis, type Redis, type RedisOptions, shownUrl } from './redis.ts';

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
};

/** Asks one server, once. Throws REDIS_UNREACHABLE after `timeoutMs`, or with what it said, such as NOAUTH. */
export const describeServer = async (
  options: Pick<RedisOptions, 'url' | 'password'>,
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
    const field = (name: string): string => new RegExp(`^${name}:(.*?)\\r?$`, 'm').exec(info)?.[1] ?? '';
    const fsync = await redis.config('GET', 'appendfsync').catch(() => []);
    const began = performance.now();
    await redis.ping();
    const valkey = field('valkey_version');
    return {
      url: shownUrl(options.url),
      software: valkey === '' ? 'redis' : 'valkey',
      version: valkey || field('redis_version'),
      policy: field('maxmemory_policy'),
      durability: field('aof_enabled') === '1' ? ((fsync as string[])[1] ?? 'unknown') : 'off',
      usedBytes: Number(field('used_memory')),
      limitBytes: Number(field('maxmemory')),
      roundTripMs: performance.now() - began,
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
  };
};
