import { setImmediate as nextTurn } from 'node:timers/promises';
import { done, prioritiesInOrder } from '@nexus/shared/bus';
import { expect, test } from 'vitest';
import { makeObserver } from '../../../shared/src/bus/claims.ts';
import { openRedis } from '../../../shared/src/bus/redis.ts';
import { take } from '../../../shared/src/bus/take.ts';
import { deferred, eventually } from '../../tools/eventually.ts';
import { consumeAll, deletion, discard, leaveBehind } from '../../tools/messages.ts';
import { startRedis, type TestFabric, testFabric } from '../../tools/redis.ts';

/** Cuts every connection that an instance has. */
const cut = async (fabric: TestFabric, name: string): Promise<void> => {
  const list = String(await fabric.redis.client('LIST'));
  const ids = [...list.matchAll(/id=(\d+) .* name=(\S+) /g)].filter(([, , bears]) => bears === name);
  for (const [, id] of ids) await fabric.redis.client('KILL', 'ID', id as string);
};

test.each(['take', 'stream'] as const)(
  'rule 3: what a peer that still is connected has not renewed for too long is taken over in mode %s; nobody died',
  async (mode) => {
    const fabric = testFabric();
    const bus = await fabric.open('finalizer', { limits: { beatMs: 50, idleMs: 300 } });
    const paused = fabric.redis.duplicate({ connectionName: 'finalizer-paused-0002' });
    await paused.ping();
    const inbox = bus.keys.inbox('finalizer', 'NORMAL');
    for (const task of ['idle-1', 'idle-2', 'idle-3']) {
      await bus.publish(discard(task));
      await leaveBehind(fabric, inbox, 'finalizer', 'finalizer-paused-0002');
    }
    const tokens: string[] = [];
    let deaths = 0;
    consumeAll(bus, 'finalizer', {
      mode,
      slots: 2,
      work: async (_message, tools) => {
        deaths += await fabric.redis.hlen(bus.keys.deaths);
        tokens.push(tools.claim.token);
        return done();
      },
    });
    await eventually('all were taken over', () => tokens.length === 3);
    expect(tokens.filter((token) => !token.endsWith('.2'))).toEqual([]);
    await eventually('all are settled', async () => (await fabric.redis.xlen(inbox)) === 0);
    expect(deaths).toBe(0);
    paused.disconnect();
  },
);

test('rule 4: a peer is dead once its counter stood still through two own beats; after a break from zero', () => {
  const observer = makeObserver('me', 1500);
  const peers = (counter: number): string[] => ['me', '9', 'peer', String(counter)];
  expect(observer.observe(peers(5), 0)).toEqual([]);
  expect(observer.observe(peers(5), 1400)).toEqual([]);
  expect(observer.observe(peers(5), 1600)).toEqual(['peer']);
  expect(observer.observe(peers(6), 1700)).toEqual([]);
  expect(observer.observe(peers(6), 9000)).toEqual([]);
  expect(observer.observe(peers(6), 9001)).toEqual(['peer']);
  observer.reset();
  expect(observer.observe(peers(6), 9002)).toEqual([]);
  expect(observer.observe(peers(6), 20_000)).toEqual([]);
  expect(observer.observe(peers(6), 20_001)).toEqual(['peer']);
});

test('rule 4: an observer whose connection breaks again and again takes nobody for dead', async () => {
  const staleMs = 3000;
  const fabric = testFabric();
  const bus = await fabric.open('finalizer', { limits: { beatMs: 50, staleMs } });
  await bus.publish(discard('left'));
  await leaveBehind(fabric, bus.keys.inbox('finalizer', 'NORMAL'), 'finalizer', 'finalizer-dead-0006');
  const handled = consumeAll(bus, 'finalizer', { mode: 'take', slots: 1 });
  const beats = async (): Promise<number> =>
    Number(await fabric.redis.hget(bus.keys.beats('finalizer'), bus.instanceId));
  const began = performance.now();
  while (performance.now() - began < 1.5 * staleMs) {
    const before = await beats();
    await eventually('three beats have passed', async () => (await beats()) >= before + 3);
    await cut(fabric, bus.instanceId);
  }
  expect(handled).toEqual([]);
  await eventually('on an unbroken connection it is dead', () => handled.length === 1);
});

test('rule 4: after a reconnect the beat comes first, then the renewal, then all else', async () => {
  const server = await startRedis();
  const fabric = testFabric(server.url);
  const bus = await fabric.open('finalizer');
  const holds = [deferred(), deferred()];
  let runs = 0;
  consumeAll(bus, 'finalizer', {
    mode: 'take',
    slots: 3,
    work: async () => {
      await holds[runs++]?.promise;
      return done();
    },
  });
  await bus.publish(discard('held-1'));
  await bus.publish(discard('held-2'));
  await eventually('both run', () => runs === 2);
  const eye = fabric.redis.duplicate();
  const watch = await eye.monitor();
  const seen: string[] = [];
  const names: Record<string, string> = { [bus.keys.beats('finalizer')]: 'beat' };
  watch.on('monitor', (_time: string, args: string[], source: string) => {
    if (source === 'lua' || !/^(eval|evalsha|xreadgroup|xpending)$/i.test(args[0] ?? '')) return;
    const called = args[2] === '1' ? 'renew' : args[2] === '7' ? 'settle' : 'else';
    seen.push(names[args[3] ?? ''] ?? called);
  });
  await cut(fabric, bus.instanceId);
  // The broken connections are noticed in the next turn of the loop.
  await nextTurn();
  await nextTurn();
  seen.length = 0;
  holds[0]?.resolve();
  await eventually('it is settled', () => seen.includes('settle') && seen.includes('else'));
  watch.disconnect();
  eye.disconnect();
  holds[1]?.resolve();
  expect(seen.slice(0, 2)).toEqual(['beat', 'renew']);
  await bus.close();
  fabric.redis.disconnect();
  await server.stop();
});

test('rule 4: a dead peer that held more than there are free slots is taken over to its last entry', async () => {
  const fabric = testFabric();
  const bus = await fabric.open('orchestrator', { limits: { beatMs: 50, staleMs: 100 } });
  const inbox = bus.keys.inbox('orchestrator', 'NORMAL');
  await Promise.all(Array.from({ length: 300 }, (_, n) => bus.publish(deletion(`many-${n}`))));
  await fabric.redis.xreadgroup('GROUP', 'orchestrator', 'orchestrator-dead-1', 'COUNT', 300, 'STREAMS', inbox, '>');
  await fabric.redis.hset(bus.keys.beats('orchestrator'), 'orchestrator-dead-1', '5');
  const began = { beat: 0 };
  const beats = async (): Promise<number> =>
    Number(await fabric.redis.hget(bus.keys.beats('orchestrator'), bus.instanceId));
  const handled = consumeAll(bus, 'orchestrator', {
    slots: 10,
    work: async () => {
      began.beat ||= await beats();
      return done();
    },
  });
  await eventually('all were taken over', () => handled.length === 300);
  // Thirty rounds of ten: not one round a beat.
  expect((await beats()) - began.beat).toBeLessThan(20);
});

test('rule 4: what was asked before Redis stood still takes nothing over from peers when it is read', async () => {
  const fabric = testFabric();
  const bus = await fabric.open('finalizer');
  const inboxes = prioritiesInOrder.map((priority) => bus.keys.inbox('finalizer', priority));
  const inbox = bus.keys.inbox('finalizer', 'NORMAL');
  await bus.publish(discard('held'));
  await fabric.redis.xreadgroup('GROUP', 'finalizer', 'somebody', 'COUNT', 1, 'STREAMS', inbox, '>');
  const redis = openRedis({ url: fabric.config.redisUrl, name: 'asking' });
  const reader = { service: 'finalizer', instanceId: bus.instanceId, inboxes, control: bus.control };
  const asked = { free: 1, lowestFirst: false, idleMs: 0, fresh: false, dead: [] };
  const ask = (sentAt: number) => take(redis, [bus.keys.control, bus.keys.deaths], reader, { ...asked, sentAt });
  expect((await ask(Date.now() - 20_000)).deliveries).toEqual([]);
  expect((await ask(Date.now())).deliveries).toHaveLength(1);
  redis.disconnect();
});
