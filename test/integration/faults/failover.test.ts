import { done } from '@nexus/shared/bus';
import { Redis } from 'ioredis';
import { expect, onTestFinished, test } from 'vitest';
import { deferred, eventually } from '../../tools/eventually.ts';
import { consumeAll, discard, dispatch, standing } from '../../tools/messages.ts';
import { startRedis, type TestServer, testFabric } from '../../tools/redis.ts';
import { startSentinels } from '../../tools/sentinel.ts';
import { day, keepingLog } from './standing.ts';

const confirmed = { NEXUS_REPLICAS_MIN: '1', NEXUS_REPLICAS_WAIT: '500ms', NEXUS_REDIS_TIMEOUT: '1500ms' };

const lookInto = (server: TestServer): Redis => {
  const redis = new Redis(server.url);
  redis.on('error', () => undefined);
  onTestFinished(() => redis.disconnect());
  return redis;
};

/** Publishes one after another until it is stopped; tells which were accepted, and which were refused why. */
const publishOn = (publish: (task: string) => Promise<unknown>) => {
  const accepted: string[] = [];
  const refused: string[] = [];
  let going = true;
  const ended = (async () => {
    for (let n = 0; going; n += 1) {
      const task = `task-${n}`;
      await publish(task).then(
        () => accepted.push(task),
        (error: { code: string }) => refused.push(error.code),
      );
    }
  })();
  return {
    accepted,
    refused,
    stop: (): Promise<void> => {
      going = false;
      return ended;
    },
  };
};

test('rule 29: with a replica that confirms, nothing accepted is lost when the primary is killed', async () => {
  const { url, primary, replica, failedOver } = await startSentinels(['--min-replicas-to-write', '1']);
  const fabric = testFabric(url, confirmed);
  const { lines, log } = keepingLog();
  const bus = await fabric.open('finalizer', { log });
  const ran = new Set<string>();
  let ticks = 0;
  consumeAll(bus, 'finalizer', {
    mode: 'take',
    slots: 4,
    work: (message) => {
      const task = message.conversation_thread;
      ran.add(task);
      if (task === 'tick.finalizer.tick') ticks += 1;
      return done({ write: [{ op: 'count', key: bus.keys.stats(day), field: task, by: 1 }] });
    },
  });
  bus.schedule([{ name: 'tick', everyMs: 500, type: 'hub.discarded', payload: { task_id: 'tick' } }]);
  const other = await fabric.open('orchestrator');
  consumeAll(other, 'orchestrator');
  const client = publishOn((task) => bus.publish({ ...discard(task), idempotencyKey: task }));
  await eventually('many are accepted', () => client.accepted.length > 300);
  // In the last moment the replica hears nothing any more: what is not confirmed now is not accepted.
  replica.pause();
  await eventually('that is told', () => client.refused.includes('BUS_UNCONFIRMED'));
  await primary.kill();
  replica.resume();
  await failedOver();
  // Whoever looks after servers starts it again, as the replica of the other.
  await primary.start({ extra: ['--replicaof', '127.0.0.1', String(replica.port)] });
  const before = client.accepted.length;
  await eventually('the new primary takes work', () => client.accepted.length > before + 100);
  await client.stop();
  await eventually('every accepted message ran', () => client.accepted.every((task) => ran.has(task)));
  const rung = ticks;
  await eventually('schedules ring there, too', () => ticks >= rung + 2);
  await eventually('health is well', () => bus.health().ok);
  expect(lines.filter(({ text }) => text.includes('What is due waits'))).toHaveLength(1);
});

test('without a replica that confirms, a kill loses what the replica had not got: measured', async () => {
  const { url, primary, replica, failedOver } = await startSentinels();
  const fabric = testFabric(url, { NEXUS_REDIS_TIMEOUT: '1500ms' });
  const bus = await fabric.open('orchestrator', { observer: true });
  const client = publishOn((task) => bus.publish(discard(task)));
  await eventually('many are accepted', () => client.accepted.length > 300);
  replica.pause();
  const paused = performance.now();
  const heard = client.accepted.length;
  await lookInto(primary).call('CLIENT', 'KILL', 'TYPE', 'replica');
  await eventually('more are accepted', () => client.accepted.length > heard + 300);
  await primary.kill();
  const lag = performance.now() - paused;
  replica.resume();
  await failedOver();
  await client.stop();
  const entries = await lookInto(replica).xrange(bus.keys.inbox('finalizer', 'NORMAL'), '-', '+');
  const kept = new Set(entries.map(([, [, body = '{}']]) => JSON.parse(body).conversation_thread as string));
  const lost = client.accepted.filter((task) => !kept.has(task));
  console.log(`lost ${lost.length} of ${client.accepted.length} accepted, with a replica ${Math.round(lag)} ms behind`);
  expect(lost.length).toBeGreaterThan(0);
  // What the replica had got is all there: the loss is the lag, and no more.
  expect(lost.every((task) => client.accepted.indexOf(task) >= heard - 1)).toBe(true);
});

test('BUS_UNCONFIRMED: a repeat with the same Idempotency-Key is confirmed, and stored once', async () => {
  const primary = await startRedis();
  const replica = await startRedis({ extra: ['--replicaof', '127.0.0.1', String(primary.port)] });
  const look = lookInto(replica);
  await eventually('it follows', async () => (await look.info('replication')).includes('master_link_status:up'));
  const fabric = testFabric(primary.url, confirmed);
  const bus = await fabric.open('orchestrator', { observer: true });
  replica.pause();
  const draft = { ...discard('once'), idempotencyKey: 'once' };
  const failed = await bus.publish(draft).then(
    () => null,
    (error: { code: string; message: string }) => error,
  );
  expect(failed).toMatchObject({
    code: 'BUS_UNCONFIRMED',
    message: expect.stringContaining('Sending it again with the same Idempotency-Key is safe.'),
  });
  // Known already is not confirmed yet: that is asked anew, also by whoever did not write it.
  const other = await fabric.open('orchestrator', { observer: true });
  await expect(other.publish(draft)).rejects.toMatchObject({ code: 'BUS_UNCONFIRMED' });
  replica.resume();
  const again = await eventually('it is confirmed', () => bus.publish(draft).catch(() => null));
  expect(again.duplicate).toBe(true);
  expect(await look.xlen(bus.keys.inbox('finalizer', 'NORMAL'))).toBe(1);
  expect(await fabric.redis.ttl(bus.keys.confirm)).toBeGreaterThan(0);
});

test('rule 29: the end of a task that a failover took back drops none of its work', async () => {
  const server = await startRedis();
  const fabric = testFabric(server.url);
  const bus = await fabric.open('worker-agent', { limits: { renewMs: 100 } });
  const [learnt, told] = [deferred(), deferred()];
  let runs = 0;
  consumeAll(bus, 'worker-agent', {
    mode: 'take',
    slots: 1,
    work: async (_message, tools) => {
      runs += 1;
      await tools.begin();
      if (runs > 1) return done();
      tools.signal.addEventListener('abort', () => learnt.resolve());
      await told.promise;
      throw tools.signal.reason;
    },
  });
  await standing(fabric, 'back');
  await bus.publish(dispatch('back'));
  await eventually('it runs', () => runs === 1);
  await standing(fabric, 'back', 'cancelled');
  await learnt.promise;
  // Another server, which knows nothing of that end: the last write is gone, and so are all connections.
  await standing(fabric, 'back');
  await fabric.redis.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
  await eventually('the connection has broken', () => !bus.health().ok);
  told.resolve();
  await eventually('it runs again', () => runs === 2);
  await eventually(
    'it is settled',
    async () => (await fabric.redis.xlen(bus.keys.inbox('worker-agent', 'NORMAL'))) === 0,
  );
});

test('rule 19: a STOP that only the lost primary had is brought back by whoever heard it', async () => {
  const { url, primary, replica, failedOver } = await startSentinels();
  const fabric = testFabric(url, confirmed);
  const bus = await fabric.open('finalizer');
  const speaker = await fabric.open('orchestrator', { observer: true });
  replica.pause();
  // Without this the word would lie in the replica's socket, and be read there later.
  await lookInto(primary).call('CLIENT', 'KILL', 'TYPE', 'replica');
  await expect(speaker.control.command('STOP_ALL', null, 'test')).rejects.toMatchObject({ code: 'BUS_UNCONFIRMED' });
  await eventually('it is heard', () => bus.control.known().state === 'stopped');
  const { epoch } = bus.control.known();
  await primary.kill();
  replica.resume();
  await failedOver();
  const look = lookInto(replica);
  await eventually('the new primary knows', async () => (await look.hget(bus.keys.control, 'state')) === 'stopped');
  expect(Number(await look.hget(bus.keys.control, 'epoch'))).toBe(epoch);
  await eventually('it is read there', async () => (await bus.control.read().catch(() => null))?.state === 'stopped');
});
