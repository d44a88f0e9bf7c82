/** Stop, pause, drain and resume over HTTP: what they hold, what is refused, and who said so. */
import { done } from '@nexus/shared/bus';
import { expect, test } from 'vitest';
import { eventually } from '../tools/eventually.ts';
import { refusal, serve, writeDown } from '../tools/live-gateway.ts';
import { consumeAll, dispatch, standing } from '../tools/messages.ts';

test('a resume of what is not held changes nothing, and says what is held', async () => {
  const { client, bus } = await serve();
  expect(await refusal(client.command('RESUME_ALL'))).toMatchObject({
    status: 409,
    code: 'CONTROL_IDLE',
    detail: 'There is nothing to resume: the fleet is not held. No part is held by itself.',
  });
  await client.command('PAUSE_ALL', { agent: 'builder' });
  const unheld = await refusal(client.command('RESUME_ALL', { agent: 'planner' }));
  expect(unheld).toMatchObject({ status: 409, code: 'CONTROL_IDLE' });
  expect(unheld.detail).toContain('agent planner is not held. Held by themselves: agent:builder (paused).');
  expect((await bus.control.read()).scopes).toEqual({ 'agent:builder': 'paused' });
  expect((await client.command('RESUME_ALL', { agent: 'builder' })).scopes).toEqual({});
  await client.command('DRAIN');
  expect((await client.command('RESUME_ALL')).state).toBe('running');
});

test('a target that does not exist is refused with those that do, and nothing is changed', async () => {
  const { client, bus, fabric } = await serve();
  expect(await refusal(client.command('STOP_ALL', { task: 'no-such-task' }))).toMatchObject({
    status: 404,
    code: 'TASK_UNKNOWN',
  });
  const agent = await refusal(client.command('STOP_ALL', { agent: 'nobody' }));
  expect(agent).toMatchObject({ status: 422, code: 'CONTROL_TARGET', problems: [{ field: 'scope' }] });
  expect(agent.detail).toMatch(/There is no agent "nobody", so nothing was changed\. There are: .*builder/);
  const instance = await refusal(client.command('DRAIN', { instance: 'worker-agent-gone' }));
  expect(instance.detail).toMatch(/There are: worker-agent-/);
  const service = await refusal(client.command('PAUSE_ALL', { service: 'coffee' as never }));
  expect(service.problems).toEqual([{ field: 'scope.service', says: expect.stringContaining('worker-agent') }]);
  const unknown = await refusal(client.command('STOP_ALL', { planet: 'earth' } as never));
  expect(unknown.problems?.[0]?.says).toMatch(/not known here; known are task, agent, service, instance/);
  const two = await refusal(client.command('STOP_ALL', { task: 'abc', agent: 'builder' }));
  expect(two.detail).toContain('exactly one of task, agent, service, instance');
  const word = await refusal(client.command('HALT' as never));
  expect(word.problems).toEqual([{ field: 'command', says: 'expected STOP_ALL, PAUSE_ALL, RESUME_ALL, DRAIN' }]);
  await writeDown(fabric, 'completed');
  const { task_id: task } = await client.submit({ request: 'Soon over' });
  await eventually('it is over', async () => (await client.task(task)).status === 'completed');
  expect(await refusal(client.command('STOP_ALL', { task }))).toMatchObject({ status: 409, code: 'TASK_ENDED' });
  expect(await bus.control.read()).toMatchObject({ epoch: 0, state: 'running', scopes: {} });
});

test('it is told of each part and of the fleet who held it, and since when', async () => {
  const { client, bus } = await serve();
  await bus.control.command('PAUSE_ALL', null, 'cli:ann');
  await client.command('STOP_ALL', { service: 'finalizer' });
  await client.command('STOP_ALL', { service: 'worker-agent' });
  const { control, instances } = await client.system();
  const states = [instances, (await client.control()).instances].map((all) => all.map(({ state }) => state));
  for (const one of states) expect(new Set(one)).toEqual(new Set(['stopped']));
  await client.command('RESUME_ALL', { service: 'worker-agent' });
  expect(control).toMatchObject({ state: 'paused', by: 'cli:ann', scopes: { 'service:finalizer': 'stopped' } });
  expect(control.said['service:finalizer']).toMatchObject({ by: 'token:admin', at: expect.stringMatching(/^20/) });
  await client.command('RESUME_ALL', { service: 'finalizer' });
  expect((await client.control()).said).toEqual({});
});

test('a word that changes nothing leaves who held it, and since when', async () => {
  const { client, bus } = await serve();
  await bus.control.command('STOP_ALL', null, 'cli:ann');
  await bus.control.command('STOP_ALL', { service: 'finalizer' }, 'cli:bob');
  const before = await bus.control.read();
  for (const word of ['PAUSE_ALL', 'DRAIN'] as const) {
    await client.command(word);
    await client.command(word, { service: 'finalizer' });
  }
  await client.command('STOP_ALL', { service: 'finalizer' });
  expect(await bus.control.read()).toEqual(before);
  // A second STOP outdates the words on their way, and the fleet is stopped since the first.
  await client.command('STOP_ALL');
  expect(await bus.control.read()).toEqual({ ...before, epoch: before.epoch + 1 });
});

test('rule 22: a paused task or agent begins nothing new, and goes on after its resume', async () => {
  const { client, fabric } = await serve({}, { worker: false });
  // Alarms ring where ledger handlers run.
  consumeAll(await fabric.open('orchestrator'), 'orchestrator');
  const worker = await fabric.open('worker-agent');
  const begun: string[] = [];
  consumeAll(worker, 'worker-agent', {
    mode: 'take',
    slots: 4,
    work: async (message, tools) => {
      await tools.begin();
      begun.push(message.conversation_thread);
      return done();
    },
  });
  await standing(fabric, 'held-task');
  await standing(fabric, 'free-task');
  await client.command('PAUSE_ALL', { agent: 'builder' });
  await worker.publish(dispatch('held-task'));
  await worker.publish(dispatch('free-task', { agent_id: 'tester' }));
  await eventually('what is not held begins', () => begun.includes('free-task'));
  await eventually('what is held waits for its time', async () => (await worker.counts()).parked === 1);
  expect(begun).toEqual(['free-task']);
  await client.command('RESUME_ALL', { agent: 'builder' });
  await eventually('it goes on', () => begun.includes('held-task'), 15_000);
});
