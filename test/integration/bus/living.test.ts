import { done, followUp } from '@nexus/shared/bus';
import { expect, test } from 'vitest';
import { deferred, eventually, untilAborted } from '../../tools/eventually.ts';
import { consumeAll, discard, dispatch, isRenewed, standing } from '../../tools/messages.ts';
import { testFabric } from '../../tools/redis.ts';

test('rule 20: work of a task that was deleted is refused at its beginning, and nothing is told of it', async () => {
  const fabric = testFabric();
  const bus = await fabric.open('worker-agent');
  const codes: string[] = [];
  consumeAll(bus, 'worker-agent', {
    mode: 'take',
    slots: 1,
    work: async (_message, tools) => {
      await tools.begin().catch((error: Error & { code: string }) => {
        codes.push(`${error.code} ${error.message}`);
        throw error;
      });
      return done();
    },
  });
  await bus.publish(dispatch('deleted-before'));
  await eventually('it was refused', () => codes.length === 1);
  await eventually('it is settled', async () => (await bus.counts()).inboxes['worker-agent']?.held === 0);
  expect(codes).toEqual(['TASK_ENDED Task deleted-before has already ended: deleted.']);
  expect(await bus.counts()).toMatchObject({ dead: 0, parked: 0 });
  expect(await fabric.redis.exists(bus.keys.inbox('project-manager', 'NORMAL'))).toBe(0);
});

test('rule 20: what runs for a task that is deleted meanwhile is aborted by the next renewal', async () => {
  const fabric = testFabric();
  const bus = await fabric.open('worker-agent');
  const codes: string[] = [];
  consumeAll(bus, 'worker-agent', {
    mode: 'take',
    slots: 1,
    work: async (_message, tools) => {
      await tools.begin();
      await untilAborted(tools.signal);
      codes.push((tools.signal.reason as { code: string }).code);
      throw tools.signal.reason;
    },
  });
  await standing(fabric, 'deleted-meanwhile');
  await bus.publish(dispatch('deleted-meanwhile'));
  await eventually('it runs', () => bus.busy() === 1);
  await fabric.redis.del(bus.keys.task('deleted-meanwhile'));
  await eventually('it was aborted', () => codes.length === 1);
  expect(codes).toEqual(['TASK_ENDED']);
});

test('rule 20: nothing is asked of the task of other kinds, neither at the beginning nor later', async () => {
  const fabric = testFabric();
  const bus = await fabric.open('finalizer');
  const hold = deferred();
  const aborted: unknown[] = [];
  const handled = consumeAll(bus, 'finalizer', {
    mode: 'take',
    slots: 1,
    work: async (_message, tools) => {
      await tools.begin();
      tools.signal.addEventListener('abort', () => aborted.push(tools.signal.reason));
      await hold.promise;
      return done();
    },
  });
  await bus.publish(discard('nobody-knows'));
  await eventually('it runs', () => bus.busy() === 1);
  await isRenewed(fabric, bus.keys.inbox('finalizer', 'NORMAL'), 'finalizer');
  hold.resolve();
  await eventually('it is settled', () => handled.length === 1);
  expect(aborted).toEqual([]);
});

test('rule 20: a message says itself which task it is work for, whatever its thread is called', async () => {
  const fabric = testFabric();
  const bus = await fabric.open('worker-agent');
  const handled = consumeAll(bus, 'worker-agent', {
    mode: 'take',
    slots: 1,
    work: async (_message, tools) => {
      await tools.begin();
      return done();
    },
  });
  await standing(fabric, 'named-within');
  await bus.control.command('STOP_ALL', { task: 'a talk among people' }, 'test');
  await bus.publish({ ...dispatch('named-within'), thread: 'a talk among people' });
  await eventually('it was handled', () => handled.length === 1);
});

test('rule 20: work for a task that has ended is refused unless its kind is for such tasks, too', async () => {
  const fabric = testFabric();
  const bus = await fabric.open('finalizer');
  const began: string[] = [];
  consumeAll(bus, 'finalizer', {
    mode: 'take',
    slots: 1,
    work: async (message, tools) => {
      const { outcome } = message.payload as { outcome?: string };
      await tools.begin().then(
        () => began.push(`${outcome} begins`),
        (error: { code: string }) => began.push(`${outcome} ${error.code}`),
      );
      return done();
    },
  });
  await standing(fabric, 'it-failed', 'failed');
  const checks = { passed: 0, failed: 0, skipped: 0, broken: 0 };
  const payload = { task_id: 'it-failed', repository: null, commit: null, base_commit: null, checks, proven: false };
  for (const outcome of ['completed', 'failed'] as const)
    await bus.publish({
      type: 'release.requested',
      payload: { ...payload, outcome } as never,
      thread: 'it-failed',
      actor: 'test',
    });
  await eventually('both were asked', () => began.length === 2);
  expect(began).toEqual(['completed TASK_ENDED', 'failed begins']);
});

test('rule 9: where the journal holds something else, begin tells nobody, and nothing begins', async () => {
  const fabric = testFabric();
  const bus = await fabric.open('worker-agent');
  const codes: string[] = [];
  consumeAll(bus, 'worker-agent', {
    mode: 'take',
    slots: 1,
    work: async (_message, tools) => {
      await fabric.redis.set(bus.keys.journal, 'not a stream');
      const { task_id, subtask_id, attempt, agent_id } = dispatch('unjournalled').payload;
      const began = { task_id, subtask_id, attempt, agent_id, instance_id: 'me', began_at: new Date().toISOString() };
      await tools.begin([followUp('attempt.begun', began)]).catch((error: { code: string }) => codes.push(error.code));
      await fabric.redis.del(bus.keys.journal);
      return done();
    },
  });
  await standing(fabric, 'unjournalled');
  await bus.publish(dispatch('unjournalled'));
  await eventually('it was refused', () => codes.length === 1);
  expect(codes).toEqual(['BUS_KEY_TYPE']);
  expect(await fabric.redis.exists(bus.keys.inbox('project-manager', 'NORMAL'))).toBe(0);
});
