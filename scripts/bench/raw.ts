/**
 * The raw limit of a hop: ioredis alone, with the bare commands that it cannot do without, in batches.
 */
import { Redis } from 'ioredis';
import { arrivals, clockMs, paced, windowed } from './pace.ts';
import type { Role, RoleOptions } from './player.ts';
import { bodyFiller } from './sample.ts';

/** A message of 700 bytes. */
const body = (n: number): string =>
  JSON.stringify({ id: n, sent: clockMs(), task: `task-${n % 997}`, filler: bodyFiller });
const inbox = (options: RoleOptions): string => `${options.prefix}:raw`;

export const send: Role = async (options, started) => {
  const redis = new Redis(options.redisUrl);
  await redis.ping();
  await started();
  if (options.rate > 0) {
    await paced(options.messages, options.rate, (n) => redis.xadd(inbox(options), '*', 'm', body(n)));
    return {};
  }
  await windowed(options.messages / 100, 4, async (batch) => {
    const pipeline = redis.pipeline();
    for (let n = 0; n < 100; n += 1) pipeline.xadd(inbox(options), '*', 'm', body(batch * 100 + n));
    await pipeline.exec();
  });
  return {};
};

/** What XREADGROUP answers. */
export type Read = [string, [string, string[]][]][] | null;

export const receive: Role = async (options, started) => {
  const [reading, writing] = [new Redis(options.redisUrl), new Redis(options.redisUrl)];
  await writing.xgroup('CREATE', inbox(options), 'g', '0', 'MKSTREAM').catch(() => undefined);
  await started();
  const counted = arrivals(options.messages);
  for (let count = 0; count < options.messages; ) {
    const wanted = ['GROUP', 'g', 'c', 'COUNT', 100, 'BLOCK', 1000, 'STREAMS', inbox(options), '>'] as const;
    const reply = (await reading.xreadgroup(...wanted)) as Read;
    const entries = reply?.[0]?.[1] ?? [];
    if (entries.length === 0) continue;
    count += entries.length;
    const sent = entries.map(([, fields]) => (JSON.parse(fields[1] ?? '{}') as { sent: number }).sent);
    void writing.xack(inbox(options), 'g', ...entries.map(([id]) => id)).then(() => {
      for (const at of sent) counted.met(at);
    });
  }
  await counted.all;
  return counted.report();
};
