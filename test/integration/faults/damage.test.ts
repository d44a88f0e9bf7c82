import { done, giveBack, postpone } from '@nexus/shared/bus';
import { toAppError } from '@nexus/shared/errors';
import { expect, test } from 'vitest';
import { deferred, eventually, untilAborted } from '../../tools/eventually.ts';
import { consumeAll, discard, dispatch, standing } from '../../tools/messages.ts';
import { startRedis, testFabric } from '../../tools/redis.ts';
import { day, expectWhole, keepingLog, stand } from './standing.ts';

const checksOften = { NEXUS_REDIS_CHECK: '100ms' };

test('rule 31: flushed scripts are loaded again, and nobody notices', async () => {
  const fabric = testFabric();
  const standing = await stand(fabric);
  await fabric.redis.script('FLUSH');
  standing.release();
  await fabric.redis.script('FLUSH');
  await expectWhole(fabric, standing);
  expect(standing.lines).toEqual([]);
});

test('rule 10: at maxmemory the edge refuses, and what was accepted is begun and settled', async () => {
  const server = await startRedis();
  const fabric = testFabric(server.url, checksOften);
  const { lines, log } = keepingLog();
  const bus = await fabric.open('finalizer', { log });
  // It sweeps what is parked: BullMQ cannot, for its scripts are refused.
  consumeAll(await fabric.open('orchestrator'), 'orchestrator');
  const hold = deferred();
  const ran: string[] = [];
  consumeAll(bus, 'finalizer', {
    mode: 'take',
    slots: 1,
    work: async (message, tools) => {
      const task = message.conversation_thread;
      await tools.begin();
      ran.push(task);
      if (ran.length === 1) await hold.promise;
      // Once more, by way of the park.
      if (task === 'again' && ran.filter((one) => one === task).length === 1)
        return postpone(tools.now() + 50, 'not yet');
      return done({ write: [{ op: 'count', key: bus.keys.stats(day), field: task, by: 1 }] });
    },
  });
  for (const task of ['first', 'again', 'last']) await bus.publish(discard(task));
  await eventually('one runs', () => ran.length === 1);
  await fabric.redis.config('SET', 'maxmemory', '1mb');
  await expect(bus.publish(discard('refused'))).rejects.toMatchObject({ code: 'BUS_MEMORY' });
  const beats = async (): Promise<number> =>
    Number(await fabric.redis.hget(bus.keys.beats('finalizer'), bus.instanceId));
  const begun = await beats();
  await eventually('it beats on', async () => (await beats()) >= begun + 2);
  const health = await eventually('health warns', () => bus.health().code === 'BUS_MEMORY' && bus.health());
  expect(health).toMatchObject({ ok: true, do: expect.stringContaining('maxmemory') });
  await bus.control.command('PAUSE_ALL', null, 'test');
  await bus.control.command('RESUME_ALL', null, 'test');
  hold.resolve();
  const settled = () => fabric.redis.hgetall(bus.keys.stats(day));
  await eventually('all has drained', async () => Object.keys(await settled()).length === 3);
  expect(await settled()).toEqual({ first: '1', again: '1', last: '1' });
  expect(await fabric.redis.config('GET', 'maxmemory')).toEqual(['maxmemory', '1048576']);
  await fabric.redis.config('SET', 'maxmemory', '0');
  await bus.publish(discard('welcome'));
  await eventually('it is handled', () => ran.includes('welcome'));
  await eventually('health is well again', () => bus.health().code === undefined);
  expect(lines.filter(({ code }) => code === 'BUS_MEMORY')).toHaveLength(1);
  expect(lines.filter(({ text }) => text.startsWith('Dead letter'))).toEqual([]);
});

test('a service starts beside a Redis whose memory is full', async () => {
  const server = await startRedis();
  const fabric = testFabric(server.url);
  await fabric.redis.set(`${fabric.config.prefix}:once:token`, 'made before');
  await fabric.redis.config('SET', 'maxmemory', '1mb');
  const bus = await fabric.open('finalizer');
  await expect(bus.rememberOnce('token', 'another')).resolves.toBe('made before');
  const handled = consumeAll(bus, 'finalizer', { mode: 'take', slots: 1 });
  await fabric.redis.config('SET', 'maxmemory', '0');
  await bus.publish(discard('later'));
  await eventually('it is handled', () => handled.length === 1);
});

test('rule 18: a STOP heard while Redis takes no writes ends what runs, and is written when it can be', async () => {
  const server = await startRedis();
  const fabric = testFabric(server.url);
  const { lines, log } = keepingLog();
  const bus = await fabric.open('worker-agent', { log });
  const ran: string[] = [];
  consumeAll(bus, 'worker-agent', {
    mode: 'take',
    slots: 1,
    work: async (_message, tools) => {
      await tools.begin();
      ran.push('begun');
      if (ran.length > 2) return done();
      await untilAborted(tools.signal);
      ran.push('ended');
      return giveBack('stopped');
    },
  });
  await standing(fabric, 'stopping');
  await bus.publish(dispatch('stopping'));
  await eventually('it runs', () => ran.length === 1);
  await fabric.redis.config('SET', 'min-replicas-to-write', '1');
  await fabric.redis.publish(fabric.config.controlChannel, 'STOP_ALL');
  await eventually('it was ended', () => ran.length === 2);
  expect(await fabric.redis.hget(bus.keys.control, 'state')).not.toBe('stopped');
  await fabric.redis.config('SET', 'min-replicas-to-write', '0');
  const control = () => fabric.redis.hmget(bus.keys.control, 'epoch', 'state');
  await eventually('it is written', async () => (await control()).join(' ') === '1 stopped');
  await eventually('it was given back', () => bus.busy() === 0);
  await fabric.redis.publish(fabric.config.controlChannel, 'RESUME_ALL');
  await eventually('it runs again', () => ran.length === 3);
  expect(await control()).toEqual(['2', 'running']);
  expect(lines.filter(({ text }) => text.startsWith('Redis takes no word now'))).toHaveLength(1);
});

test('BUS_GROUP_LOST: a deleted group is made again; what ran is settled once, what waited is handled', async () => {
  const fabric = testFabric();
  const standing = await stand(fabric);
  const inbox = standing.bus.keys.inbox('finalizer', 'NORMAL');
  await fabric.redis.xgroup('DESTROY', inbox, 'finalizer');
  await eventually('it is said', () => standing.lines.some(({ code }) => code === 'BUS_GROUP_LOST'));
  standing.release();
  await eventually('all is settled', async () => (await fabric.redis.xlen(inbox)) === 0);
  expect(await standing.settled()).toEqual({ one: '1', two: '1', three: '1' });
  expect(standing.lines.filter(({ code }) => code === 'BUS_GROUP_LOST')).toHaveLength(1);
  expect(standing.bus.health().ok).toBe(true);
});

test('BUS_GROUP_LOST: after a deleted stream what ran is put back and settled once; the next is handled', async () => {
  const fabric = testFabric();
  const standing = await stand(fabric);
  const { bus } = standing;
  const inbox = bus.keys.inbox('finalizer', 'NORMAL');
  await fabric.redis.del(inbox);
  await eventually('it is said', () => standing.lines.some(({ code }) => code === 'BUS_GROUP_LOST'));
  standing.release();
  await bus.publish(discard('next'));
  await eventually('it is settled', async () => (await standing.settled()).next === '1');
  await eventually('all is settled', async () => (await fabric.redis.xlen(inbox)) === 0);
  // The two in work are put back; the third waited only, and went with its stream.
  expect(await standing.settled()).toEqual({ one: '1', two: '1', next: '1' });
  expect(standing.lines.filter(({ text }) => /put back/.test(text))).toHaveLength(2);
});

test('REDIS_UNFIT: an eviction policy that is changed later is in health, and said once', async () => {
  const server = await startRedis();
  const fabric = testFabric(server.url, checksOften);
  const { lines, log } = keepingLog();
  const bus = await fabric.open('finalizer', { log });
  await fabric.redis.config('SET', 'maxmemory-policy', 'allkeys-lru');
  const health = await eventually('health says so', () => bus.health().code === 'REDIS_UNFIT' && bus.health());
  expect(health).toMatchObject({ ok: true, says: expect.stringContaining('allkeys-lru') });
  await eventually('it was looked at again', async () => (await fabric.redis.info('commandstats')).includes('info'));
  await fabric.redis.config('SET', 'maxmemory-policy', 'noeviction');
  await eventually('health is well again', () => bus.health().code === undefined);
  expect(lines.map(({ level, code }) => [level, code])).toEqual([
    ['warn', 'REDIS_UNFIT'],
    ['info', undefined],
  ]);
});

test('BUS_KEY_TYPE: an inbox of the wrong type is named, and all goes on once it is moved', async () => {
  const fabric = testFabric();
  // A slot is free, so that it reads on.
  const standing = await stand(fabric, {}, 4);
  const { bus, lines } = standing;
  const inbox = bus.keys.inbox('finalizer', 'LOW');
  await fabric.redis.set(inbox, 'by mistake');
  const health = await eventually('health names it', () => bus.health().code === 'BUS_KEY_TYPE' && bus.health());
  expect(health).toMatchObject({ ok: false, says: `The key ${inbox} has the wrong type: it holds a string.` });
  standing.release();
  await fabric.redis.rename(inbox, `${inbox}:aside`);
  await expectWhole(fabric, standing);
  const warned = lines.filter(({ level, code }) => level === 'warn' && code !== 'BUS_GROUP_LOST');
  expect(warned.map(({ code }) => code)).toEqual(['BUS_KEY_TYPE']);
});

test('BUS_KEY_TYPE: what is published into an inbox of the wrong type is refused by its name', async () => {
  const fabric = testFabric();
  const bus = await fabric.open('orchestrator', { observer: true });
  await fabric.redis.set(bus.keys.inbox('finalizer', 'NORMAL'), 'by mistake');
  await expect(bus.publish(discard('nowhere'))).rejects.toMatchObject({
    code: 'BUS_KEY_TYPE',
    message: expect.stringContaining(':inbox:finalizer:NORMAL has the wrong type'),
  });
});

test('BUS_KEY_TYPE: what is asked of a key of the wrong type names that key, though Redis does not', async () => {
  const fabric = testFabric();
  const bus = await fabric.open('gateway');
  await fabric.redis.set(bus.keys.due, 'x');
  const refused = await bus.store.readIndex(bus.keys.due).catch(toAppError);
  expect(refused).toMatchObject({ code: 'BUS_KEY_TYPE', message: expect.stringContaining(bus.keys.due) });
});

test('BUS_KEY_TYPE: a service does not start on an inbox of the wrong type', async () => {
  const fabric = testFabric();
  await fabric.redis.set(`${fabric.config.prefix}:inbox:finalizer:HIGH`, 'by mistake');
  await expect(fabric.open('finalizer')).rejects.toMatchObject({
    code: 'BUS_KEY_TYPE',
    message: expect.stringContaining(':inbox:finalizer:HIGH has the wrong type'),
  });
});

test('REDIS_UNFIT: a Redis that would evict is refused at the start', async () => {
  const server = await startRedis({ extra: ['--maxmemory-policy', 'volatile-lru'] });
  await expect(testFabric(server.url).open('finalizer')).rejects.toMatchObject({
    code: 'REDIS_UNFIT',
    message: expect.stringContaining('its maxmemory-policy is volatile-lru'),
  });
});

test('REDIS_REPLICAS: a Redis that refuses writes for want of replicas is named at the start', async () => {
  const server = await startRedis({ extra: ['--min-replicas-to-write', '1'] });
  await expect(testFabric(server.url).open('finalizer')).rejects.toMatchObject({ code: 'REDIS_REPLICAS' });
});

test('REDIS_READONLY: a replica is refused at the start', async () => {
  const primary = await startRedis();
  const replica = await startRedis({ extra: ['--replicaof', '127.0.0.1', String(primary.port)] });
  await expect(testFabric(replica.url).open('finalizer')).rejects.toMatchObject({ code: 'REDIS_READONLY' });
});

test('REDIS_LOADING: a start beside a Redis that still reads its data says so when its patience ends', async () => {
  const server = await startRedis();
  const fabric = testFabric(server.url, { NEXUS_REDIS_WAIT: '500ms' });
  const filler = fabric.redis.pipeline();
  for (let n = 0; n < 20_000; n += 1) filler.set(`filler:${n}`, 'x');
  await filler.exec();
  await server.stop();
  await server.start({ extra: ['--key-load-delay', '400'], waits: false });
  await eventually('its port is open', () =>
    fabric.open('finalizer').then(
      () => false,
      ({ code }: { code: string }) => code === 'REDIS_LOADING',
    ),
  );
});
