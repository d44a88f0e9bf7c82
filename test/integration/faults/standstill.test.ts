/** A Redis that stands still is said once by everybody; a process that stood still itself blames nobody. */
import { expect, test } from 'vitest';
import { eventually } from '../../tools/eventually.ts';
import { startRedis, testFabric } from '../../tools/redis.ts';
import { startService, testHome } from '../../tools/service-process.ts';
import { keepingLog } from './standing.ts';

test('a Redis that answers no beat is told once by each service, and once when it is over', async () => {
  const server = await startRedis();
  const fabric = testFabric(server.url);
  const logs = ['orchestrator', 'finalizer', 'gateway'].map(() => keepingLog());
  const services = ['orchestrator', 'finalizer', 'gateway'] as const;
  const limits = { beatLateMs: 1000 };
  const buses = await Promise.all(
    services.map((service, at) => fabric.open(service, { log: logs[at]?.log as never, limits })),
  );
  server.pause();
  await eventually('all have said it', () => logs.every(({ lines }) => lines.length > 0));
  expect(buses.map((bus) => bus.health().code)).toEqual(services.map(() => 'REDIS_UNREACHABLE'));
  server.resume();
  await eventually('all have said that it is over', () => logs.every(({ lines }) => lines.at(-1)?.level === 'info'));
  for (const { lines } of logs)
    expect(lines.map(({ code, text }) => [code, text])).toEqual([
      ['REDIS_UNREACHABLE', expect.stringMatching(/does not answer: it answered no beat\. What is due waits$/)],
      [undefined, 'Redis answers again'],
    ]);
});

test('a service that was paused says that it stood still, and does not blame Redis', async () => {
  const fabric = testFabric();
  const env = { NEXUS_HOME: testHome(), NEXUS_REDIS_TIMEOUT: '1s', NEXUS_STANDSTILL: '2s' };
  const service = await startService('finalizer', fabric, env);
  const before = service.said().length;
  await service.signal('SIGSTOP');
  // Longer than a connection waits: by its own clock alone it can tell.
  await new Promise((resolve) => setTimeout(resolve, 3500));
  await service.signal('SIGCONT');
  const said = () => service.said().slice(before);
  await eventually('it says so', () => said().includes('This process stood still for'));
  const beats = `${fabric.config.prefix}:beats:finalizer`;
  const counted = async () => Number(Object.values(await fabric.redis.hgetall(beats))[0]);
  const first = await counted();
  await eventually('it beats again', async () => (await counted()) >= first + 2);
  expect(said()).not.toContain('REDIS_UNREACHABLE');
  expect(said().match(/stood still/g)).toHaveLength(1);
});
