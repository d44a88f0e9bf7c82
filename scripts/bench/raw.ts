/**
 * The raw limit: ioredis alone, with the bare commands that a hop cannot do without.
 */
import { Redis } from 'ioredis';
import { latencies, paced, windowed } from './pace.ts';
import type { Role, RoleOptions } from './player.ts';

const body = (n: number): string =>
  JSON.stringify({
    id: n,
    sent: performance.timeOrigin + performance.now(),
    task: `task-${n}`,
    filler: 'x'.repeat(620),
  });
const open = (options: RoleOptions): Redis => new Redis(options.redisUrl);
const inbox = (options: RoleOptions, station = 0): string => `${options.prefix}:raw:${station}`;

export const send: Role = async (options, started) => {
  const redis = open(options);
  await redis.ping();
  await started();
  const began = performance.now();
  if (options.rate > 0)
    await paced(options.messages, options.rate, (n) => redis.xadd(inbox(options), '*', 'm', body(n)));
  else {
    const batches = options.messages / 100;
    await windowed(batches, 4, async (batch) => {
      const pipeline = redis.pipeline();
      for (let n = 0; n < 100; n += 1) pipeline.xadd(inbox(options), '*', 'm', body(batch * 100 + n));
      await pipeline.exec();
    });
  }
  return { ms: performance.now() - began };
};

export const feed: Role = (options, started) => send({ ...options, rate: 0 }, started);

type Read = [string, [string, string[]][]][] | null;

export const receive: Role = async (options, started) => {
  const [reading, writing] = [open(options), open(options)];
  await writing.xgroup('CREATE', inbox(options), 'g', '0', 'MKSTREAM').catch(() => undefined);
  await started();
  const times = latencies(options.messages);
  let count = 0;
  while (count < options.messages) {
    const reply = (await reading.xreadgroup(
      'GROUP',
      'g',
      'c',
      'COUNT',
      100,
      'BLOCK',
      1000,
      'STREAMS',
      inbox(options),
      '>',
    )) as Read;
    const entries = reply?.[0]?.[1] ?? [];
    for (const [, fields] of entries) times.met((JSON.parse(fields[1] ?? '{}') as { sent: number }).sent);
    count += entries.length;
    if (entries.length > 0) void writing.xack(inbox(options), 'g', ...entries.map(([id]) => id));
  }
  return times.report();
};

const passOn = `
for n = 0, tonumber(ARGV[1]) - 1 do
  local at = 2 + 3 * n
  redis.call('HSET', ARGV[at + 1], 'doc', ARGV[at + 2])
  if KEYS[2] then redis.call('XADD', KEYS[2], '*', 'm', ARGV[at + 2]) end
  redis.call('XACK', KEYS[1], 'g', ARGV[at])
end`;

/** Each station: write the document, add to the next stream, acknowledge, in one script per batch. */
export const chain: Role = async (options, started) => {
  const times = latencies(options.messages);
  for (const station of options.stations) {
    const redis = open(options);
    await redis.xgroup('CREATE', inbox(options, station), 'g', '0', 'MKSTREAM').catch(() => undefined);
    redis.disconnect();
  }
  await started();
  const stop = { now: false };
  const loops = options.stations.map((station) => runStation(options, station, times, stop));
  if (options.stations.includes(4)) await times.all;
  else await new Promise((resolve) => process.once('message', resolve));
  stop.now = true;
  await Promise.all(loops);
  return options.stations.includes(4) ? times.report() : {};
};

const runStation = async (
  options: RoleOptions,
  station: number,
  times: ReturnType<typeof latencies>,
  stop: { now: boolean },
): Promise<void> => {
  const [reading, writing] = [open(options), open(options)];
  const keys = station < 4 ? [inbox(options, station), inbox(options, station + 1)] : [inbox(options, station)];
  const sha = String(await writing.script('LOAD', passOn));
  while (!stop.now) {
    const reply = (await reading.xreadgroup(
      'GROUP',
      'g',
      'c',
      'COUNT',
      100,
      'BLOCK',
      200,
      'STREAMS',
      inbox(options, station),
      '>',
    )) as Read;
    const entries = reply?.[0]?.[1] ?? [];
    const values = entries.flatMap(([id, fields]) => {
      const message = JSON.parse(fields[1] ?? '{}') as { task: string };
      return [id, `${options.prefix}:doc:${message.task}`, JSON.stringify(message)];
    });
    if (entries.length > 0) await writing.evalsha(sha, keys.length, ...keys, entries.length, ...values);
    if (station === 4) for (const _ of entries) times.met(0);
  }
};
