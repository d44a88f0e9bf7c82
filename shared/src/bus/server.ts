/** What stands around a fabric: the server that it lies on, and its removal. No message depends on this. */
import { fail } from '@nexus/shared/errors';
import { openRedis, type RedisOptions, shownUrl } from './redis.ts';

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
