/** The fabric alone: Redis restarts with messages under way, entries of a dead consumer, very many that wait. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Redis } from 'ioredis';
import { openRedisServer, type RedisServer } from '../../test/chaos/redis-server.ts';
import { figure, median, shown } from './figures.ts';
import { windowed } from './pace.ts';
import { openProduct } from './product.ts';
import { race } from './race.ts';
import { type ReliabilityBench, type ReliabilityPart, until } from './reliability-part.ts';
import { type ConsumerOptions, countsKey } from './reliability-role.ts';
import { text } from './sample.ts';
import { openServer } from './server.ts';

const prefix = '{bench}';

type Ground = { server: RedisServer; consumer(options: Omit<ConsumerOptions, 'redisUrl' | 'prefix'>): Promise<void> };

/** A Redis of its own with AOF at every write, and consumers that end with the part. */
const withServer = async <T>(use: (ground: Ground) => Promise<T>): Promise<T> => {
  const folder = mkdtempSync(join(tmpdir(), 'nexus-reliability-'));
  const server = await openRedisServer(folder);
  const children: ChildProcess[] = [];
  const consumer = async (options: Omit<ConsumerOptions, 'redisUrl' | 'prefix'>): Promise<void> => {
    const given: ConsumerOptions = { ...options, redisUrl: server.url, prefix };
    const child = fork(fileURLToPath(new URL('./reliability-role.ts', import.meta.url)), [JSON.stringify(given)]);
    children.push(child);
    await Promise.race([
      once(child, 'message'),
      once(child, 'exit').then(() => Promise.reject(new Error('no consumer'))),
    ]);
  };
  try {
    return await use({ server, consumer });
  } finally {
    const ended = children.filter(({ exitCode }) => exitCode === null).map((child) => once(child, 'exit'));
    for (const child of children) child.kill('SIGKILL');
    await Promise.all(ended);
    await server.stop();
    rmSync(folder, { recursive: true, force: true });
  }
};

/** Publishes as the edge does. */
const publish = async (
  server: RedisServer,
  type: 'hub.discarded' | 'board.discarded',
  count: number,
): Promise<void> => {
  const bus = await openProduct({ redisUrl: server.url, prefix }, 'gateway', true);
  await windowed(count, 512, (n) =>
    bus.publish({ type, payload: { task_id: `task-${n}` }, thread: `task-${n}`, actor: 'bench' }),
  );
  await bus.close();
};

/** Deliveries that were lost, and those that were settled twice. */
const tally = async (redis: Redis, published: number): Promise<{ lost: number; twice: number }> => {
  const counts = Object.values(await redis.hgetall(countsKey(prefix))).map(Number);
  return { lost: published - counts.length, twice: counts.filter((count) => count > 1).length };
};

/** 1,000 a second by two consumers; Redis is killed while so many messages are open. */
export const restart: ReliabilityPart = async (bench) => {
  const open = bench.full ? 10_000 : 2000;
  const published = open + 4000;
  const rates: number[] = [];
  const found = await withServer(async ({ server, consumer }) => {
    for (let n = 0; n < 2; n += 1) await consumer({ service: 'finalizer', mode: 'take', slots: 50, workMs: 100 });
    await publish(server, 'hub.discarded', published);
    const settled = (): Promise<number> => server.redis.hlen(countsKey(prefix));
    const rateOf = async (ms: number): Promise<number> => {
      const [from, began] = [await settled(), performance.now()];
      await sleep(ms);
      return ((await settled()) - from) / ((performance.now() - began) / 1000);
    };
    const before = median([await rateOf(800), await rateOf(800), await rateOf(800)]);
    await until('so many are open', async () => published - (await settled()) <= open, bench);
    const began = performance.now();
    await server.restart('SIGKILL', 0);
    const up = (performance.now() - began) / 1000;
    const full = await until(
      'the full rate is back',
      async () => {
        rates.push(await rateOf(250));
        return (rates.at(-1) ?? 0) >= 0.9 * before && (performance.now() - began) / 1000;
      },
      { ...bench, everyMs: 1 },
    );
    await until('all are settled or lost', () => isQuiet(server.redis), { ...bench, everyMs: 100 });
    return { before, up, full, ...(await tally(server.redis, published)) };
  });
  const opened = open.toLocaleString('en-US');
  return {
    figures: [
      figure(`Redis killed with ${opened} open messages: lost`, 'ratio', [found.lost], { atMost: 0 }),
      figure(`Redis killed with ${opened} open messages: settled twice`, 'ratio', [found.twice], { atMost: 0 }),
      figure(`Redis killed with ${opened} open messages: full rate again`, 's', [found.full], { atMost: 5 }),
    ],
    where: [`${shown(found.before, '/s')} before; Redis answered again after ${shown(found.up, 's')}`],
    data: { ...found, rates },
  };
};

const isQuiet = async (redis: Redis): Promise<boolean> => {
  const lengths = await Promise.all((await redis.keys(`${prefix}:inbox:*`)).map((key) => redis.xlen(key)));
  return lengths.every((length) => length === 0);
};

/** A consumer that died over so many entries: from the first that is taken over to the last. */
export const takeover: ReliabilityPart = async (bench) => {
  const entries = bench.full ? 10_000 : 2000;
  const rounds = bench.full ? 3 : 1;
  const seconds: number[] = [];
  for (let round = 1; round <= rounds; round += 1) {
    seconds.push(await withServer((ground) => takeOver(ground, entries, bench)));
    bench.say(`takeover, round ${round} of ${rounds}: ${shown(seconds.at(-1) ?? 0, 's')}`);
  }
  return {
    figures: [figure(`takeover of ${entries.toLocaleString('en-US')} entries`, 's', seconds, { atMost: 1 })],
    where: ['from the first entry that is taken to the last; how soon a death is noticed is a figure of its own'],
    data: { seconds },
  };
};

const takeOver = async ({ server, consumer }: Ground, entries: number, bench: ReliabilityBench): Promise<number> => {
  const { redis } = server;
  const inbox = `${prefix}:inbox:project-manager:NORMAL`;
  await redis.xgroup('CREATE', inbox, 'project-manager', '0', 'MKSTREAM');
  await publish(server, 'board.discarded', entries);
  await redis.hset(`${prefix}:beats:project-manager`, 'ghost', 1);
  await redis.xreadgroup('GROUP', 'project-manager', 'ghost', 'COUNT', entries, 'STREAMS', inbox, '>');
  const held = async (): Promise<number> => {
    const rows = (
      (await redis.xpending(inbox, 'project-manager')) as unknown as [number, string, string, [string, string][] | null]
    )[3];
    return Number(rows?.find(([name]) => name === 'ghost')?.[1] ?? 0);
  };
  if ((await held()) !== entries) throw new Error(`the ghost holds ${await held()} entries`);
  await consumer({ service: 'project-manager', mode: 'stream', slots: 500, workMs: 0 });
  await until('the takeover begins', async () => (await held()) < entries, { ...bench, everyMs: 1 });
  const began = performance.now();
  await until('the ghost holds nothing', async () => (await held()) === 0, { ...bench, everyMs: 1 });
  const took = (performance.now() - began) / 1000;
  await until('all are settled', () => isQuiet(redis), { ...bench, everyMs: 20 });
  const { lost, twice } = await tally(redis, entries);
  if (lost + twice > 0) throw new Error(`${lost} were lost and ${twice} settled twice`);
  return took;
};

/** Rate and latency of one hop, with and without many messages that wait for a service that is away. */
export const waiting: ReliabilityPart = async (bench) => {
  const count = bench.full ? 100_000 : 20_000;
  const rounds = bench.full ? 3 : 1;
  const sides = [{ role: 'product-receive', counts: true }, { role: 'product-send' }];
  const found = { rate: [] as number[], latency: [] as number[] };
  const server = await openServer('everysec');
  try {
    const one = async (limits: { messages: number; rate: number }, wait: boolean) => {
      const fill = () => (wait ? fillInbox(server.url, count) : Promise.resolve());
      return (await race(server, sides, { ...limits, concurrency: 400 }, fill)).result as Record<string, number>;
    };
    for (let round = 1; round <= rounds; round += 1) {
      const fast = { messages: bench.full ? 90_000 : 30_000, rate: 0 };
      const steady = { messages: bench.full ? 4000 : 2000, rate: 500 };
      const [empty, full] = [await one(fast, false), await one(fast, true)];
      const [quiet, crowded] = [await one(steady, false), await one(steady, true)];
      found.rate.push(100 * (1 - (full.per_second ?? 0) / (empty.per_second ?? 1)));
      found.latency.push(100 * ((crowded.p50_ms ?? 0) / (quiet.p50_ms ?? 1) - 1));
      const rates = `${shown(empty.per_second ?? 0, '/s')} → ${shown(full.per_second ?? 0, '/s')}`;
      const times = `p50 ${shown(quiet.p50_ms ?? 0, 'ms')} → ${shown(crowded.p50_ms ?? 0, 'ms')}`;
      bench.say(`waiting, round ${round} of ${rounds}: ${rates}, ${times}`);
    }
  } finally {
    await server.stop();
  }
  const many = count.toLocaleString('en-US');
  return {
    figures: [
      figure(`${many} messages wait: the rate is lower by`, '%', found.rate, { atMost: 20 }),
      figure(`${many} messages wait: latency is higher by`, '%', found.latency, { atMost: 20 }),
    ],
    where: ['they wait for a service that is away, while others go on'],
    data: found,
  };
};

const fillInbox = async (url: string, count: number): Promise<void> => {
  const { Redis } = await import('ioredis');
  const redis = new Redis(url);
  const body = text(700);
  for (let done = 0; done < count; done += 5000) {
    const writing = redis.pipeline();
    for (let n = 0; n < 5000; n += 1) writing.xadd(`${prefix}:inbox:quality-checker:NORMAL`, '*', 'm', body);
    await writing.exec();
  }
  redis.disconnect();
};
