import { done, keysOf } from '@nexus/shared/bus';
import { freePort } from '@nexus/shared/process';
import { openMeters } from '@nexus/shared/telemetry';
import { Redis } from 'ioredis';
import { expect, onTestFinished, test } from 'vitest';
import { openGround } from '../../../shared/src/bus/connections.ts';
import { deferred, eventually } from '../../tools/eventually.ts';
import { consumeAll, discard } from '../../tools/messages.ts';
import { openProxy } from '../../tools/proxy.ts';
import { startRedis, type TestServer, testFabric } from '../../tools/redis.ts';
import { brokenSave, expectWhole, keepingLog, stand } from './standing.ts';

type Fault = {
  what: string;
  code: string;
  /** false: it only keeps what is published waiting. */
  refuses?: boolean;
  /** Whoever starts again is away first, and reads its data then: that may be said beside it, each once. */
  starts?: true;
  /** Makes it; what it returns ends it. */
  begin(server: TestServer, admin: Redis): Promise<() => unknown>;
};

const faults: Fault[] = [
  {
    what: 'that is restarted',
    code: 'REDIS_UNREACHABLE',
    starts: true,
    begin: async (server) => {
      await server.stop();
      return () => server.start();
    },
  },
  {
    what: 'that was killed',
    code: 'REDIS_UNREACHABLE',
    starts: true,
    begin: async (server) => {
      await server.kill();
      return () => server.start();
    },
  },
  {
    what: 'that is paused for longer than connections wait',
    code: 'REDIS_UNREACHABLE',
    begin: async (server) => {
      server.pause();
      return () => server.resume();
    },
  },
  { what: 'that cannot save to its disk (MISCONF)', code: 'REDIS_DISK', begin: brokenSave },
  {
    what: 'that became a replica (READONLY)',
    code: 'REDIS_READONLY',
    begin: async (_server, admin) => {
      await admin.replicaof('127.0.0.1', await freePort());
      return () => admin.replicaof('NO', 'ONE');
    },
  },
  {
    what: 'that reads its data for long (LOADING)',
    code: 'REDIS_LOADING',
    refuses: false,
    starts: true,
    begin: async (server, admin) => {
      const filler = admin.pipeline();
      for (let n = 0; n < 20_000; n += 1) filler.set(`filler:${n}`, 'x');
      await filler.exec();
      await server.stop();
      // It takes its time for each key, and answers in between.
      await server.start({ extra: ['--key-load-delay', '200'], waits: false });
      return () => undefined;
    },
  },
  {
    what: 'that misses replicas which it demands (NOREPLICAS)',
    code: 'REDIS_REPLICAS',
    begin: async (_server, admin) => {
      await admin.config('SET', 'min-replicas-to-write', '1');
      return () => admin.config('SET', 'min-replicas-to-write', '0');
    },
  },
];

const adminOf = (server: TestServer): Redis => {
  const admin = new Redis(server.url);
  admin.on('error', () => undefined);
  onTestFinished(() => admin.disconnect());
  return admin;
};

const impatient = { NEXUS_REDIS_TIMEOUT: '1500ms', NEXUS_REDIS_CHECK: '200ms' };

test.each(faults)('beside a Redis $what, handlers run on, and results wait and settle once', async (fault) => {
  const server = await startRedis({ extra: ['--appendfsync', 'always'] });
  const admin = adminOf(server);
  const fabric = testFabric(server.url, impatient);
  const standing = await stand(fabric);
  const { bus, lines } = standing;
  const before = Date.now();
  const end = await fault.begin(server, admin);
  const health = await eventually('health says what is wrong', () => {
    const now = bus.health();
    return !now.ok && now.code === fault.code && now;
  });
  expect(health.says).toContain('Redis at redis://127.0.0.1');
  expect(health.do).toMatch(/\w/);
  expect(Date.parse(health.since)).toBeGreaterThanOrEqual(before - 1);
  standing.release();
  if (fault.refuses !== false)
    await expect(bus.publish({ ...late, thread: 'late' })).rejects.toMatchObject({
      code: expect.stringMatching(/^REDIS_/),
    });
  await end();
  await expectWhole(fabric, standing);
  await eventually('the end is said', () => lines.some(({ text }) => text === 'Redis answers again'));
  const warned = lines.filter(({ level }) => level !== 'info');
  const codes = warned.map(({ code }) => code).toSorted();
  const both = ['REDIS_LOADING', 'REDIS_UNREACHABLE'];
  expect(fault.starts ? [[fault.code], both] : [[fault.code]]).toContainEqual(codes);
  expect(lines.filter(({ text }) => text === 'Redis answers again')).toHaveLength(1);
});

const late = { type: 'hub.discarded', payload: { task_id: 'late' }, actor: 'test' } as const;

test('a handler that begins while Redis refuses writes counts no attempt, and runs once it does not', async () => {
  const server = await startRedis();
  const fabric = testFabric(server.url);
  const bus = await fabric.open('finalizer');
  const attempts: number[] = [];
  let begun = 0;
  consumeAll(bus, 'finalizer', {
    mode: 'take',
    slots: 1,
    work: async (message, tools) => {
      attempts.push(message.attempt);
      if (attempts.length === 1) await fabric.redis.config('SET', 'min-replicas-to-write', '1');
      await tools.begin();
      begun += 1;
      return done();
    },
  });
  await bus.publish(discard('refused'));
  await eventually('health says so', () => bus.health().code === 'REDIS_REPLICAS');
  expect(begun).toBe(0);
  await fabric.redis.config('SET', 'min-replicas-to-write', '0');
  await eventually('it has begun', () => begun === 1);
  expect(new Set(attempts)).toEqual(new Set([1]));
  expect((await bus.counts()).dead).toBe(0);
});

test('connections that are killed for a moment cost nothing, and are said once at most', async () => {
  const server = await startRedis();
  const admin = adminOf(server);
  const fabric = testFabric(server.url);
  const standing = await stand(fabric);
  const { bus, lines } = standing;
  await admin.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
  await admin.call('CLIENT', 'KILL', 'TYPE', 'pubsub');
  await eventually(
    'it stands again',
    () => bus.health().ok && lines.some(({ text }) => text === 'Redis answers again'),
  );
  standing.release();
  await expectWhole(fabric, standing);
  expect(lines.filter(({ level }) => level === 'warn').length).toBe(
    lines.filter(({ text }) => text === 'Redis answers again').length,
  );
});

test('over a wire that swallows everything, connections are given up, and results settle once', async () => {
  const server = await startRedis();
  const proxy = await openProxy(server.port);
  const fabric = testFabric(server.url, impatient);
  const through = { ...fabric.config, redisUrl: `redis://127.0.0.1:${proxy.port}` };
  const standing = await stand(fabric, { config: through });
  const { bus, lines } = standing;
  proxy.swallow();
  standing.release();
  await eventually('health says so', () => !bus.health().ok && lines.some(({ level }) => level === 'warn'));
  proxy.heal();
  await expectWhole(fabric, standing);
  await eventually('the end is said', () => lines.some(({ text }) => text === 'Redis answers again'));
  expect(lines.filter(({ level }) => level !== 'info')).toHaveLength(1);
});

test('an outage is over for a process that holds nothing any more, though a renewal of it had failed', async () => {
  const server = await startRedis();
  const fabric = testFabric(server.url);
  const { lines, log } = keepingLog();
  const never = 3_600_000;
  // Only what the test says is renewed, and nobody else meets the outage.
  const bus = await fabric.open('finalizer', { log, limits: { renewMs: never, beatMs: never, beatLateMs: never } });
  const hold = deferred();
  const began: string[] = [];
  consumeAll(bus, 'finalizer', {
    mode: 'take',
    slots: 1,
    work: async (message) => {
      began.push(message.conversation_thread);
      await hold.promise;
      return done();
    },
  });
  await bus.publish(discard('held'));
  await eventually('it runs', () => began.length === 1);
  await fabric.redis.config('SET', 'min-replicas-to-write', '1');
  const word = { command: 'PAUSE_ALL', fabric: bus.keys.prefix, epoch: 1 };
  await fabric.redis.publish(fabric.config.controlChannel, JSON.stringify(word));
  await eventually('its renewal is refused', () => bus.health().code === 'REDIS_REPLICAS');
  await fabric.redis.config('SET', 'min-replicas-to-write', '0');
  hold.resolve();
  await eventually('it is settled', () => bus.busy() === 0);
  await eventually('it is over', () => lines.some(({ text }) => text === 'Redis answers again'));
  expect(bus.health().ok).toBe(true);
});

test('a part that goes well while its failure is still being explained fails no more', async () => {
  const fabric = testFabric();
  const { lines, log } = keepingLog();
  const { config } = fabric;
  const meters = openMeters('finalizer');
  const about = { config, keys: keysOf(config.prefix), service: 'finalizer', instanceId: 'finalizer-x-1' } as const;
  const ground = await openGround({ ...about, observer: true, log, meters });
  onTestFinished(ground.close);
  const wrong = new Error('WRONGTYPE Operation against a key holding the wrong kind of value');
  ground.report('early', wrong);
  ground.report('early', null);
  ground.report('late', wrong);
  // They are explained in this order.
  await eventually('the second is explained', () => ground.troubles.failing());
  ground.report('late', null);
  await eventually('it is over', () => lines.at(-1)?.text === 'Redis answers again');
  expect(ground.troubles.failing()).toBe(false);
});
