import { done } from '@nexus/shared/bus';
import { expect, test } from 'vitest';
import { deferred, eventually } from '../../tools/eventually.ts';
import { consumeAll, deletion, discard, dispatch, leaveBehind, standing } from '../../tools/messages.ts';
import { testFabric } from '../../tools/redis.ts';

test('rule 6: an entry with two deaths runs alone, and a death while alone makes it a dead letter', async () => {
  const fabric = testFabric();
  const bus = await fabric.open('finalizer');
  const inbox = bus.keys.inbox('finalizer', 'NORMAL');
  await bus.publish(discard('poison'));
  await fabric.redis.xreadgroup('GROUP', 'finalizer', 'finalizer-dead-3', 'COUNT', 1, 'STREAMS', inbox, '>');
  const [[id]] = (await fabric.redis.xpending(inbox, 'finalizer', '-', '+', 1)) as [[string]];
  await fabric.redis.hset(bus.keys.deaths, { [`${inbox}|${id}`]: '2', [`${inbox}|${id}|alone`]: 'finalizer-dead-3' });
  await fabric.redis.hset(bus.keys.beats('finalizer'), 'finalizer-dead-3', '9');
  const handled = consumeAll(bus, 'finalizer', { mode: 'take', slots: 3 });
  const letter = await eventually('it is a dead letter', async () => (await bus.dead.list()).letters[0]);
  expect(letter.code).toBe('POISON');
  expect(handled).toEqual([]);
  expect(await fabric.redis.exists(bus.keys.deaths)).toBe(0);
});

test('rule 6: an entry with two deaths waits until it is alone; deaths are forgotten once it is settled', async () => {
  const fabric = testFabric();
  const bus = await fabric.open('finalizer');
  const inbox = bus.keys.inbox('finalizer', 'NORMAL');
  await bus.publish(discard('suspect'));
  await leaveBehind(fabric, inbox, 'finalizer', 'finalizer-dead-4');
  const [[id]] = (await fabric.redis.xpending(inbox, 'finalizer', '-', '+', 1)) as [[string]];
  await fabric.redis.hset(bus.keys.deaths, `${inbox}|${id}`, '1');
  const others = deferred();
  const beside: string[] = [];
  const running = new Set<string>();
  consumeAll(bus, 'finalizer', {
    mode: 'take',
    slots: 3,
    work: async (message) => {
      const task = message.conversation_thread;
      running.add(task);
      if (task === 'suspect') beside.push(...[...running].filter((other) => other !== 'suspect'), 'ran');
      else await others.promise;
      running.delete(task);
      return done();
    },
  });
  await bus.publish(discard('other-one'));
  await eventually('the other runs', () => running.has('other-one'));
  await eventually(
    'the suspect was taken over',
    async () => (await fabric.redis.hget(bus.keys.deaths, `${inbox}|${id}`)) === '2',
  );
  expect(beside).toEqual([]);
  others.resolve();
  await eventually('the suspect ran', () => beside.length > 0);
  expect(beside).toEqual(['ran']);
  await eventually('its deaths are forgotten', async () => (await fabric.redis.exists(bus.keys.deaths)) === 0);
});

test('rule 6: what only writes the ledger runs alone also for a task that has ended', async () => {
  const fabric = testFabric();
  const bus = await fabric.open('orchestrator');
  const inbox = bus.keys.inbox('orchestrator', 'NORMAL');
  await standing(fabric, 'over', 'cancelled');
  await bus.publish(deletion('over'));
  await leaveBehind(fabric, inbox, 'orchestrator', 'orchestrator-dead-1');
  const [[id]] = (await fabric.redis.xpending(inbox, 'orchestrator', '-', '+', 1)) as [[string]];
  await fabric.redis.hset(bus.keys.deaths, `${inbox}|${id}`, '1');
  const handled = consumeAll(bus, 'orchestrator');
  await eventually('it is settled', async () => (await fabric.redis.xlen(inbox)) === 0);
  expect(handled).toHaveLength(1);
});

test('rule 6: whoever waits for a message that was poison is told', async () => {
  const fabric = testFabric();
  const bus = await fabric.open('worker-agent');
  const inbox = bus.keys.inbox('worker-agent', 'NORMAL');
  await bus.publish(dispatch('poisoned'));
  await leaveBehind(fabric, inbox, 'worker-agent', 'worker-agent-dead-7');
  const [[id]] = (await fabric.redis.xpending(inbox, 'worker-agent', '-', '+', 1)) as [[string]];
  const deaths = { [`${inbox}|${id}`]: '2', [`${inbox}|${id}|alone`]: 'worker-agent-dead-7' };
  await fabric.redis.hset(bus.keys.deaths, deaths);
  consumeAll(bus, 'worker-agent', { mode: 'take', slots: 1 });
  const told = await eventually('the project manager is told', async () => {
    const [entry] = await fabric.redis.xrange(bus.keys.inbox('project-manager', 'NORMAL'), '-', '+');
    return entry?.[1][1];
  });
  expect(JSON.parse(told)).toMatchObject({ type: 'attempt.finished', payload: { code: 'POISON', outcome: 'lost' } });
});

test('rule 6: of two suspect entries one runs after the other, and nothing new beside them', async () => {
  const fabric = testFabric();
  const bus = await fabric.open('finalizer');
  const inbox = bus.keys.inbox('finalizer', 'NORMAL');
  for (const task of ['suspect-1', 'suspect-2']) {
    await bus.publish(discard(task));
    await leaveBehind(fabric, inbox, 'finalizer', 'finalizer-dead-8');
  }
  const rows = (await fabric.redis.xpending(inbox, 'finalizer', '-', '+', 9)) as [string][];
  for (const [id] of rows) await fabric.redis.hset(bus.keys.deaths, `${inbox}|${id}`, '1');
  const running = new Set<string>();
  const together: string[] = [];
  const first = deferred();
  const handled = consumeAll(bus, 'finalizer', {
    mode: 'take',
    slots: 4,
    work: async (message) => {
      running.add(message.conversation_thread);
      if (running.size > 1) together.push([...running].join(' and '));
      if (message.conversation_thread.startsWith('suspect')) await first.promise;
      running.delete(message.conversation_thread);
      return done();
    },
  });
  await eventually('the first runs', () => running.size === 1);
  await bus.publish(discard('innocent'));
  const beats = async (): Promise<number> =>
    Number(await fabric.redis.hget(bus.keys.beats('finalizer'), bus.instanceId));
  const begun = await beats();
  await eventually('three beats passed', async () => (await beats()) >= begun + 3);
  first.resolve();
  await eventually('all ran', () => handled.length === 3);
  expect(together).toEqual([]);
});

test('rule 6: a new checkpoint forgets the deaths of its entry', async () => {
  const fabric = testFabric();
  const bus = await fabric.open('finalizer');
  const inbox = bus.keys.inbox('finalizer', 'NORMAL');
  await bus.publish(discard('goes-on'));
  await leaveBehind(fabric, inbox, 'finalizer', 'finalizer-dead-5');
  const known: number[] = [];
  consumeAll(bus, 'finalizer', {
    mode: 'take',
    slots: 1,
    work: async (_message, tools) => {
      known.push(await fabric.redis.hlen(bus.keys.deaths));
      await tools.checkpoint([{ op: 'count', key: bus.keys.stats('2026-01-01'), field: 'step', by: 1 }], true);
      known.push(await fabric.redis.hlen(bus.keys.deaths));
      return done();
    },
  });
  await eventually('it went on', () => known.length === 2);
  expect(known).toEqual([1, 0]);
});

test('rules 3 and 6: what is found unseen carries its deaths, and a death while alone', async () => {
  const fabric = testFabric();
  const bus = await fabric.open('finalizer', { limits: { beatMs: 50, unseenMs: 50 } });
  const inbox = bus.keys.inbox('finalizer', 'NORMAL');
  const unseen = async (task: string, marks: (name: string) => Record<string, string>): Promise<string> => {
    await bus.publish(discard(task));
    await fabric.redis.xreadgroup('GROUP', 'finalizer', bus.instanceId, 'COUNT', 1, 'STREAMS', inbox, '>');
    const rows = (await fabric.redis.xpending(inbox, 'finalizer', '-', '+', 9)) as [string][];
    const name = `${inbox}|${rows.at(-1)?.[0]}`;
    await fabric.redis.hset(bus.keys.deaths, marks(name));
    return name;
  };
  const suspect = await unseen('suspect', (name) => ({ [name]: '2' }));
  await unseen('died-alone', (name) => ({ [name]: '3', [`${name}|alone`]: 'died' }));
  const alone: (string | null)[] = [];
  consumeAll(bus, 'finalizer', {
    mode: 'take',
    slots: 3,
    work: async () => {
      alone.push(await fabric.redis.hget(bus.keys.deaths, `${suspect}|alone`));
      return done();
    },
  });
  await eventually('the suspect ran', () => alone.length === 1);
  expect(alone).toEqual([bus.instanceId]);
  const letter = await eventually('the other is dead', async () => (await bus.dead.list()).letters[0]);
  expect(letter).toMatchObject({ code: 'POISON', envelope: { conversation_thread: 'died-alone' } });
});
