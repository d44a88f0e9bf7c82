import { done, type Outcome } from '@nexus/shared/bus';
import { removeTask } from '@nexus/shared/ledger/write';
import { silentLog } from '@nexus/shared/telemetry';
import { expect, test } from 'vitest';
import { ensureGroups } from '../../../shared/src/bus/groups.ts';
import { openRedis } from '../../../shared/src/bus/redis.ts';
import { makeSettler, type Settlement } from '../../../shared/src/bus/settle.ts';
import { eventually } from '../../tools/eventually.ts';
import { consumeAll, deletion, discard } from '../../tools/messages.ts';
import { startRedis, testFabric } from '../../tools/redis.ts';

/** A consumer's settling side without the consumer, holding as many entries as asked for. */
const holding = async (count: number) => {
  const fabric = testFabric();
  const bus = await fabric.open('gateway', { observer: true });
  const inbox = bus.keys.inbox('orchestrator', 'NORMAL');
  const redis = openRedis({ url: fabric.config.redisUrl, name: 'settling' });
  await ensureGroups(redis, bus.keys, 'orchestrator');
  for (let n = 0; n < count; n += 1) await bus.publish(deletion(`held-${n}`));
  const reply = (await redis.xreadgroup('GROUP', 'orchestrator', 'me', 'COUNT', count, 'STREAMS', inbox, '>')) as [
    [string, [string, string[]][]],
  ];
  const ids = reply[0][1].map(([id]) => id);
  const who = { group: 'orchestrator', consumer: 'me' };
  const options = { redis, keys: bus.keys, ...who, journalMax: 1000, whole: () => true, log: silentLog() };
  const settlement = (at: number, over: Partial<Settlement> = {}): Settlement => ({
    inbox,
    entryId: ids[at] ?? '',
    deliveries: 1,
    epoch: 0,
    ending: { end: 'done' },
    line: '',
    write: [],
    publish: [],
    ...over,
  });
  return { fabric, bus, inbox, redis, settler: makeSettler(options), settlement };
};

test('rule 9: in one batch each entry is all or nothing, and a bad one leaves nothing behind', async () => {
  const { fabric, bus, inbox, redis, settler, settlement } = await holding(6);
  const { keys } = bus;
  await fabric.redis.set(keys.task('text'), 'not a document');
  const patch = (id: string, revision: number) => ({
    op: 'patch' as const,
    key: keys.task(id),
    revision,
    set: { status: 'planning' },
  });
  const publish = [{ inbox: keys.inbox('finalizer', 'LOW'), json: '{}', short: '', id: 'x', delayMs: null }];
  const results = await Promise.all([
    settler.settle(settlement(0, { write: [patch('fine', 0)], publish })),
    settler.settle(settlement(1, { write: [patch('fine', 0)], publish })),
    settler.settle(
      settlement(2, {
        write: [patch('other', 0), { op: 'index', key: keys.task('text'), member: 'm', score: 1 }],
        publish,
      }),
    ),
    settler.settle(settlement(3, { deliveries: 2, publish })),
    settler.settle(settlement(4, { epoch: 7, publish })),
    settler.settle(settlement(0, { publish })),
  ]);
  expect(results).toEqual(['ok', 'moved', `type ${keys.task('text')}`, 'lost', 'epoch', 'twice']);
  expect(await bus.store.readHash(keys.task('fine'))).toEqual({ revision: '1', status: 'planning' });
  expect(await fabric.redis.exists(keys.task('other'))).toBe(0);
  expect(await fabric.redis.xlen(keys.inbox('finalizer', 'LOW'))).toBe(1);
  expect(await fabric.redis.xlen(inbox)).toBe(5);
  redis.disconnect();
});

test('rule 9: of messages that only end, those that may not are told apart, and the journal keeps silent', async () => {
  const { bus, inbox, redis, settler, settlement } = await holding(5);
  const line = (n: number) => ({ line: JSON.stringify({ n }) });
  const results = await Promise.all([
    settler.settle(settlement(0, line(0))),
    settler.settle(settlement(1, { ...line(1), epoch: null })),
    settler.settle(settlement(2, { ...line(2), epoch: 7 })),
    settler.settle(settlement(3, { ...line(3), entryId: '1-1' })),
    settler.settle(settlement(4, line(4))),
  ]);
  expect(results).toEqual(['ok', 'ok', 'epoch', 'lost', 'ok']);
  const [[, fields]] = (await redis.xrevrange(bus.keys.journal, '+', '-', 'COUNT', 1)) as [[string, string[]]];
  expect(fields.toSorted()).toEqual(['s', 's', 's', '{"n":0}', '{"n":1}', '{"n":4}']);
  expect(await redis.xlen(inbox)).toBe(2);
  redis.disconnect();
});

test('rule 9: of two outcomes of one entry the first counts, whatever stands between them', async () => {
  const { bus, redis, settler, settlement } = await holding(2);
  const head = { op: 'patch' as const, key: bus.keys.task('a'), revision: 0, set: { status: 'planning' } };
  const results = await Promise.all([
    settler.settle(settlement(0, { epoch: null, line: '{}' })),
    settler.settle(settlement(1, { write: [head] })),
    settler.settle(settlement(1, { epoch: null, line: '{}' })),
    settler.settle(settlement(0, { line: '{}' })),
  ]);
  expect(results).toEqual(['ok', 'ok', 'twice', 'twice']);
  expect(await bus.store.readHash(bus.keys.task('a'))).toEqual({ revision: '1', status: 'planning' });
  redis.disconnect();
});

test('rule 9: two entries of a batch may write one document, each on the revision that the other leaves', async () => {
  const { bus, redis, settler, settlement } = await holding(2);
  const patch = (revision: number) => ({
    op: 'patch' as const,
    key: bus.keys.task('shared'),
    revision,
    set: { status: String(revision) },
  });
  const results = await Promise.all([
    settler.settle(settlement(0, { write: [patch(0)] })),
    settler.settle(settlement(1, { write: [patch(1)] })),
  ]);
  expect(results).toEqual(['ok', 'ok']);
  expect(await bus.store.readHash(bus.keys.task('shared'))).toEqual({ revision: '2', status: '1' });
  redis.disconnect();
});

test('rule 10: a server that would throw work away is refused at boot', async () => {
  const server = await startRedis({ extra: ['--maxmemory', '64mb', '--maxmemory-policy', 'allkeys-lru'] });
  const fabric = testFabric(server.url);
  await expect(fabric.open('orchestrator')).rejects.toMatchObject({ code: 'REDIS_UNFIT' });
  await expect(fabric.open('orchestrator')).rejects.toThrow('noeviction');
  await server.stop();
});

test('rule 10: at maxmemory the edge refuses, and what is under way still drains', async () => {
  const server = await startRedis();
  const fabric = testFabric(server.url);
  const bus = await fabric.open('orchestrator');
  await bus.publish(deletion('before'));
  await fabric.redis.config('SET', 'maxmemory', '1mb');
  await expect(bus.publish(deletion('too-late'))).rejects.toMatchObject({ code: 'BUS_MEMORY' });
  expect(await bus.memoryShare()).toBeGreaterThan(0.8);
  const handled = consumeAll(bus, 'orchestrator');
  await eventually('it drained', () => handled.length === 1);
  await eventually(
    'it is settled',
    async () => (await fabric.redis.xlen(bus.keys.inbox('orchestrator', 'NORMAL'))) === 0,
  );
  await bus.close();
  fabric.redis.disconnect();
  await server.stop();
});

test('a Redis that is not there is said within seconds, with its address and without its password', async () => {
  const fabric = testFabric('redis://:secret@127.0.0.1:1');
  const refused = fabric.open('orchestrator');
  await expect(refused).rejects.toMatchObject({ code: 'REDIS_UNREACHABLE' });
  await expect(refused).rejects.toThrow(/127\.0\.0\.1:1 does not answer: .*ECONNREFUSED/);
  await expect(refused).rejects.not.toThrow('secret');
});

test('rule 14: all publications of one tick are one script call', async () => {
  const server = await startRedis();
  const fabric = testFabric(server.url);
  const bus = await fabric.open('gateway', { observer: true });
  await bus.publish(deletion('warm'));
  await fabric.redis.config('RESETSTAT');
  await Promise.all(Array.from({ length: 60 }, (_, n) => bus.publish(deletion(`tick-${n}`))));
  const calls = /cmdstat_evalsha:calls=(\d+)/.exec(await fabric.redis.info('commandstats'))?.[1];
  expect(calls).toBe('1');
  await bus.close();
  fabric.redis.disconnect();
  await server.stop();
});

test('rules 16 and 30: every key of a fabric, BullMQ’s among them, lies under its one hash tag', async () => {
  const server = await startRedis();
  const fabric = testFabric(server.url);
  const bus = await fabric.open('orchestrator');
  let runs = 0;
  const work = (): Outcome => {
    runs += 1;
    return runs === 1 ? { is: 'postpone', untilMs: Date.now() + 20, why: 'to set an alarm' } : done();
  };
  consumeAll(bus, 'orchestrator', { work });
  await bus.publish({ ...deletion('tagged'), idempotencyKey: 'k', accept: true });
  await eventually('the alarm has rung', () => runs === 2);
  const keys = await fabric.redis.keys('*');
  expect(keys.filter((key) => !key.startsWith(`${fabric.config.prefix}:`))).toEqual([]);
  expect(keys.some((key) => key.startsWith(`${fabric.config.prefix}:alarms:`))).toBe(true);
  await bus.close();
  fabric.redis.disconnect();
  await server.stop();
});

test('rule 31: flushed scripts, a deleted group and deleted entries stop nothing', async () => {
  const server = await startRedis();
  const fabric = testFabric(server.url);
  const bus = await fabric.open('finalizer');
  const handled = consumeAll(bus, 'finalizer', { mode: 'take', slots: 2 });
  const inbox = bus.keys.inbox('finalizer', 'NORMAL');
  await bus.publish(discard('one'));
  await eventually('one', () => handled.length === 1);
  await fabric.redis.script('FLUSH');
  await bus.publish(discard('two'));
  await eventually('two', () => handled.length === 2);
  // Otherwise its settlement may meet the missing group, and it is delivered once more.
  await eventually('two is settled', async () => (await fabric.redis.xlen(inbox)) === 0);
  await fabric.redis.xgroup('DESTROY', inbox, 'finalizer');
  await bus.publish(discard('three'));
  await eventually('three', () => handled.length === 3);
  await bus.control.command('PAUSE_ALL', null, 'test');
  await eventually('it is paused', () => bus.control.known().state === 'paused');
  await bus.publish(discard('gone'));
  await fabric.redis.xreadgroup('GROUP', 'finalizer', 'somebody', 'COUNT', 1, 'STREAMS', inbox, '>');
  const [[id]] = (await fabric.redis.xpending(inbox, 'finalizer', '-', '+', 1)) as [[string]];
  await fabric.redis.xdel(inbox, id);
  await fabric.redis.hset(bus.keys.beats('finalizer'), 'somebody', '1');
  await bus.control.command('RESUME_ALL', null, 'test');
  await bus.publish(discard('four'));
  await eventually('four', () => handled.length === 4);
  await eventually(
    'the dead one is forgotten',
    async () => (await fabric.redis.hexists(bus.keys.beats('finalizer'), 'somebody')) === 0,
  );
  await bus.close();
  fabric.redis.disconnect();
  await server.stop();
});

test('rule 5: what was published before a group existed is delivered', async () => {
  const fabric = testFabric();
  const sender = await fabric.open('gateway', { observer: true });
  await sender.publish(deletion('early'));
  const bus = await fabric.open('orchestrator');
  const handled = consumeAll(bus, 'orchestrator');
  await eventually('it is delivered', () => handled.length === 1);
});

test('rule 29: what was acknowledged is there after kill -9 of Redis', async () => {
  const server = await startRedis({ extra: ['--appendfsync', 'everysec'] });
  const fabric = testFabric(server.url);
  const bus = await fabric.open('gateway', { observer: true });
  const acknowledged: string[] = [];
  const flood = async (lane: number): Promise<void> => {
    for (let n = 0; ; n += 1) {
      const { message_id } = await bus.publish(deletion(`flood-${lane}-${n}`));
      acknowledged.push(message_id);
    }
  };
  const lanes = Array.from({ length: 20 }, (_, lane) => flood(lane).catch(() => undefined));
  await eventually('there is something to lose', () => acknowledged.length >= 1000);
  process.kill(server.pid ?? 0, 'SIGKILL');
  await server.stop();
  const kept = [...acknowledged];
  const again = await startRedis({ port: server.port, folder: server.folder });
  const entries = await eventually('it answers', () =>
    fabric.redis.xrange(bus.keys.inbox('orchestrator', 'NORMAL'), '-', '+'),
  );
  const there = new Set(entries.map(([, fields]) => JSON.parse(fields[1] ?? '{}').message_id));
  expect(kept.filter((id) => !there.has(id))).toEqual([]);
  await bus.close();
  await again.stop();
  await Promise.all(lanes);
  fabric.redis.disconnect();
});

type Fixed = 'control' | 'journal' | 'parked' | 'due' | 'dead' | 'deadOrder' | 'deaths';
const park = { end: 'park', id: 'p', json: '{}', delayMs: 1 } as const;
const bury = { end: 'dead', id: 'd', json: '{}' } as const;
const fixed: [Fixed, Partial<Settlement>][] = [
  ['control', {}],
  ['journal', {}],
  ['deaths', {}],
  ['parked', { ending: park }],
  ['due', { ending: park }],
  ['dead', { ending: bury }],
  ['deadOrder', { ending: bury }],
  ['due', { publish: [{ inbox: '', json: '{}', short: '', id: 'x', delayMs: 5 }] }],
];

test.each(fixed)('rule 9: with something else under the key %s nothing at all is written', async (name, over) => {
  const { fabric, bus, inbox, redis, settler, settlement } = await holding(1);
  const key = bus.keys[name];
  const publish = [
    { inbox: bus.keys.inbox('finalizer', 'LOW'), json: '{}', short: '', id: 'y', delayMs: null },
    ...(over.publish ?? []).map((one) => ({ ...one, inbox: bus.keys.inbox('finalizer', 'LOW') })),
  ];
  const write = [{ op: 'patch' as const, key: bus.keys.task('x'), revision: 0, set: { status: 'planning' } }];
  await fabric.redis.del(key);
  await fabric.redis.set(key, 'something else');
  const before = (await fabric.redis.keys(`${fabric.config.prefix}*`)).sort();
  const line = '{}';
  expect(await settler.settle(settlement(0, { ...over, line, write, publish, epoch: null }))).toBe(`type ${key}`);
  expect((await fabric.redis.keys(`${fabric.config.prefix}*`)).sort()).toEqual(before);
  expect((await fabric.redis.xpending(inbox, 'orchestrator'))[0]).toBe(1);
  redis.disconnect();
});

test.each(['journal', 'inbox', 'due', 'parked'] as const)(
  'rule 9: with something else under the key of the %s a publication is refused whole',
  async (name) => {
    const fabric = testFabric();
    const bus = await fabric.open('gateway', { observer: true });
    const { keys } = bus;
    const key = name === 'inbox' ? keys.inbox('orchestrator', 'LOW') : keys[name];
    await fabric.redis.set(key, 'something else');
    const delayMs = name === 'due' || name === 'parked' ? { delayMs: 5 } : {};
    const draft = { ...deletion('refused'), ...delayMs, priority: 'LOW' as const, idempotencyKey: 'k', accept: true };
    const [refused, beside] = await Promise.allSettled([bus.publish(draft), bus.publish(deletion('beside'))]);
    expect(refused).toMatchObject({ status: 'rejected', reason: { code: 'BUS_KEY_TYPE' } });
    expect(beside.status).toBe(name === 'journal' ? 'rejected' : 'fulfilled');
    const left = await fabric.redis.keys(`${fabric.config.prefix}*`);
    const well = name === 'journal' ? [] : [keys.inbox('orchestrator', 'NORMAL'), keys.journal];
    expect(left.sort()).toEqual([key, ...well].sort());
  },
);

test('rule 9: a patch of thousands of fields, and thousands of follow-ups, are written whole', async () => {
  const { fabric, bus, redis, settler, settlement } = await holding(1);
  const many = Array.from({ length: 5000 }, (_, n) => n);
  const set = Object.fromEntries(many.map((n) => [`s:${n}`, String(n)]));
  const inbox = bus.keys.inbox('finalizer', 'LOW');
  const publish = many.map((n) => ({ inbox, json: `{"n":${n}}`, short: '', id: `f-${n}`, delayMs: null }));
  const write = [{ op: 'patch' as const, key: bus.keys.board('big'), revision: 0, set }];
  expect(await settler.settle(settlement(0, { write, publish }))).toBe('ok');
  expect(await fabric.redis.hlen(bus.keys.board('big'))).toBe(5001);
  expect(await fabric.redis.xlen(inbox)).toBe(5000);
  redis.disconnect();
});

test('rule 1: in a batch an entry that another consumer holds is told from those around it that are ours', async () => {
  const { fabric, inbox, redis, settler, settlement } = await holding(6);
  const ids = ((await fabric.redis.xpending(inbox, 'orchestrator', '-', '+', 9)) as [string][]).map(([id]) => id);
  // One is somebody else's with the count that it had, one came back with a count of its own, one is gone.
  await fabric.redis.xclaim(inbox, 'orchestrator', 'another', 0, ids[1] as string, 'JUSTID');
  await fabric.redis.xclaim(inbox, 'orchestrator', 'another', 0, ids[3] as string);
  await fabric.redis.xclaim(inbox, 'orchestrator', 'me', 0, ids[3] as string);
  await fabric.redis.xack(inbox, 'orchestrator', ids[4] as string);
  // The first of a batch need not be the oldest: what was delivered before it is asked for by itself.
  const results = await Promise.all([1, 0, 2, 3, 4, 5].map((at) => settler.settle(settlement(at))));
  expect(results).toEqual(['lost', 'ok', 'ok', 'lost', 'lost', 'ok']);
  expect(await fabric.redis.xlen(inbox)).toBe(3);
  redis.disconnect();
});

test('rule 22: what was commanded of a task goes when the task is removed', async () => {
  const { fabric, bus, redis, settler, settlement } = await holding(1);
  await bus.control.command('STOP_ALL', { task: 'gone' }, 'test');
  await bus.control.command('STOP_ALL', { task: 'stays' }, 'test');
  expect(await settler.settle(settlement(0, { epoch: null, write: removeTask(bus.keys, 'gone') }))).toBe('ok');
  expect((await bus.control.read()).scopes).toEqual({ 'task:stays': 'stopped' });
  expect(await fabric.redis.exists(bus.keys.task('gone'))).toBe(0);
  redis.disconnect();
});

test('rule 15: an alarm is set only once its message is settled', async () => {
  const fabric = testFabric();
  const bus = await fabric.open('finalizer');
  const inbox = bus.keys.inbox('finalizer', 'NORMAL');
  const work = async (message: { conversation_thread: string }): Promise<Outcome> => {
    if (message.conversation_thread === 'lost') {
      const [[id]] = (await fabric.redis.xpending(inbox, 'finalizer', '-', '+', 1)) as [[string]];
      await fabric.redis.xclaim(inbox, 'finalizer', 'another', 0, id);
    }
    return { is: 'postpone', untilMs: Date.now() + 600_000, why: 'not yet' };
  };
  consumeAll(bus, 'finalizer', { mode: 'take', slots: 1, work });
  await bus.publish(discard('lost'));
  await bus.publish(discard('parked'));
  const alarms = `${fabric.config.prefix}:alarms:delayed`;
  await eventually('an alarm is set', async () => (await fabric.redis.zcard(alarms)) > 0);
  expect(await fabric.redis.zcard(alarms)).toBe(1);
  expect(await fabric.redis.zcard(bus.keys.due)).toBe(1);
});

test('rule 9: where the script itself fails, the outcomes are left alone instead of being sent for ever', async () => {
  const { fabric, inbox, redis, settler, settlement } = await holding(2);
  await fabric.redis.del(inbox);
  await fabric.redis.set(inbox, 'something else');
  const both = [settler.settle(settlement(0)), settler.settle(settlement(1))];
  expect(await Promise.all(both)).toEqual(['lost', 'lost']);
  redis.disconnect();
});
