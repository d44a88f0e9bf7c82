/** What the command line can tell and do of a fleet whose gateway is gone: through Redis alone. */
import { expect, test } from 'vitest';
import { exitCodes } from '../../services/cli/exit-codes.ts';
import { openHome, runNexus } from '../tools/cli.ts';
import { eventually } from '../tools/eventually.ts';
import { consumeAll } from '../tools/messages.ts';
import { startRedis, testFabric } from '../tools/redis.ts';
import { brokenSave } from './faults/standing.ts';

const fleet = async (url?: string, more: Record<string, string> = {}) => {
  const fabric = testFabric(url);
  const bus = await fabric.open('worker-agent');
  consumeAll(bus, 'worker-agent', { mode: 'take', slots: 3 });
  await eventually('it is seen', async () => (await bus.presences()).some(({ slots }) => slots === 3));
  const { redisUrl: REDIS_URL, prefix: NEXUS_PREFIX, controlChannel: NEXUS_CONTROL_CHANNEL } = fabric.config;
  const env = { REDIS_URL, NEXUS_PREFIX, NEXUS_CONTROL_CHANNEL, ...more };
  const nexus = (...words: string[]) => runNexus(openHome(), words, 'http://127.0.0.1:1', { env });
  return { fabric, bus, nexus };
};

test('status shows what Redis tells of holds, instances and letters, and that the gateway is gone', async () => {
  const { fabric, bus, nexus } = await fleet();
  await fabric.redis.hset(bus.keys.dead, 'x', '{}');
  await fabric.redis.zadd(bus.keys.deadOrder, Date.now() - 60_000, 'x');
  await bus.control.command('PAUSE_ALL', null, 'cli:ann');
  await bus.control.command('STOP_ALL', { agent: 'builder' }, 'cli:bob');
  const { code, out, err } = await nexus('status');
  expect(code).toBe(exitCodes.unavailable.code);
  expect(out).toContain('The fleet is paused (epoch 0) by cli:ann');
  expect(out).toContain('agent:builder is stopped by cli:bob');
  expect(out).toContain('1 dead letter, the oldest died 1 min 00 s ago');
  expect(out).toMatch(/worker-agent .* 0 of 3/);
  expect(err).toContain('No NEXUS gateway answers');
  const { out: document } = await nexus('status', '--json');
  expect(JSON.parse(document).error.code).toBe('GATEWAY_UNREACHABLE');
});

test('a stop through Redis is confirmed; what does not exist, and a resume without a stop, are refused', async () => {
  const { bus, nexus } = await fleet();
  const idle = await nexus('resume', '--all');
  expect([idle.code, idle.err]).toEqual([exitCodes.refused.code, expect.stringContaining('the fleet is not held')]);
  const nowhere = await nexus('pause', '--instance', 'nowhere');
  expect(nowhere.err).toContain(`There is no instance "nowhere", so nothing was changed. There are: ${bus.instanceId}`);
  expect((await nexus('stop', '--task', 'no-such-task')).err).toContain('There is no task no-such-task.');
  expect(await bus.control.read()).toMatchObject({ epoch: 0, state: 'running', scopes: {} });
  const stop = await nexus('stop', '--all');
  expect([stop.code, stop.err]).toEqual([0, '']);
  expect(stop.out).toContain(`told through Redis: no gateway answers.\n  confirmed by 1 of 1: ${bus.instanceId}`);
  expect((await nexus('resume', '--all')).out).toContain('The fleet is running (epoch 2).');
});

test('where Redis cannot save, what it holds is shown, and a stop names the way without it', async () => {
  const server = await startRedis();
  const { fabric, bus, nexus } = await fleet(server.url);
  await brokenSave(server, fabric.redis);
  expect((await nexus('status')).out).toContain(bus.instanceId.split('-').slice(0, 2).join('-'));
  const stop = await nexus('stop', '--all');
  expect(stop.code).toBe(exitCodes.unavailable.code);
  expect(stop.err).toContain('cannot save to its disk: MISCONF');
  expect(stop.err).toContain('nexus stop --all --local');
  const { out } = await nexus('doctor');
  expect(out).toContain('it takes no writes: Redis at');
  expect(out).not.toContain('does not answer: MISCONF');
});

test('beside a Redis that still reads its data, a stop names the way without it', async () => {
  const server = await startRedis({ extra: ['--appendfsync', 'always'] });
  const { fabric, nexus } = await fleet(server.url, { NEXUS_REDIS_WAIT: '500ms' });
  const filler = fabric.redis.pipeline();
  for (let n = 0; n < 20_000; n += 1) filler.set(`filler:${n}`, 'x');
  await filler.exec();
  await server.stop();
  await server.start({ extra: ['--key-load-delay', '400'], waits: false });
  const stop = await eventually('it reads its data', async () => {
    const said = await nexus('stop', '--all');
    return said.err.includes('is still reading its data') && said;
  });
  expect(stop.code).toBe(exitCodes.unavailable.code);
  expect(stop.err).toContain('nexus stop --all --local');
});
