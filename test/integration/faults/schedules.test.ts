import type { Bus, Schedule } from '@nexus/shared/bus';
import { done } from '@nexus/shared/bus';
import { expect, test } from 'vitest';
import { eventually } from '../../tools/eventually.ts';
import { consumeAll } from '../../tools/messages.ts';
import { startRedis, type TestFabric, testFabric } from '../../tools/redis.ts';

const discards = (name: string, everyMs: number): Schedule => ({
  name,
  everyMs,
  type: 'hub.discarded',
  payload: { task_id: name },
});

/** What reached the finalizer: the schedule's name, and id and time of each message. */
const collect = (bus: Bus): { name: string; id: string; at: number }[] => {
  const came: { name: string; id: string; at: number }[] = [];
  consumeAll(bus, 'finalizer', {
    work: (message) => {
      const { task_id: name } = message.payload as { task_id: string };
      came.push({ name, id: message.message_id, at: Date.parse(message.timestamp) });
      return done();
    },
  });
  return came;
};

const schedulers = (fabric: TestFabric): Promise<string[]> =>
  fabric.redis.zrange(`${fabric.config.prefix}:alarms:repeat`, '0', '-1');

test('rule 16: a schedule publishes one message a tick, however many instances declare it', async () => {
  const fabric = testFabric();
  const declared = [discards('every-half', 500)];
  const buses = [await fabric.open('orchestrator'), await fabric.open('orchestrator')];
  for (const bus of buses) {
    consumeAll(bus, 'orchestrator');
    bus.schedule(declared);
  }
  const came = collect(await fabric.open('finalizer'));
  await eventually('eight ticks have come', () => came.length >= 8);
  const slots = came.map(({ at }) => Math.floor(at / 500));
  const spanSlots = (slots.at(-1) ?? 0) - (slots[0] ?? 0) + 1;
  // A busy machine may swallow a tick or make one late; a second message of one tick would make one too many.
  expect(came.length).toBeLessThanOrEqual(spanSlots + 1);
  expect(new Set(came.map(({ id }) => id)).size).toBe(came.length);
  expect(await schedulers(fabric)).toContain('tick.orchestrator.every-half');
  const seen = await fabric.redis.keys(`${fabric.config.prefix}:seen:key:tick.orchestrator.every-half.*`);
  expect(seen.length).toBeGreaterThan(0);
  for (const key of seen) expect(await fabric.redis.ttl(key)).toBeLessThanOrEqual(3);
});

test('rule 16: a schedule that is made anew within its period rings, but publishes nothing again', async () => {
  const fabric = testFabric();
  const bus = await fabric.open('orchestrator');
  consumeAll(bus, 'orchestrator');
  const came = collect(await fabric.open('finalizer'));
  bus.schedule([discards('hourly', 3_600_000)]);
  await eventually('it rang', () => came.length === 1);
  await fabric.redis.del(`${fabric.config.prefix}:alarms:repeat`);
  bus.schedule([discards('hourly', 3_600_000), discards('later', 3_600_000)]);
  await eventually('the other one rang', () => came.some(({ name }) => name === 'later'));
  expect(came.map(({ name }) => name)).toEqual(['hourly', 'later']);
});

test('a schedule that its service no longer has is removed, and those of other services stay', async () => {
  const fabric = testFabric();
  const old = await fabric.open('orchestrator');
  const other = await fabric.open('project-manager');
  consumeAll(old, 'orchestrator');
  old.schedule([discards('kept', 3_600_000), discards('dropped', 3_600_000)]);
  other.schedule([discards('foreign', 3_600_000)]);
  await eventually('all three stand', async () => (await schedulers(fabric)).length === 4);
  await old.close(0);
  const next = await fabric.open('orchestrator');
  next.schedule([discards('kept', 3_600_000)]);
  await eventually('one is gone', async () => (await schedulers(fabric)).length === 3);
  expect((await schedulers(fabric)).sort()).toEqual([
    'sweep',
    'tick.orchestrator.kept',
    'tick.project-manager.foreign',
  ]);
  next.schedule([]);
  await eventually('a service without schedules has none', async () => (await schedulers(fabric)).length === 2);
});

test('schedules ring on after a restart of Redis, and after one that lost everything', async () => {
  const server = await startRedis();
  const fabric = testFabric(server.url);
  const bus = await fabric.open('orchestrator');
  consumeAll(bus, 'orchestrator');
  bus.schedule([discards('steady', 300)]);
  const came = collect(await fabric.open('finalizer'));
  await eventually('it rings', () => came.length >= 2);
  await server.stop();
  const again = await startRedis({ port: server.port, folder: server.folder });
  const before = came.length;
  await eventually('it rings after the restart', () => came.length >= before + 2);
  await again.stop();
  await startRedis({ port: server.port });
  const kept = came.length;
  await eventually('it rings on an empty Redis', () => came.length >= kept + 2);
  const slots = came.map(({ at }) => Math.floor(at / 300));
  expect(came.length).toBeLessThanOrEqual((slots.at(-1) ?? 0) - (slots[0] ?? 0) + 2);
});
