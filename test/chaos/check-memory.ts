/** Memories: every key of theirs leads to a memory that is there, and every memory is led to. */
import type { Redis } from 'ioredis';

/** Violations among the keys of memories; `keys` are all keys of the fabric. */
export const checkMemory = async (redis: Redis, prefix: string, keys: readonly string[]): Promise<string[]> => {
  const under = `${prefix}:memory:`;
  const scopes = new Map<string, number>();
  const rows = await redis.zrange(`${under}scopes`, '0', '-1', 'WITHSCORES');
  for (let at = 0; at < rows.length; at += 2) scopes.set(rows[at] ?? '', Number(rows[at + 1]));
  const found: string[] = [];
  for (const [scope, count] of scopes) {
    const ids = await redis.zrange(`${under}worth:${scope}`, '0', '-1');
    if (ids.length !== count) found.push(`scope ${scope} counts ${count} memories and holds ${ids.length}`);
    for (const id of ids) {
      if ((await redis.hget(`${under}item:${id}`, 'scope')) !== scope)
        found.push(`memory ${id} of ${scope} is not there`);
    }
  }
  for (const key of keys.filter((one) => one.startsWith(under))) {
    const [part = '', ...rest] = key.slice(under.length).split(':');
    const name = rest.join(':');
    const isOwned = await owned(redis, { under, part, name, scopes });
    if (!isOwned) found.push(`key of a memory that is not there: ${key}`);
  }
  return found;
};

type Asked = { under: string; part: string; name: string; scopes: ReadonlyMap<string, number> };

const owned = async (redis: Redis, { under, part, name, scopes }: Asked): Promise<boolean> => {
  const isThere = async (ids: string[]) =>
    (await Promise.all(ids.map((id) => redis.exists(`${under}item:${id}`)))).every(Boolean);
  switch (part) {
    case 'scopes':
      return true;
    case 'item': {
      const scope = await redis.hget(`${under}item:${name}`, 'scope');
      return (await redis.zscore(`${under}worth:${scope}`, name)) !== null;
    }
    case 'task':
      return isThere(await redis.smembers(`${under}task:${name}`));
    case 'word':
      return isThere(await redis.zrange(`${under}word:${name}`, '0', '-1'));
    default:
      return ['worth', 'dates', 'words', 'same', 'vectors'].includes(part) && scopes.has(name);
  }
};
