import { done } from '@nexus/shared/bus';
import { expect, test } from 'vitest';
import { endConnection } from '../../../shared/src/bus/ending.ts';
import { openRedis } from '../../../shared/src/bus/redis.ts';
import { deferred, eventually } from '../../tools/eventually.ts';
import { consumeAll, discard } from '../../tools/messages.ts';
import { startRedis, testFabric } from '../../tools/redis.ts';

/** What `log.warn` was told. */
const warnings = () => {
  const said: string[] = [];
  const log = { warn: (about: unknown, text?: string) => said.push(text ?? String(about)) };
  const quiet = { info: () => undefined, debug: () => undefined, error: () => undefined, fatal: () => undefined };
  const whole = { ...log, ...quiet, child: () => whole };
  return { said, log: whole as never };
};

const ways = [
  ['that ended', 'SIGTERM'],
  ['that was killed', 'SIGKILL'],
  ['that was paused', 'SIGSTOP'],
] as const;
const modes = ['take', 'stream'] as const;

test.each(ways.flatMap(([what, signal]) => modes.map((mode) => [mode, what, signal] as const)))(
  'a bus in mode %s closes within its limit beside a Redis %s, says once what was left, and fails what waits',
  async (mode, _what, signal) => {
    const server = await startRedis();
    const fabric = testFabric(server.url);
    const { said, log } = warnings();
    const limits = { closeMs: 500, abortMs: 500 };
    const bus = await fabric.open('finalizer', { log, limits });
    const hold = deferred();
    const handled = consumeAll(bus, 'finalizer', {
      mode,
      slots: 2,
      work: async () => {
        await hold.promise;
        return done();
      },
    });
    await bus.publish(discard('unsettled'));
    await eventually('it runs', () => bus.busy() === 1);
    process.kill(server.pid ?? 0, signal);
    if (signal !== 'SIGSTOP') await eventually('it is known to be gone', () => !bus.health().ok);
    hold.resolve();
    await eventually('its handler has ended', () => handled.length === 1);
    const unanswered = bus.publish(discard('unanswered')).then(
      () => 'published',
      (error: { code: string }) => error.code,
    );
    const began = performance.now();
    await bus.close();
    expect(performance.now() - began).toBeLessThan(15_000);
    expect(await unanswered).toBe('REDIS_UNREACHABLE');
    expect(said.filter((text) => text.startsWith('Closed without'))).toHaveLength(1);
    if (signal === 'SIGSTOP') process.kill(server.pid ?? 0, 'SIGCONT');
    fabric.redis.disconnect();
  },
);

test('a connection that ends between two tries to connect fails what waits on it', async () => {
  const redis = openRedis({ url: 'redis://127.0.0.1:1', name: 'nowhere' });
  redis.on('error', () => undefined);
  await eventually('it waits for its next try', () => redis.status === 'reconnecting');
  const waits = redis.get('anything').then(
    () => 'answered',
    () => 'failed',
  );
  endConnection(redis);
  expect(await waits).toBe('failed');
  expect(redis.status).toBe('end');
});

test('a bus closes beside a well Redis without a word, and nothing of it is left there', async () => {
  const fabric = testFabric();
  const { said, log } = warnings();
  const bus = await fabric.open('finalizer', { log });
  const handled = consumeAll(bus, 'finalizer', { mode: 'take', slots: 2 });
  await bus.publish(discard('settled'));
  await eventually('it is handled', () => handled.length === 1);
  await bus.close();
  expect(said).toEqual([]);
  expect(await fabric.redis.hexists(bus.keys.beats('finalizer'), bus.instanceId)).toBe(0);
  expect(await fabric.redis.xlen(bus.keys.inbox('finalizer', 'NORMAL'))).toBe(0);
});
