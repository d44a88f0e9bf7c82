/**
 * The raw limit of a chain of five hops: one script a batch that writes the document, adds to the next stream and
 * acknowledges, for all stations of a process at once; one blocking read over all of their streams. Whoever plays
 * the last station also sends, and keeps so many chains under way.
 */
import { Redis } from 'ioredis';
import { closedLoop, untilEnd } from './pace.ts';
import type { Role, RoleOptions } from './player.ts';
import type { Read } from './raw.ts';
import { bodyFiller, documentAt, stationsMax } from './sample.ts';

/** KEYS: the streams of all stations. ARGV: number of entries; of each station, id, document key, document, message. */
const passOn = `
local done = {}
local at = 2
for n = 1, tonumber(ARGV[1]) do
  local station = tonumber(ARGV[at])
  redis.call('HSET', ARGV[at + 2], 'doc', ARGV[at + 3])
  if KEYS[station + 1] then redis.call('XADD', KEYS[station + 1], '*', 'm', ARGV[at + 4]) end
  local ids = done[station] or {}
  ids[#ids + 1] = ARGV[at + 1]
  done[station] = ids
  at = at + 5
end
for station, ids in pairs(done) do redis.call('XACK', KEYS[station], 'g', unpack(ids)) end`;

const stream = (options: RoleOptions, station: number): string => `${options.prefix}:raw:${station}`;
const streams = (options: RoleOptions): string[] =>
  Array.from({ length: stationsMax }, (_, station) => stream(options, station));
const bodyOf = (task: string, station: number): string => JSON.stringify({ task, station, filler: bodyFiller });

export const chain: Role = async (options, started) => {
  const [reading, writing] = [new Redis(options.redisUrl), new Redis(options.redisUrl)];
  for (const station of options.stations) {
    await writing.xgroup('CREATE', stream(options, station), 'g', '0', 'MKSTREAM').catch(() => undefined);
  }
  const sha = String(await writing.script('LOAD', passOn));
  const loop = closedLoop(options.messages, options.concurrency, (first, many) => {
    const pipeline = writing.pipeline();
    for (let n = first; n < first + many; n += 1) {
      pipeline.xadd(stream(options, 0), '*', 'm', bodyOf(`task-${n}`, 0));
    }
    void pipeline.exec();
  });
  await started();
  const stop = { now: false };
  const working = work(options, { reading, writing, sha, stop, ended: loop.ended });
  if (options.stations.includes(stationsMax - 1)) {
    loop.begin();
    await loop.all;
  } else await untilEnd();
  stop.now = true;
  reading.disconnect();
  await working.catch(() => undefined);
  return { per_second: loop.perSecond() };
};

type Tools = { reading: Redis; writing: Redis; sha: string; stop: { now: boolean }; ended(): void };

/** Reads on while what was read is settled: nothing waits for an answer but the end of the chain. */
const work = async (options: RoleOptions, { reading, writing, sha, stop, ended }: Tools): Promise<void> => {
  const mine = options.stations.map((station) => stream(options, station));
  const stationOf = new Map(streams(options).map((name, station) => [name, station]));
  const wanted = ['GROUP', 'g', 'c', 'COUNT', 100, 'BLOCK', 1000, 'STREAMS', ...mine, ...mine.map(() => '>')];
  const keys = streams(options);
  while (!stop.now) {
    const reply = (await (reading.xreadgroup as (...parts: unknown[]) => Promise<unknown>)(...wanted)) as Read;
    const values: (string | number)[] = [];
    let [count, last] = [0, 0];
    for (const [name, entries] of reply ?? []) {
      const station = stationOf.get(name) ?? 0;
      count += entries.length;
      if (station === stationsMax - 1) last += entries.length;
      for (const [id, fields] of entries) {
        const { task } = JSON.parse(fields[1] ?? '{}') as { task: string };
        values.push(station + 1, id, `${options.prefix}:doc:${task}`, documentAt(station), bodyOf(task, station + 1));
      }
    }
    if (count === 0) continue;
    const settled = writing.evalsha(sha, keys.length, ...keys, count, ...values);
    if (last > 0) void settled.then(() => Array.from({ length: last }, ended));
  }
};
