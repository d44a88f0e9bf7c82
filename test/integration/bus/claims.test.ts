import { setTimeout as sleep } from 'node:timers/promises';
import { done, giveBack, prioritiesInOrder } from '@nexus/shared/bus';
import { expect, test } from 'vitest';
import { renew } from '../../../shared/src/bus/claims.ts';
import { callScript, openRedis } from '../../../shared/src/bus/redis.ts';
import { deferred, eventually, untilAborted } from '../../tools/eventually.ts';
import { consumeAll, deletion, discard, dispatch, isRenewed, leaveBehind, standing } from '../../tools/messages.ts';
import { startRedis, testFabric } from '../../tools/redis.ts';

test('rule 4: the entries of a killed process are taken over within seconds, with one more delivery', async () => {
  const fabric = testFabric();
  const bus = await fabric.open('finalizer');
  const inbox = bus.keys.inbox('finalizer', 'NORMAL');
  await bus.publish(discard('left'));
  await leaveBehind(fabric, inbox, 'finalizer', 'finalizer-dead-0001');
  const tokens: string[] = [];
  consumeAll(bus, 'finalizer', {
    mode: 'take',
    slots: 1,
    work: (_message, tools) => {
      tokens.push(tools.claim.token);
      return done();
    },
  });
  await eventually('it was taken over', () => tokens.length === 1);
  expect(tokens[0]).toMatch(/\.2$/);
  await eventually('it is settled', async () => (await fabric.redis.xlen(inbox)) === 0);
  expect(tokens).toHaveLength(1);
  await eventually(
    'the dead one is forgotten',
    async () => (await fabric.redis.hexists(bus.keys.beats('finalizer'), 'finalizer-dead-0001')) === 0,
  );
  const consumers = (await fabric.redis.xinfo('CONSUMERS', inbox, 'finalizer')) as unknown[][];
  expect(consumers.flat()).not.toContain('finalizer-dead-0001');
});

test('rule 4: a peer that is connected is not dead, however still its counter stands', async () => {
  const fabric = testFabric();
  const bus = await fabric.open('finalizer');
  const paused = fabric.redis.duplicate({ connectionName: 'finalizer-paused-0001' });
  await paused.ping();
  await bus.publish(discard('paused'));
  await leaveBehind(fabric, bus.keys.inbox('finalizer', 'NORMAL'), 'finalizer', 'finalizer-paused-0001');
  const handled = consumeAll(bus, 'finalizer', { mode: 'take', slots: 1 });
  const beats = async (): Promise<number> =>
    Number(await fabric.redis.hget(bus.keys.beats('finalizer'), bus.instanceId));
  const first = await beats();
  await eventually('five beats have passed', async () => (await beats()) >= first + 5);
  expect(handled).toEqual([]);
  paused.disconnect();
  await eventually('without a connection it is dead', () => handled.length === 1);
});

test('rule 1: a consumer that lost its claim settles nothing, and its work is aborted', async () => {
  const fabric = testFabric();
  const bus = await fabric.open('finalizer');
  const inbox = bus.keys.inbox('finalizer', 'NORMAL');
  const hold = deferred();
  const reasons: string[] = [];
  const handled = consumeAll(bus, 'finalizer', {
    mode: 'take',
    slots: 1,
    work: async (_message, tools) => {
      tools.signal.addEventListener('abort', () => {
        reasons.push((tools.signal.reason as { code: string }).code);
        hold.resolve();
      });
      await hold.promise;
      return done({ write: [{ op: 'patch', key: bus.keys.task('lost'), revision: 0, set: { status: 'completed' } }] });
    },
  });
  await bus.publish(discard('lost'));
  const id = await eventually('it is held', async () => {
    const rows = (await fabric.redis.xpending(inbox, 'finalizer', '-', '+', 1)) as [string, string][];
    return rows[0]?.[0];
  });
  // A → B → A: the name is the old one again, but the delivery count is not.
  await fabric.redis.xclaim(inbox, 'finalizer', 'another', 0, id);
  await fabric.redis.xclaim(inbox, 'finalizer', bus.instanceId, 0, id);
  await eventually('the handler has ended', () => handled.length === 1);
  expect(reasons).toEqual(['CLAIM_LOST']);
  expect(await bus.store.readHash(bus.keys.task('lost'))).toEqual({});
  expect(await fabric.redis.xlen(inbox)).toBe(1);
});

test('rule 3: an entry that was delivered here but never arrived is found and handled', async () => {
  const fabric = testFabric();
  const bus = await fabric.open('finalizer');
  await bus.publish(discard('unseen'));
  await fabric.redis.xreadgroup(
    'GROUP',
    'finalizer',
    bus.instanceId,
    'COUNT',
    1,
    'STREAMS',
    bus.keys.inbox('finalizer', 'NORMAL'),
    '>',
  );
  const handled = consumeAll(bus, 'finalizer', { mode: 'take', slots: 1 });
  await eventually('it is found', () => handled.length === 1);
});

test('rule 2: outcomes wait while Redis is away and are settled once when it is back', async () => {
  const server = await startRedis({ extra: ['--appendfsync', 'always'] });
  const fabric = testFabric(server.url);
  const bus = await fabric.open('finalizer');
  const hold = deferred();
  const handled = consumeAll(bus, 'finalizer', {
    mode: 'take',
    slots: 1,
    work: async (message) => {
      await hold.promise;
      return done({
        write: [{ op: 'count', key: bus.keys.stats('2026-01-01'), field: message.conversation_thread, by: 1 }],
      });
    },
  });
  await bus.publish(discard('outlives'));
  await eventually('it runs', () => bus.busy() === 1);
  await server.stop();
  await eventually('health tells the truth', () => !bus.health().ok);
  hold.resolve();
  const again = await startRedis({ port: server.port, folder: server.folder });
  await eventually(
    'it is settled',
    async () => (await fabric.redis.hget(bus.keys.stats('2026-01-01'), 'outlives')) === '1',
  );
  await eventually('health is well again', () => bus.health().ok);
  expect(handled.length).toBe(1);
  expect((await bus.counts()).inboxes.finalizer).toEqual({ waiting: 0, held: 0 });
  await bus.publish(discard('afterwards'));
  await eventually('it goes on reading', () => handled.length === 2);
  await bus.close();
  fabric.redis.disconnect();
  await again.stop();
});

test('rule 21: what runs is ended when its process has been cut off from Redis for too long', async () => {
  const server = await startRedis();
  const fabric = testFabric(server.url);
  const bus = await fabric.open('worker-agent', { limits: { cutOffMs: 800 } });
  const ended = deferred<string>();
  consumeAll(bus, 'worker-agent', {
    mode: 'take',
    slots: 1,
    work: async (_message, tools) => {
      await untilAborted(tools.signal);
      ended.resolve((tools.signal.reason as { code: string }).code);
      return giveBack('cut off');
    },
  });
  await standing(fabric, 'cut-off');
  await bus.publish(dispatch('cut-off'));
  await eventually('it runs', () => bus.busy() === 1);
  await server.stop();
  expect(await ended.promise).toBe('STOPPED');
  const again = await startRedis({ port: server.port, folder: server.folder });
  await eventually(
    'it was given back, and is held again',
    async () => (await bus.counts()).inboxes['worker-agent']?.held === 1,
  );
  await bus.close();
  fabric.redis.disconnect();
  await again.stop();
});

test('rule 20: begin refuses what was cancelled, and a running attempt of a cancelled task is aborted', async () => {
  const fabric = testFabric();
  const bus = await fabric.open('worker-agent');
  const codes: string[] = [];
  consumeAll(bus, 'worker-agent', {
    mode: 'take',
    slots: 2,
    work: async (_message, tools) => {
      await tools.begin().catch((error: { code: string }) => {
        codes.push(`begin ${error.code}`);
        throw error;
      });
      await untilAborted(tools.signal);
      codes.push(`running ${(tools.signal.reason as { code: string }).code}`);
      throw tools.signal.reason;
    },
  });
  await standing(fabric, 'was-cancelled', 'cancelled');
  await standing(fabric, 'will-be');
  await bus.publish(dispatch('was-cancelled'));
  await eventually('it was refused', () => codes.includes('begin TASK_ENDED'));
  await bus.publish(dispatch('will-be'));
  await eventually('it runs', () => bus.busy() === 1);
  await sleep(20);
  await fabric.redis.hset(bus.keys.task('will-be'), 'status', 'cancelled');
  await eventually('it was aborted', () => codes.includes('running TASK_ENDED'));
  await eventually('nothing is left', async () => (await bus.counts()).inboxes['worker-agent']?.held === 0);
});

test('rule 8: the backlog is length minus pending', async () => {
  const fabric = testFabric();
  const bus = await fabric.open('orchestrator');
  await Promise.all([1, 2, 3].map((n) => bus.publish(deletion(`backlog-${n}`))));
  await fabric.redis.xreadgroup(
    'GROUP',
    'orchestrator',
    'somebody',
    'COUNT',
    1,
    'STREAMS',
    bus.keys.inbox('orchestrator', 'NORMAL'),
    '>',
  );
  expect((await bus.counts()).inboxes.orchestrator).toEqual({ waiting: 2, held: 1 });
});

test.each(['take', 'stream'] as const)(
  'rule 2: a consumer in mode %s that waits for work goes on reading after Redis was killed',
  async (mode) => {
    const server = await startRedis({ extra: ['--appendfsync', 'always'] });
    const fabric = testFabric(server.url);
    const bus = await fabric.open('finalizer');
    const handled = consumeAll(bus, 'finalizer', { mode, slots: 2 });
    for (const round of [1, 2]) {
      await bus.publish(discard(`round-${round}`));
      await eventually('it is handled', () => handled.length === round);
      await server.kill();
      await eventually('health tells the truth', () => !bus.health().ok);
      await expect(bus.publish(discard('too-early'))).rejects.toMatchObject({ code: 'REDIS_UNREACHABLE' });
      await server.start();
      await eventually('health is well again', () => bus.health().ok);
    }
    await bus.publish(discard('afterwards'));
    await eventually('it goes on reading', () => handled.length === 3);
    await bus.close();
    fabric.redis.disconnect();
    process.kill(server.pid ?? 0, 'SIGKILL');
  },
);

test('a handler whose ledger read meets a lost connection waits for Redis and counts no attempt', async () => {
  const server = await startRedis({ extra: ['--appendfsync', 'always'] });
  const fabric = testFabric(server.url);
  const bus = await fabric.open('orchestrator');
  const hold = deferred();
  const attempts: number[] = [];
  consumeAll(bus, 'orchestrator', {
    work: async (message, tools) => {
      attempts.push(message.attempt);
      await hold.promise;
      await tools.store.readHash(tools.keys.task('patient'));
      return done({
        write: [{ op: 'patch', key: tools.keys.task('patient'), revision: 0, set: { status: 'accepted' } }],
      });
    },
  });
  await bus.publish(deletion('patient'));
  await eventually('it runs', () => attempts.length === 1);
  await server.stop();
  await eventually('the connection is lost', () => !bus.health().ok);
  hold.resolve();
  const again = await startRedis({ port: server.port, folder: server.folder });
  await eventually(
    'it is settled',
    async () => (await bus.store.readHash(bus.keys.task('patient'))).status === 'accepted',
  );
  // It may have decided twice, since the connection broke in between; that counts nothing.
  expect(new Set(attempts)).toEqual(new Set([1]));
  await bus.close();
  fabric.redis.disconnect();
  await again.stop();
});

test('rule 1: a claim is renewed while its handler runs, so nobody takes it for idle', async () => {
  const fabric = testFabric();
  const bus = await fabric.open('finalizer');
  const hold = deferred();
  const handled = consumeAll(bus, 'finalizer', {
    mode: 'take',
    slots: 1,
    work: async () => {
      await hold.promise;
      return done();
    },
  });
  await bus.publish(discard('long'));
  await eventually('it runs', () => bus.busy() === 1);
  await isRenewed(fabric, bus.keys.inbox('finalizer', 'NORMAL'), 'finalizer');
  hold.resolve();
  await eventually('it is settled', () => handled.length === 1);
});

test('rule 1: something else under the name of one task keeps no other claim from being renewed', async () => {
  const fabric = testFabric();
  const bus = await fabric.open('finalizer');
  const claims = ['odd', 'well'].map((task) => ({
    inbox: bus.keys.inbox('finalizer', 'NORMAL'),
    taskKey: bus.keys.task(task),
    deliveries: 1,
    scopes: '',
    demands: ['1', ''] as const,
  }));
  await fabric.redis.set(bus.keys.task('odd'), 'not a document');
  await standing(fabric, 'well');
  const inbox = bus.keys.inbox('finalizer', 'NORMAL');
  const ids = [await fabric.redis.xadd(inbox, '*', 'm', '1'), await fabric.redis.xadd(inbox, '*', 'm', '2')];
  await fabric.redis.xreadgroup('GROUP', 'finalizer', bus.instanceId, 'COUNT', 2, 'STREAMS', inbox, '>');
  const named = claims.map((claim, at) => ({ ...claim, entryId: ids[at] ?? '' }));
  const redis = openRedis({ url: fabric.config.redisUrl, name: 'renewing' });
  const told = await renew(redis, bus.keys, bus.control, 'finalizer', bus.instanceId, named);
  redis.disconnect();
  expect(told).toEqual(['ok', 'ok']);
});

test('rule 5: an instance that still holds entries is not forgotten', async () => {
  const fabric = testFabric();
  const bus = await fabric.open('finalizer');
  const inbox = bus.keys.inbox('finalizer', 'NORMAL');
  await bus.publish(discard('pending'));
  await leaveBehind(fabric, inbox, 'finalizer', 'finalizer-dead-9');
  const inboxes = prioritiesInOrder.map((priority) => bus.keys.inbox('finalizer', priority));
  const names = [bus.keys.beats('finalizer'), bus.keys.presence, ...inboxes];
  const redis = openRedis({ url: fabric.config.redisUrl, name: 'burying' });
  expect(await callScript(redis, 'nexusBury', names, ['finalizer', 'finalizer-dead-9', '5'])).toBe(0);
  expect((await bus.counts()).inboxes.finalizer).toEqual({ waiting: 0, held: 1 });
  redis.disconnect();
});
