/** What the fabric may hold once every service has ended: by plain Redis commands, and by a table of our own. */
import type { Redis } from 'ioredis';
import { checkMemory } from './check-memory.ts';
import { type Counts, explains } from './explained.ts';

type Known = 'fixed' | 'task' | 'expires' | 'bullmq' | 'memory' | 'claims';

/**
 * Every key that may be there, behind the prefix: of a fixed name, of a task that is listed (its id is the first
 * group), with an expiry, BullMQ's own, of a memory, which outlives its task, or of the claims, of which none is left.
 */
const owners: [RegExp, Known][] = [
  [/^inbox:[a-z-]+:(CRITICAL|HIGH|NORMAL|LOW)$/, 'fixed'],
  [
    /^(journal|parked|due|dead|dead:order|control|control:said|tasks|tasks:(open|waiting|ended)|once:[a-z-]+|history|groups|groups:mended)$/,
    'fixed',
  ],
  [/^(task|board|report|request):([a-z0-9-]+)$/, 'task'],
  [/^attempt:([a-z0-9-]+):[a-z0-9-]+$/, 'task'],
  [/^(seen|stats|dead:decided|decided|once|control:heard):|^control:refusals$/, 'expires'],
  [/^spend:(budget|settled|cost|governor|flights):/, 'expires'],
  [/^spend:reservations$/, 'claims'],
  [/^alarms:/, 'bullmq'],
  [/^memory:/, 'memory'],
];

/** Violations in the fabric. `counts` says which faults there were, `waiting` which tasks wait for a person. */
export const checkFabric = async (
  redis: Redis,
  { prefix, counts, waiting }: { prefix: string; counts: Counts; waiting: ReadonlySet<string> },
): Promise<{ deadLetters: number; violations: string[] }> => {
  const keys = (await redis.keys(`${prefix}:*`)).sort();
  const letters = await deadLetters(redis, prefix, counts);
  const found = [
    ...(await inboxes(redis, keys)),
    ...(await parked(redis, prefix, waiting)),
    ...letters.violations,
    ...(await owned(redis, prefix, keys)),
    ...(await alarms(redis, prefix, keys)),
    ...(await checkMemory(redis, prefix, keys)),
    ...(await control(redis, prefix)),
  ];
  return { deadLetters: letters.count, violations: found };
};

/** No message waits, none is held, and nobody is listed as a consumer who still holds one. */
const inboxes = async (redis: Redis, keys: readonly string[]): Promise<string[]> => {
  const found: string[] = [];
  for (const key of keys.filter((one) => /:inbox:/.test(one))) {
    const [length, groups] = await Promise.all([redis.xlen(key), redis.xinfo('GROUPS', key)]);
    if (length > 0) found.push(`${length} messages left in ${key}: ${await firstOf(redis, key)}`);
    for (const group of groups as (string | number)[][]) {
      const row = new Map(group.flatMap((value, at) => (at % 2 === 0 ? [[String(value), group[at + 1]]] : [])));
      if (Number(row.get('pending')) > 0) found.push(`${row.get('pending')} entries pending in ${key}`);
    }
  }
  return found;
};

const firstOf = async (redis: Redis, key: string): Promise<string> => {
  const [entry] = await redis.xrange(key, '-', '+', 'COUNT', 1);
  return String(entry?.[1]?.[1]).slice(0, 160);
};

/** What is parked has its time, and belongs to a task that waits for a person. */
const parked = async (redis: Redis, prefix: string, waiting: ReadonlySet<string>): Promise<string[]> => {
  const [held, due] = await Promise.all([redis.hgetall(`${prefix}:parked`), redis.zrange(`${prefix}:due`, '0', '-1')]);
  const found = due.filter((id) => !(id in held)).map((id) => `due, but not parked: ${id}`);
  for (const [id, text] of Object.entries(held)) {
    if (!due.includes(id)) found.push(`parked without a time: ${id}`);
    const task = /"conversation_thread":"([^"]+)"/.exec(text)?.[1] ?? '';
    if (!waiting.has(task)) found.push(`still parked: ${text.slice(0, 200)}`);
  }
  return found;
};

/** What a letter died of. That other faults are in its history explains nothing. */
const causeOf = (text: string): string => {
  const {
    code = '',
    says = '',
    causes = [],
  } = JSON.parse(text) as { code?: string; says?: string; causes?: unknown[] };
  return [code, says, JSON.stringify(causes)].join(' ');
};

const deadLetters = async (redis: Redis, prefix: string, counts: Counts) => {
  const letters = Object.entries(await redis.hgetall(`${prefix}:dead`));
  const order = await redis.zrange(`${prefix}:dead:order`, '0', '-1');
  const violations = letters.flatMap(([id, text]) => {
    const listed = order.includes(id) ? [] : [`dead letter ${id} is not listed`];
    return explains(causeOf(text), counts)
      ? listed
      : [...listed, `dead letter ${id} is not explained: ${text.slice(0, 300)}`];
  });
  const missing = order.filter((id) => !letters.some(([letter]) => letter === id));
  return { count: letters.length, violations: [...violations, ...missing.map((id) => `listed, but no letter: ${id}`)] };
};

/** Every key has an owner that is still there, or an expiry. */
const owned = async (redis: Redis, prefix: string, keys: readonly string[]): Promise<string[]> => {
  const listed = new Set(await redis.zrange(`${prefix}:tasks`, '0', '-1'));
  const found: string[] = [];
  for (const key of keys) {
    const name = key.slice(prefix.length + 1);
    const [pattern, known] = owners.find(([one]) => one.test(name)) ?? [];
    const task = pattern?.exec(name)?.at(name.startsWith('attempt:') ? 1 : 2) ?? '';
    if (known === 'task' && !listed.has(task)) found.push(`key of a task that is not listed: ${key}`);
    if (known === 'expires' && (await redis.ttl(key)) < 0) found.push(`key without an expiry: ${key}`);
    if (known === 'claims') found.push(`reserved by nobody who lives: ${key} ${await shown(redis, key)}`);
    if (known === undefined && (await redis.ttl(key)) < 0)
      found.push(`key without an owner: ${key} ${await shown(redis, key)}`);
  }
  return found;
};

const shown = async (redis: Redis, key: string): Promise<string> => {
  const type = await redis.type(key);
  return type === 'hash' ? JSON.stringify(await redis.hgetall(key)).slice(0, 200) : `(${type})`;
};

/** BullMQ holds schedules, and alarms that are set: no job that nobody will ever run or remove. */
const alarms = async (redis: Redis, prefix: string, keys: readonly string[]): Promise<string[]> => {
  const under = `${prefix}:alarms:`;
  const reserved =
    /^(meta|id|wait|paused|active|delayed|prioritized|completed|failed|stalled|stalled-check|repeat|pc|events|marker|limiter|waiting-children)$/;
  const held = new Set<string>();
  for (const list of ['wait', 'active', 'paused']) {
    for (const id of await redis.lrange(`${under}${list}`, 0, -1)) held.add(id);
  }
  for (const set of ['delayed', 'prioritized']) {
    for (const id of await redis.zrange(`${under}${set}`, '0', '-1')) held.add(id);
  }
  return keys.flatMap((key) => {
    const job = key.startsWith(under) ? key.slice(under.length) : '';
    const known = job === '' || reserved.test(job) || held.has(job) || /^(repeat|de):|:(lock|logs)$/.test(job);
    return known ? [] : [`a job that nobody runs: ${key}`];
  });
};

const control = async (redis: Redis, prefix: string): Promise<string[]> => {
  const state = await redis.hget(`${prefix}:control`, 'state');
  return state === 'running' || state === null ? [] : [`the fleet is left ${state}`];
};
