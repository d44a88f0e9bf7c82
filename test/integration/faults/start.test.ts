import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { openBus } from '@nexus/shared/bus';
import { openMeters, silentLog } from '@nexus/shared/telemetry';
import { expect, inject, onTestFinished, test } from 'vitest';
import { testFabric } from '../../tools/redis.ts';

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
