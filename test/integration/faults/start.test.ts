import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { describeServer, openBus } from '@nexus/shared/bus';
import { foldersOf, openLiveCatalog } from '@nexus/shared/catalog';
import { openMeters, silentLog } from '@nexus/shared/telemetry';
import { expect, inject, onTestFinished, test } from 'vitest';
import { eventually } from '../../tools/eventually.ts';
import { startRedis, testFabric } from '../../tools/redis.ts';
import { brokenSave } from './standing.ts';

/** Hands everything on to Redis, until this command has been asked for so often: then it is gone, for everybody. */
const goneAt = async (command: string, times: number): Promise<string> => {
  const { hostname, port } = new URL(inject('redisUrl'));
  let asked = 0;
  const server = createServer((client) => {
    const redis = connect({ host: hostname, port: Number(port) });
    redis.pipe(client);
    client.on('data', (chunk) => {
      if (chunk.toString().toUpperCase().includes(`\r\n${command}\r\n`)) asked += 1;
      if (asked < times) return void redis.write(chunk);
      server.close();
      client.destroy();
    });
    for (const socket of [client, redis]) {
      socket.on('error', () => undefined);
      socket.on('close', () => [client, redis].map((one) => one.destroy()));
    }
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  onTestFinished(() => void server.close());
  return `redis://127.0.0.1:${(server.address() as AddressInfo).port}`;
};

test('a start that Redis leaves in the middle says so by name', async () => {
  const { config } = testFabric();
  // The first INFO is the client's own, when it connects; the second looks whether this server will do.
  const redisUrl = await goneAt('INFO', 2);
  const meters = openMeters('quality-checker');
  const opened = openBus({ config: { ...config, redisUrl }, service: 'quality-checker', log: silentLog(), meters });
  await expect(opened).rejects.toMatchObject({ code: 'REDIS_UNREACHABLE' });
});

test('a service whose agents are read while Redis restarts waits for it, and serves then', async () => {
  const server = await startRedis();
  onTestFinished(() => server.stop());
  const fabric = testFabric(server.url);
  const bus = await fabric.open('quality-checker');
  await server.stop();
  await eventually('Redis is gone', () => !bus.health().ok);
  const opening = openLiveCatalog({ folders: foldersOf({} as never), bus, log: silentLog(), everyMs: 60_000 });
  const early = await Promise.race([opening.then(() => 'opened', String), sleep(500, 'it waits')]);
  expect(early).toBe('it waits');
  await server.start();
  const catalog = await opening;
  onTestFinished(catalog.close);
  expect(catalog.agents.has('builder')).toBe(true);
});

test('a Redis that cannot save is read from at once, and whoever writes is told, instead of waiting', async () => {
  const server = await startRedis();
  const fabric = testFabric(server.url, { NEXUS_REDIS_WAIT: '1h' });
  await fabric.redis.set(`${fabric.config.prefix}:once:token`, 'made before');
  await brokenSave(server, fabric.redis);
  const bus = await fabric.open('gateway', { observer: true });
  expect(await bus.store.readText(bus.keys.token)).toBe('made before');
  await expect(bus.control.command('STOP_ALL', null, 'test')).rejects.toThrow(/^MISCONF/);
  await expect(fabric.open('finalizer')).rejects.toMatchObject({ code: 'REDIS_DISK' });
  expect(await describeServer({ url: server.url })).toMatchObject({ refuses: { code: 'REDIS_DISK' } });
});

test('a Redis that wants another password says so at once', async () => {
  const server = await startRedis({ extra: ['--requirepass', 'hush'] });
  const fabric = testFabric(server.url, { NEXUS_REDIS_WAIT: '1h' });
  await expect(fabric.open('finalizer')).rejects.toMatchObject({ message: expect.stringContaining('NOAUTH') });
});
