import { done, followUp, giveBack, postpone } from '@nexus/shared/bus';
import { fail } from '@nexus/shared/errors';
import { expect, test } from 'vitest';
import { deferred, eventually, untilAborted } from '../../tools/eventually.ts';
import { consumeAll, deletion, discard, dispatch } from '../../tools/messages.ts';
import { testFabric } from '../../tools/redis.ts';

test('a published message is handled once, acknowledged and deleted', async () => {
  const fabric = testFabric();
  const sender = await fabric.open('gateway', { observer: true });
  const bus = await fabric.open('orchestrator');
  const handled = consumeAll(bus, 'orchestrator');
  const { message_id } = await sender.publish(deletion('task-one'));
  await eventually('it is handled', () => handled.length === 1);
  expect(handled).toEqual([message_id]);
  await eventually(
    'nothing is left of it',
    async () => (await fabric.redis.xlen(bus.keys.inbox('orchestrator', 'NORMAL'))) === 0,
  );
  const { inboxes } = await bus.counts();
  expect(inboxes.orchestrator).toEqual({ waiting: 0, held: 0 });
});

test('follow-ups and the ledger are written with the acknowledgement, and the follow-up is delivered', async () => {
  const fabric = testFabric();
  const bus = await fabric.open('orchestrator');
  const finalizer = await fabric.open('finalizer');
  const got = consumeAll(finalizer, 'finalizer', { mode: 'take', slots: 2 });
  consumeAll(bus, 'orchestrator', {
    work: (message) =>
      done({
        publish: [followUp('hub.discarded', { task_id: message.payload.task_id })],
        write: [{ op: 'patch', key: bus.keys.task('task-two'), revision: 0, set: { status: 'accepted' } }],
      }),
  });
  await bus.publish(deletion('task-two'));
  await eventually('the follow-up is handled', () => got.length === 1);
  expect(await bus.store.readHash(bus.keys.task('task-two'))).toEqual({ revision: '1', status: 'accepted' });
});

test('rule 13: the follow-up of one cause, kind and key always has the same id', async () => {
  const fabric = testFabric();
  const bus = await fabric.open('orchestrator');
  consumeAll(bus, 'orchestrator', {
    work: (message) => done({ publish: [followUp('hub.discarded', { task_id: message.payload.task_id })] }),
  });
  const messageId = '0190f000-0000-7000-8000-000000000001';
  await bus.publish({ ...deletion('task-a'), messageId });
  await bus.publish({ ...deletion('task-a'), messageId });
  const inbox = bus.keys.inbox('finalizer', 'NORMAL');
  await eventually('both are settled', async () => (await fabric.redis.xlen(inbox)) === 2);
  const ids = (await fabric.redis.xrange(inbox, '-', '+')).map(
    ([, fields]) => JSON.parse(fields[1] ?? '{}').message_id,
  );
  expect(ids[0]).toBe(ids[1]);
  expect(ids[0]).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-8/);
});

test('rule 11: two messages of one task are handled one after another, different tasks side by side', async () => {
  const fabric = testFabric();
  const bus = await fabric.open('orchestrator');
  const running = new Map<string, number>();
  const together = new Set<string>();
  let most = 0;
  const gate = deferred();
  const handled = consumeAll(bus, 'orchestrator', {
    slots: 50,
    work: async (message) => {
      const task = message.conversation_thread;
      running.set(task, (running.get(task) ?? 0) + 1);
      if ((running.get(task) ?? 0) > 1) together.add(task);
      most = Math.max(
        most,
        [...running.values()].reduce((sum, n) => sum + n, 0),
      );
      if (most >= 2) gate.resolve();
      await gate.promise;
      running.set(task, (running.get(task) ?? 0) - 1);
      return done();
    },
  });
  await Promise.all(['x-1', 'x-1', 'x-1', 'y-1', 'y-1'].map((task) => bus.publish(deletion(task))));
  await eventually('all are handled', () => handled.length === 5);
  expect([...together]).toEqual([]);
  expect(most).toBeGreaterThanOrEqual(2);
});

test('rule 11: a guarded write on a revision that moved runs the handler again and counts no attempt', async () => {
  const fabric = testFabric();
  const bus = await fabric.open('orchestrator');
  const key = bus.keys.task('moved-1');
  let runs = 0;
  const handled = consumeAll(bus, 'orchestrator', {
    work: async (message) => {
      runs += 1;
      const before = Number((await bus.store.readHash(key)).revision ?? 0);
      if (runs === 1) await fabric.redis.hset(key, 'revision', '7');
      expect(message.attempt).toBe(1);
      return done({ write: [{ op: 'patch', key, revision: before, set: { status: 'planning' } }] });
    },
  });
  await bus.publish(deletion('moved-1'));
  await eventually('it is settled', async () => (await bus.store.readHash(key)).status === 'planning');
  expect(runs).toBe(2);
  expect(handled.length).toBe(2);
  expect((await bus.store.readHash(key)).revision).toBe('8');
});

test('what was decided before the connection broke is decided again, though the revision is the same', async () => {
  const fabric = testFabric();
  const bus = await fabric.open('orchestrator');
  const key = bus.keys.task('rolled-back');
  const read: (string | undefined)[] = [];
  consumeAll(bus, 'orchestrator', {
    work: async (message) => {
      expect(message.attempt).toBe(1);
      const before = await bus.store.readHash(key);
      read.push(before.status);
      if (read.length === 1) {
        // As after a failover: another write of the same revision stands there now.
        await fabric.redis.hset(key, { revision: '4', status: 'planning' });
        const lines = String(await fabric.redis.client('LIST')).split('\n');
        for (const line of lines.filter((one) => one.includes(`name=${bus.instanceId}`)))
          await fabric.redis.client('KILL', 'ID', Number(/^id=(\d+)/.exec(line)?.[1]));
      }
      return done({ write: [{ op: 'patch', key, revision: 4, set: { status: `after ${before.status}` } }] });
    },
  });
  await fabric.redis.hset(key, { revision: '4', status: 'accepted' });
  await bus.publish(deletion('rolled-back'));
  await eventually('it is settled', async () => ((await fabric.redis.hget(key, 'status')) ?? '').startsWith('after'));
  expect(await fabric.redis.hgetall(key)).toEqual({ revision: '5', status: 'after planning' });
  expect(read).toEqual(['accepted', 'planning']);
});

test('rule 15: a failed handler is parked with its history, and a dead letter after three retries', async () => {
  const fabric = testFabric();
  const bus = await fabric.open('orchestrator');
  const attempts: number[] = [];
  consumeAll(bus, 'orchestrator', {
    work: (message) => {
      attempts.push(message.attempt);
      throw fail(
        'GIT_FAILED',
        { command: 'fetch', exit: 128, message: 'no such host' },
        { cause: new Error('ENOTFOUND') },
      );
    },
  });
  const { message_id } = await bus.publish(deletion('failing'));
  const letter = await eventually('it is dead', async () => (await bus.dead.list()).letters[0]);
  expect(attempts).toEqual([1, 2, 3, 4]);
  expect(letter).toMatchObject({ id: message_id, code: 'RETRIES_EXHAUSTED', service: 'orchestrator' });
  expect(letter.causes.join('\n')).toContain('ENOTFOUND');
  expect(letter.envelope.history?.map((past) => past.code)).toEqual(['GIT_FAILED', 'GIT_FAILED', 'GIT_FAILED']);
  expect(await fabric.redis.zcard(bus.keys.due)).toBe(0);
});

test('a postponed message comes back at its time with the same attempt number', async () => {
  const fabric = testFabric();
  const bus = await fabric.open('orchestrator');
  const seen: number[] = [];
  consumeAll(bus, 'orchestrator', {
    work: (message, tools) => {
      seen.push(message.attempt);
      return seen.length === 1 ? postpone(tools.now() + 50, 'not yet') : done();
    },
  });
  await bus.publish(deletion('later'));
  await eventually('it came back', () => seen.length === 2);
  expect(seen).toEqual([1, 1]);
});

test('rule 15: an alarm rings at its time, without waiting for the sweep', async () => {
  const fabric = testFabric();
  const bus = await fabric.open('orchestrator', { limits: { sweepMs: 600_000 } });
  const seen: number[] = [];
  consumeAll(bus, 'orchestrator', {
    work: (message, tools) => {
      seen.push(message.attempt);
      return seen.length === 1 ? postpone(tools.now() + 100, 'not yet') : done();
    },
  });
  await bus.publish(deletion('rings'));
  await eventually('it came back', () => seen.length === 2);
});

test('rule 15: a lost alarm costs only the time to the next sweep', async () => {
  const fabric = testFabric();
  const bus = await fabric.open('orchestrator');
  const handled = consumeAll(bus, 'orchestrator');
  await bus.publish({ ...deletion('swept'), delayMs: 1 });
  await eventually('the sweep found it', () => handled.length === 1);
});

test('a message that dies leaves its last words to whoever waits for an answer', async () => {
  const fabric = testFabric();
  const worker = await fabric.open('worker-agent');
  consumeAll(worker, 'worker-agent', {
    mode: 'take',
    slots: 1,
    work: () => {
      throw fail('NO_RUNTIME', { looked: 'nothing', mend: 'something' });
    },
  });
  await worker.publish(dispatch('dying'));
  const inbox = worker.keys.inbox('project-manager', 'NORMAL');
  await eventually('the project manager is told', async () => (await fabric.redis.xlen(inbox)) === 1);
  const [[, fields]] = (await fabric.redis.xrange(inbox, '-', '+')) as [[string, string[]]];
  expect(JSON.parse(fields[1] ?? '')).toMatchObject({
    type: 'attempt.finished',
    payload: { subtask_id: 'build', outcome: 'lost', code: 'NO_RUNTIME' },
  });
});

test('a message that does not fit its schema still ends the attempt that it names, and ends no board', async () => {
  const fabric = testFabric();
  const worker = await fabric.open('worker-agent');
  const manager = await fabric.open('project-manager');
  consumeAll(worker, 'worker-agent');
  const ofSubtask = { task_id: 'half-1', subtask_id: 'build', attempt: 2, agent_id: 'builder' };
  const send = (service: 'worker-agent' | 'project-manager', type: string, payload: object) =>
    fabric.redis.xadd(worker.keys.inbox(service, 'NORMAL'), '*', 'm', JSON.stringify({ type, payload }));
  await send('worker-agent', 'subtask.dispatched', { ...ofSubtask, kind: 'poem' });
  const inbox = worker.keys.inbox('project-manager', 'NORMAL');
  await eventually('the project manager is told', async () => (await fabric.redis.xlen(inbox)) === 1);
  const [[, fields]] = (await fabric.redis.xrange(inbox, '-', '+')) as [[string, string[]]];
  expect(JSON.parse(fields[1] ?? '')).toMatchObject({
    type: 'attempt.finished',
    payload: { ...ofSubtask, outcome: 'lost', code: 'MESSAGE_INVALID' },
  });
  consumeAll(manager, 'project-manager');
  await send('project-manager', 'verdict.reached', { ...ofSubtask, verdict: 'splendid' });
  await eventually('both are dead letters', async () => (await manager.counts()).dead === 2);
  expect(await fabric.redis.xlen(worker.keys.inbox('orchestrator', 'NORMAL'))).toBe(0);
});

test('rule 5: what is given back is taken by another process, and counts no attempt', async () => {
  const fabric = testFabric();
  const [first, second] = [await fabric.open('finalizer'), await fabric.open('finalizer')];
  consumeAll(first, 'finalizer', {
    mode: 'take',
    slots: 1,
    work: async (_message, tools) => {
      await untilAborted(tools.signal);
      return giveBack('shutdown');
    },
  });
  await first.publish(discard('given'));
  await eventually('it runs', () => first.busy() === 1);
  await first.close(0);
  const inbox = first.keys.inbox('finalizer', 'NORMAL');
  const [row] = (await fabric.redis.xpending(inbox, 'finalizer', '-', '+', 1)) as [string, string, number, number][];
  expect([row?.[1], row?.[3]]).toEqual(['nobody', 1]);
  const attempts: number[] = [];
  consumeAll(second, 'finalizer', {
    mode: 'take',
    slots: 1,
    work: (message) => {
      attempts.push(message.attempt);
      return done();
    },
  });
  await eventually('the other took it', () => attempts.length === 1);
  expect(attempts).toEqual([1]);
});

test('rule 7: take fills exactly the free slots, highest priority first', async () => {
  const fabric = testFabric();
  const bus = await fabric.open('finalizer');
  for (const priority of ['LOW', 'NORMAL', 'HIGH', 'CRITICAL'] as const)
    await bus.publish({ ...discard(`p-${priority.toLowerCase()}`), priority });
  const order: string[] = [];
  const gate = deferred();
  consumeAll(bus, 'finalizer', {
    mode: 'take',
    slots: 2,
    work: async (message) => {
      order.push(message.priority);
      await gate.promise;
      return done();
    },
  });
  await eventually('two run', () => order.length === 2);
  expect(order).toEqual(['CRITICAL', 'HIGH']);
  expect((await bus.counts()).inboxes.finalizer).toEqual({ waiting: 2, held: 2 });
  gate.resolve();
  await eventually('all ran', () => order.length === 4);
});

test('the same Idempotency-Key publishes once and gives back what was remembered', async () => {
  const fabric = testFabric();
  const bus = await fabric.open('gateway', { observer: true });
  const draft = { ...deletion('idem'), idempotencyKey: 'k1', remember: 'task idem', accept: true };
  const [first, second] = [await bus.publish(draft), await bus.publish(draft)];
  expect(first.duplicate).toBe(false);
  expect(second).toMatchObject({ duplicate: true, stored: 'task idem' });
  expect(await fabric.redis.xlen(bus.keys.inbox('orchestrator', 'NORMAL'))).toBe(1);
  expect(await bus.accepted('idem')).toBe(true);
  expect(await bus.accepted('other')).toBe(false);
});

test('the edge refuses what is too much, and says how much there is', async () => {
  const fabric = testFabric();
  const bus = await fabric.open('gateway', { observer: true });
  for (const task of ['one', 'two']) await bus.publish({ ...deletion(`full-${task}`), tasksMax: 2 });
  await expect(bus.publish({ ...deletion('full-three'), tasksMax: 2 })).rejects.toMatchObject({ code: 'BUS_FULL' });
});

test('a payload beyond 64 kB is refused at the edge', async () => {
  const fabric = testFabric();
  const bus = await fabric.open('gateway', { observer: true });
  const draft = {
    type: 'task.submitted' as const,
    payload: { request_key: 'x'.repeat(70_000) },
    thread: 'big',
    actor: 'test',
  };
  await expect(bus.publish(draft)).rejects.toMatchObject({ code: 'MESSAGE_TOO_LARGE' });
});

test('an event told live can be followed, and an observer can resume where it was', async () => {
  const fabric = testFabric();
  const bus = await fabric.open('orchestrator');
  const ending = new AbortController();
  const seen: string[] = [];
  let last = '';
  const following = (async () => {
    for await (const entry of bus.follow({ after: '0-0', signal: ending.signal })) {
      if (entry.kind === 'event') seen.push((entry.body as { text: string }).text);
      last = entry.id;
    }
  })();
  bus.tell({ event: 'agent.note', task_id: 'live', text: 'one' });
  bus.tell({ event: 'agent.note', task_id: 'live', text: 'two' });
  await eventually('both were seen', () => seen.length === 2);
  ending.abort();
  await following;
  expect(seen).toEqual(['one', 'two']);
  bus.tell({ event: 'agent.note', task_id: 'live', text: 'three' });
  const again = new AbortController();
  for await (const entry of bus.follow({ after: last, signal: again.signal })) {
    expect((entry.body as { text: string }).text).toBe('three');
    again.abort();
  }
});
