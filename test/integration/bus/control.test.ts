import { type Bus, done, giveBack } from '@nexus/shared/bus';
import type { ServiceName } from '@nexus/shared/messages/domain';
import { expect, test } from 'vitest';
import { callScript, openRedis } from '../../../shared/src/bus/redis.ts';
import { eventually, untilAborted } from '../../tools/eventually.ts';
import { consumeAll, deletion, discard, dispatch, standing } from '../../tools/messages.ts';
import { type TestFabric, testFabric } from '../../tools/redis.ts';

/** Three beats: longer than a blocking read lasts, so the consumer has looked anew since. */
const beaten = async (fabric: TestFabric, service: ServiceName, { keys, instanceId }: Bus): Promise<void> => {
  const beats = async (): Promise<number> => Number(await fabric.redis.hget(keys.beats(service), instanceId));
  const first = await beats();
  await eventually('three beats passed', async () => (await beats()) >= first + 3);
};

test('rule 17: STOP aborts what runs under the old epoch; it is given back and runs again after RESUME', async () => {
  const fabric = testFabric();
  const bus = await fabric.open('worker-agent');
  const runs: { epoch: number; attempt: number }[] = [];
  consumeAll(bus, 'worker-agent', {
    mode: 'take',
    slots: 2,
    work: async (message, tools) => {
      runs.push({ epoch: tools.claim.epoch, attempt: message.attempt });
      await tools.begin();
      if (runs.length > 1) return done();
      await untilAborted(tools.signal);
      return giveBack('stopped');
    },
  });
  await standing(fabric, 'stopping');
  await bus.publish(dispatch('stopping'));
  await eventually('it runs', () => bus.busy() === 1);
  await bus.control.command('STOP_ALL', null, 'test');
  await eventually('it was given back', () => bus.busy() === 0);
  await eventually('the instance confirms', async () => (await bus.presences())[0]?.confirmed_epoch === 1);
  expect(runs).toHaveLength(1);
  await bus.control.command('RESUME_ALL', null, 'test');
  await eventually('it runs again', () => runs.length === 2);
  expect(runs).toEqual([
    { epoch: 0, attempt: 1 },
    { epoch: 2, attempt: 1 },
  ]);
});

test('rule 20: nothing begins after a STOP that was heard while Redis still said yes', async () => {
  const fabric = testFabric();
  const bus = await fabric.open('worker-agent');
  const runs: string[] = [];
  consumeAll(bus, 'worker-agent', {
    mode: 'take',
    slots: 1,
    work: async (_message, tools) => {
      // Its first steps are made while it is being taken.
      await Promise.resolve();
      const begun = tools.begin();
      bus.control.learn(1, 'stopped');
      runs.push(await begun.then(() => 'begun', String));
      return done();
    },
  });
  await standing(fabric, 'stopping');
  await bus.publish(dispatch('stopping'));
  await eventually('it was answered', () => runs.length > 0);
  expect(runs[0]).toContain('The fleet was stopped');
});

test('rule 18: on equal epochs STOP wins, whatever a process hears behind it', async () => {
  const fabric = testFabric();
  const { control } = await fabric.open('gateway');
  const known = (epoch: number, state: string) => {
    control.learn(epoch, state);
    return control.known();
  };
  expect(known(1, 'paused')).toEqual({ epoch: 1, state: 'paused' });
  expect(known(1, 'stopped')).toEqual({ epoch: 1, state: 'stopped' });
  for (const other of ['running', 'paused', 'draining'])
    expect(known(1, other)).toEqual({ epoch: 1, state: 'stopped' });
  expect(known(0, 'running')).toEqual({ epoch: 1, state: 'stopped' });
  expect(known(2, 'running')).toEqual({ epoch: 2, state: 'running' });
});

test('rule 17: a handler that only writes the ledger settles under an old epoch', async () => {
  const fabric = testFabric();
  const bus = await fabric.open('orchestrator');
  consumeAll(bus, 'orchestrator', {
    work: async (message) => {
      await bus.control.command('STOP_ALL', null, 'test');
      return done({
        write: [
          { op: 'patch', key: bus.keys.task(message.conversation_thread), revision: 0, set: { status: 'accepted' } },
        ],
      });
    },
  });
  await bus.publish(deletion('booked'));
  await eventually(
    'it was booked',
    async () => (await bus.store.readHash(bus.keys.task('booked'))).status === 'accepted',
  );
});

test('rule 7: nothing is taken while the fleet is stopped or paused', async () => {
  const fabric = testFabric();
  const bus = await fabric.open('finalizer');
  await bus.control.command('PAUSE_ALL', null, 'test');
  const handled = consumeAll(bus, 'finalizer', { mode: 'take', slots: 2 });
  await bus.publish(discard('waits'));
  await beaten(fabric, 'finalizer', bus);
  expect(handled).toEqual([]);
  await bus.control.command('RESUME_ALL', null, 'test');
  await eventually('it was taken', () => handled.length === 1);
  expect(bus.control.known().epoch).toBe(0);
});

test('rule 18: the bare word on the channel stops every process, and a second word is obeyed too', async () => {
  const fabric = testFabric();
  const [one, two] = [await fabric.open('finalizer'), await fabric.open('worker-agent')];
  await fabric.redis.publish(fabric.config.controlChannel, 'STOP_ALL');
  await eventually('both know', () => [one, two].every((bus) => bus.control.known().state === 'stopped'));
  expect(await one.control.read()).toMatchObject({ epoch: 1, state: 'stopped' });
  await eventually('both listen again', async () => {
    await fabric.redis.publish(fabric.config.controlChannel, 'RESUME_ALL');
    return [one, two].every((bus) => bus.control.known().state === 'running');
  });
  expect((await one.control.read()).epoch).toBe(2);
});

test('rule 18: a word that was written into the key first is applied once, not once per process', async () => {
  const fabric = testFabric();
  const buses = [await fabric.open('finalizer'), await fabric.open('worker-agent'), await fabric.open('orchestrator')];
  const state = await (buses[0] as (typeof buses)[number]).control.command('stop_all', null, 'test');
  expect(state).toMatchObject({ epoch: 1, state: 'stopped', by: 'test' });
  await eventually('all know', () => buses.every((bus) => bus.control.known().epoch === 1));
  expect((await buses[2]?.control.read())?.epoch).toBe(1);
});

test('rule 19: a lost publication costs one beat, and a process that saw a newer STOP restores it', async () => {
  const fabric = testFabric();
  const bus = await fabric.open('finalizer');
  await fabric.redis.hset(bus.keys.control, 'epoch', '5', 'state', 'stopped');
  await eventually('the beat has told', () => bus.control.known().epoch === 5);
  await fabric.redis.hset(bus.keys.control, 'epoch', '4', 'state', 'running');
  await eventually('it was restored', async () => (await fabric.redis.hget(bus.keys.control, 'state')) === 'stopped');
  expect(await fabric.redis.hget(bus.keys.control, 'epoch')).toBe('5');
});

test('rule 22: JSON on the channel may name a scope and a fabric; other fabrics are left alone', async () => {
  const fabric = testFabric();
  const bus = await fabric.open('worker-agent');
  const started: string[] = [];
  consumeAll(bus, 'worker-agent', {
    mode: 'take',
    slots: 4,
    work: async (message, tools) => {
      started.push(message.conversation_thread);
      await tools.begin();
      await untilAborted(tools.signal);
      return giveBack('stopped');
    },
  });
  await standing(fabric, 'scope-a');
  await bus.publish(dispatch('scope-a'));
  await standing(fabric, 'scope-b');
  await bus.publish(dispatch('scope-b'));
  await eventually('both run', () => bus.busy() === 2);
  const say = (said: object): Promise<number> =>
    fabric.redis.publish(fabric.config.controlChannel, JSON.stringify(said));
  await say({ command: 'STOP_ALL', fabric: '{another}' });
  await say({ command: 'STOP_ALL', scope: { task: 'scope-a' } });
  await eventually('only one was stopped', () => bus.busy() === 1);
  expect(bus.control.known().state).toBe('running');
  expect((await bus.control.read()).scopes).toEqual({ 'task:scope-a': 'stopped' });
});

test('a control word that is not known is refused with the words there are', async () => {
  const fabric = testFabric();
  const bus = await fabric.open('gateway', { observer: true });
  await expect(bus.control.command('HALT', null, 'test')).rejects.toMatchObject({ code: 'CONTROL_UNKNOWN' });
  await expect(bus.control.command('HALT', null, 'test')).rejects.toThrow('STOP_ALL, PAUSE_ALL, RESUME_ALL, DRAIN');
});

test('rule 18: words that are older than a STOP in the key do not revive it, however they come in', async () => {
  const fabric = testFabric();
  const bus = await fabric.open('finalizer');
  for (let round = 0; round < 20; round += 1) {
    await bus.control.command('RESUME_ALL', null, 'test');
    // Both words are on their way, unread, when the STOP is written.
    const words = fabric.redis.multi().publish(fabric.config.controlChannel, 'STOP_ALL');
    const sent = words.publish(fabric.config.controlChannel, 'RESUME_ALL').exec();
    const stop = bus.control.command('STOP_ALL', null, 'the operator');
    await Promise.all([sent, stop]);
    const first = (await bus.control.read()).epoch;
    await bus.control.command('STOP_ALL', null, 'the operator');
    await eventually('the process knows', () => bus.control.known().epoch > first);
    expect([round, (await bus.control.read()).state]).toEqual([round, 'stopped']);
  }
});

test('rules 17 and 20: begin refuses a claim of an old epoch and a claim that was lost', async () => {
  const fabric = testFabric();
  const bus = await fabric.open('worker-agent');
  const codes: string[] = [];
  const inbox = bus.keys.inbox('worker-agent', 'NORMAL');
  consumeAll(bus, 'worker-agent', {
    mode: 'take',
    slots: 1,
    work: async (message, tools) => {
      if (message.conversation_thread === 'old-epoch') await fabric.redis.hset(bus.keys.control, 'epoch', '9');
      else {
        const [[id]] = (await fabric.redis.xpending(inbox, 'worker-agent', '-', '+', 1)) as [[string]];
        await fabric.redis.xclaim(inbox, 'worker-agent', 'another', 0, id);
      }
      await tools.begin().catch((error: { code: string }) => codes.push(error.code));
      return codes.length === 1 ? giveBack('refused') : done();
    },
  });
  await standing(fabric, 'lost-claim');
  await bus.publish(dispatch('lost-claim'));
  await eventually('it was refused', () => codes.length === 1);
  expect(codes).toEqual(['CLAIM_LOST']);
  await standing(fabric, 'old-epoch');
  await bus.publish(dispatch('old-epoch'));
  await eventually('it was refused', () => codes.length === 2);
  expect(codes[1]).toBe('STOPPED');
});

test('rule 22: what is held by the STOP of its agent waits without spinning, and runs after its RESUME', async () => {
  const fabric = testFabric();
  const bus = await fabric.open('worker-agent');
  let begun = 0;
  const handled = consumeAll(bus, 'worker-agent', {
    mode: 'take',
    slots: 2,
    work: async (_message, tools) => {
      begun += 1;
      await tools.begin();
      return done();
    },
  });
  // Alarms ring in the services whose handlers only write the ledger.
  consumeAll(await fabric.open('orchestrator'), 'orchestrator');
  await bus.control.command('STOP_ALL', { agent: 'builder' }, 'test');
  await standing(fabric, 'held-agent');
  await bus.publish(dispatch('held-agent'));
  await eventually('it is parked', async () => (await bus.counts()).parked === 1);
  expect(begun).toBe(1);
  await bus.control.command('RESUME_ALL', { agent: 'builder' }, 'test');
  await eventually('it ran', () => handled.length === 1);
  expect(begun).toBeLessThanOrEqual(3);
});

test('rule 22: an instance that drains takes nothing from its peers', async () => {
  const fabric = testFabric();
  const [held, other] = [await fabric.open('worker-agent'), await fabric.open('worker-agent')];
  const [byHeld, byOther] = [held, other].map((bus) => consumeAll(bus, 'worker-agent', { mode: 'take', slots: 1 }));
  await held.control.command('DRAIN', { instance: held.instanceId }, 'test');
  await beaten(fabric, 'worker-agent', held);
  for (const task of ['one', 'two', 'three', 'four', 'five', 'six']) {
    await standing(fabric, task);
    await other.publish(dispatch(task));
  }
  await eventually('all was done', () => byOther?.length === 6);
  expect(byHeld).toEqual([]);
  // The fleet runs: nobody is to be told otherwise.
  expect(held.control.known()).toEqual({ epoch: 0, state: 'running' });
});

test('rule 22: a service that drains takes nothing until its RESUME', async () => {
  const fabric = testFabric();
  const bus = await fabric.open('finalizer');
  const handled = consumeAll(bus, 'finalizer', { mode: 'take', slots: 2 });
  await bus.control.command('DRAIN', { service: 'finalizer' }, 'test');
  await beaten(fabric, 'finalizer', bus);
  await bus.publish(discard('waits'));
  await beaten(fabric, 'finalizer', bus);
  expect(handled).toEqual([]);
  expect((await bus.counts()).parked).toBe(0);
  expect(bus.control.known().state).toBe('running');
  await bus.control.command('RESUME_ALL', { service: 'finalizer' }, 'test');
  await eventually('it was taken', () => handled.length === 1);
});

test('rule 18: a word whose sender knew another epoch is refused, and changes nothing', async () => {
  const fabric = testFabric();
  const bus = await fabric.open('gateway', { observer: true });
  const redis = openRedis({ url: fabric.config.redisUrl, name: 'speaking' });
  const say = (word: string, known: number): Promise<unknown> =>
    callScript(redis, 'nexusControl', [bus.keys.control, bus.keys.controlSaid], [word, '', known, 'somebody', '']);
  await bus.control.command('STOP_ALL', null, 'the operator');
  expect(await say('RESUME_ALL', 0)).toEqual(['refused', 1, 'stopped']);
  expect(await bus.control.read()).toMatchObject({ epoch: 1, state: 'stopped', by: 'the operator' });
  expect(await say('RESUME_ALL', 1)).toEqual(['ok', 2, 'running']);
  redis.disconnect();
});
