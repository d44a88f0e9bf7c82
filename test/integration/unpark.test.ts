/** What is parked for a task goes when nobody waits for it any more, not when it rings. */
import { done, type FollowUp, followUp, type Message } from '@nexus/shared/bus';
import { openCatalog } from '@nexus/shared/catalog';
import { readTask } from '@nexus/shared/ledger';
import { expect, test } from 'vitest';
import { service } from '../../services/orchestrator/main.ts';
import { eventually } from '../tools/eventually.ts';
import { consumeAll, deletion } from '../tools/messages.ts';
import { testFabric } from '../tools/redis.ts';

const day = 86_400_000;
const tools = { catalog: await openCatalog(), patience: { plansMax: 0, personTimeoutMs: 7 * day }, retentionMs: day };
const base_commit = 'b'.repeat(40);

/** An orchestrator, and others who prepare the repository and then only listen. */
const play = async () => {
  const fabric = testFabric();
  const bus = await fabric.open('orchestrator');
  bus.consume({ mode: 'stream', slots: 8, handlers: service.handlers, tools });
  const answer = ({ type, payload }: Message): FollowUp[] => {
    const { task_id } = payload as { task_id: string };
    const prepared = { task_id, base_commit, warnings: [], code: null, says: '' };
    return type === 'repository.requested' ? [followUp('repository.prepared', prepared)] : [];
  };
  for (const other of ['finalizer', 'project-manager'] as const)
    consumeAll(await fabric.open(other), other, { work: (message) => done({ publish: answer(message as Message) }) });
  const parked = async () => {
    const { keys, store } = bus;
    const texts = Object.values(await store.readHash(keys.parked)).map((text) => text.slice(text.indexOf(' ')));
    const due = await store.readIndex(keys.due);
    expect(due).toHaveLength(texts.length);
    return texts.map((text) => JSON.parse(text).type).sort();
  };
  const status = async (id: string) => (await readTask(bus.store, bus.keys, id))?.head.status;
  return { fabric, bus, parked, status };
};

test('a task that was answered, cancelled and deleted leaves nothing in the park, and no key', async () => {
  const { fabric, bus, parked, status } = await play();
  const task_id = 'shop-abc123';
  const of = { thread: task_id, actor: 'test' };
  const is = (wanted: string) => eventually(`it is ${wanted}`, async () => (await status(task_id)) === wanted);
  const lies = (...types: string[]) =>
    eventually(`parked: ${types}`, async () => JSON.stringify(await parked()) === JSON.stringify(types));
  const deadline = new Date(Date.now() + 30 * day).toISOString();
  const submitted = { task_id, request: { request: 'A shop', deadline } };
  await bus.publish({ type: 'task.submitted', payload: submitted, ...of });
  await is('in_progress');
  await lies('deadline.reached');
  const raised = { task_id, subtask_id: 'build', number: 1, attempts: 5, plans: 0, may_plan: true };
  const about = { title: 'Build', goal: 'Build it.', reason: 'AGENT_FAILED: It failed.' };
  await bus.publish({ type: 'escalation.raised', payload: { ...raised, ...about }, ...of });
  await is('waiting_for_person');
  await lies('deadline.reached', 'patience.ended');
  const answered = { task_id, subtask_id: null, answer: 'retry' as const, note: '' };
  await bus.publish({ type: 'person.answered', payload: answered, ...of });
  await is('in_progress');
  await lies('deadline.reached');
  await bus.publish({ type: 'escalation.raised', payload: { ...raised, ...about, number: 2 }, ...of });
  await is('waiting_for_person');
  await bus.control.command('PAUSE_ALL', { task: task_id }, 'test');
  await bus.publish({ type: 'cancellation.requested', payload: { task_id, reason: 'No.' }, ...of });
  await is('cancelled');
  await lies();
  const { scopes, said } = await bus.control.read();
  expect({ scopes, said }).toEqual({ scopes: {}, said: {} });
  await fabric.redis.hset(bus.keys.controlSaid, `task:${task_id}`, '{}');
  await bus.publish(deletion(task_id));
  await eventually('it is gone', async () => (await status(task_id)) === undefined);
  const { prefix } = fabric.config;
  const left = (await fabric.redis.keys(`${prefix}:*`)).filter((key) => key.includes(task_id));
  expect(left).toEqual([]);
  expect(await fabric.redis.exists(bus.keys.parked, bus.keys.due, bus.keys.controlSaid)).toBe(0);
  // Of what was days away BullMQ holds nothing; its own bookkeeping has no number in its name.
  const jobs = (await fabric.redis.keys(`${prefix}:alarms:*`)).filter((key) => /:alarms:\d+$/.test(key));
  expect(jobs).toEqual([]);
});

test('a task that is deleted by an orchestrator that knew of no alarms still goes', async () => {
  const { bus, parked, status } = await play();
  const of = { thread: 'old-abc123', actor: 'test' };
  await bus.publish({ type: 'task.submitted', payload: { task_id: 'old-abc123', request: { request: 'Old' } }, ...of });
  await eventually('it is at work', async () => (await status('old-abc123')) === 'in_progress');
  expect((await readTask(bus.store, bus.keys, 'old-abc123'))?.head.alarms).toBeUndefined();
  await bus.publish({ type: 'cancellation.requested', payload: { task_id: 'old-abc123', reason: '' }, ...of });
  await bus.publish(deletion('old-abc123'));
  await eventually('it is gone', async () => (await status('old-abc123')) === undefined);
  expect(await parked()).toEqual([]);
});
