/** What a person decides over HTTP: dead letters, and tasks that wait for an answer. */
import { done } from '@nexus/shared/bus';
import { openClient } from '@nexus/shared/client';
import { writeBoard } from '@nexus/shared/ledger/write';
import { expect, test } from 'vitest';
import { eventually } from '../tools/eventually.ts';
import { refusal, type Served, serve, writeDown } from '../tools/live-gateway.ts';
import { consumeAll, discard, dispatch } from '../tools/messages.ts';
import { boardHeadOf, subtaskOf } from '../tools/task-head.ts';

/** Writes these onto the orchestrator's stream, and waits until each is a dead letter. */
const kill = async ({ fabric, bus }: Served, bodies: object[]): Promise<string[]> => {
  const orchestrator = await fabric.open('orchestrator');
  consumeAll(orchestrator, 'orchestrator');
  const before = (await bus.dead.list()).total;
  const inbox = bus.keys.inbox('orchestrator', 'NORMAL');
  for (const [at, body] of bodies.entries()) {
    await fabric.redis.xadd(inbox, '*', 'm', JSON.stringify({ message_id: `letter-${at}`, ...body }));
  }
  await eventually('all are dead', async () => (await bus.dead.list()).total === before + bodies.length);
  return bodies.map((_body, at) => `letter-${at}`);
};
const broken = { type: 'deletion.requested', payload: { task_id: 7 } };

test('a letter shows its message, code, causes, tries with times and instances, trace and age', async () => {
  const served = await serve();
  const traceparent = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`;
  const history = [{ at: '2026-01-01T00:00:00Z', instance_id: 'orchestrator-w', code: 'UNEXPECTED', says: 'no' }];
  const [id = ''] = await kill(served, [{ ...broken, traceparent, attempt: 2, history }]);
  const envelope = await served.bus.dead.show(id);
  await served.fabric.redis.hset(
    served.bus.keys.dead,
    id,
    JSON.stringify({ ...envelope, envelope: { ...envelope.envelope, history } }),
  );
  const letter = await served.client.deadLetter(id);
  expect(letter).toMatchObject({
    ...{ id, code: 'MESSAGE_INVALID', service: 'orchestrator', type: 'deletion.requested', attempts: 2 },
    ...{ trace_id: 'a'.repeat(32), replayable: false, edited: [], original: null },
    tries: [
      { attempt: 1, instance_id: 'orchestrator-w', code: 'UNEXPECTED' },
      { attempt: 2, instance_id: letter.instance_id, code: 'MESSAGE_INVALID', at: letter.at },
    ],
  });
  expect(letter.age_seconds).toBeLessThan(60);
  expect(letter.causes[0]).toContain('MESSAGE_INVALID');
  expect(letter.why_not).toContain('cannot be replayed as it is');
});

test('an edit that breaks the schema names path and expectation, and changes nothing', async () => {
  const served = await serve();
  const { client, fabric, bus } = served;
  const [id = ''] = await kill(served, [broken]);
  const before = await fabric.redis.hget(bus.keys.dead, id);
  const refused = await refusal(client.edit(id, { payload: { task_id: 8 } }));
  expect(refused).toMatchObject({ status: 422, code: 'LETTER_EDIT_INVALID' });
  expect(refused.problems).toEqual([{ field: 'payload.task_id', says: 'must be text' }]);
  const union = await refusal(client.edit(id, { type: 'task.submitted', payload: { request: { request: 7 } } }));
  expect(union.problems).toEqual([{ field: 'payload.request.request', says: 'must be text' }]);
  const kind = await refusal(client.edit(id, { type: 'task.exploded' }));
  expect(kind.problems?.[0]).toMatchObject({ field: 'type', says: expect.stringContaining('shared/MESSAGES.md') });
  expect((await refusal(client.edit(id, {}))).detail).toContain('the edit is empty');
  expect((await refusal(client.edit(id, { colour: 'red' } as never))).problems?.[0]?.field).toBe('colour');
  expect(await refusal(client.edit('nowhere', { merge: {} }))).toMatchObject({ status: 404, code: 'LETTER_UNKNOWN' });
  expect(await fabric.redis.hget(bus.keys.dead, id)).toBe(before);
  const edited = await client.edit(id, { merge: { task_id: 'mended-task' } });
  expect(edited).toMatchObject({ replayable: true, edited: [{ by: 'token:admin' }] });
});

test('a letter is replayed once; the second time says when and as which message', async () => {
  const served = await serve();
  const [id = ''] = await kill(served, [broken]);
  await served.client.edit(id, { payload: { task_id: 'mended-task' } });
  const answer = await served.client.replay(id);
  expect(answer).toMatchObject({ id, status: 'replayed', by: 'token:admin', message_id: id });
  const again = await refusal(served.client.replay(id));
  expect(again).toMatchObject({ status: 409, code: 'LETTER_DECIDED' });
  expect(again.detail).toContain(
    `was replayed already, at ${answer.at} by token:admin, as message ${id} in ${answer.entry}`,
  );
  expect(await refusal(served.client.replay('nowhere'))).toMatchObject({ status: 404, code: 'LETTER_UNKNOWN' });
});

test('many are decided by a filter or openly all, up to the limit, with what was refused and why', async () => {
  const served = await serve({ NEXUS_LETTERS_MAX: '3' });
  const { client } = served;
  await kill(served, [broken, { type: 'no.such', payload: {} }, ...Array.from({ length: 4 }, () => broken)]);
  expect((await client.deadLetters({ code: 'MESSAGE_UNKNOWN' })).dead_letters.map(({ type }) => type)).toEqual([
    'no.such',
  ]);
  expect((await client.deadLetters({ older_than: '1h' })).total).toBe(0);
  const replayed = await client.replayAll({ filter: { code: 'MESSAGE_UNKNOWN' } });
  expect(replayed).toMatchObject({ matched: 1, done: [], refused_count: 1, left: 0 });
  expect(replayed.refused).toMatchObject([{ id: 'letter-1', code: 'LETTER_UNREADABLE' }]);
  const dropped = await client.dropAll({ filter: { service: 'orchestrator', code: 'MESSAGE_INVALID' }, limit: 100 });
  expect(dropped).toMatchObject({ status: 'dropped', matched: 5, done: ['letter-0', 'letter-2', 'letter-3'], left: 2 });
  expect(await client.dropAll({ all: true })).toMatchObject({ matched: 3, refused_count: 0, left: 0 });
  expect((await client.deadLetters()).total).toBe(0);
});

test('a filter that names nothing, or what there is not, is refused, and nothing is done', async () => {
  const served = await serve();
  const { client } = served;
  await kill(served, [broken]);
  expect((await refusal(client.dropAll({}))).problems).toEqual([
    { field: 'filter', says: expect.stringContaining('"all": true') },
  ]);
  const unknown = await refusal(client.dropAll({ filter: { colour: 'red' } as never }));
  expect(unknown.problems?.[0]).toMatchObject({
    field: 'filter.colour',
    says: expect.stringMatching(/not known here; known are code, type, task, service, older_than/),
  });
  const asked = await refusal(client.deadLetters({ colour: 'red' } as never));
  expect(asked).toMatchObject({ status: 422, problems: [{ field: 'colour' }] });
  const age = await refusal(client.deadLetters({ older_than: 'long' }));
  expect(age.problems).toEqual([{ field: 'older_than', says: 'expected a duration such as 30s, 5m, 24h or 7d' }]);
  const service = await refusal(client.replayAll({ filter: { service: 'coffee' as never } }));
  expect(service.problems?.[0]?.field).toBe('filter.service');
  expect((await client.deadLetters()).total).toBe(1);
});

test('looking needs read, deciding operate, and throwing many away admin', async () => {
  const served = await serve({ NEXUS_TOKEN_READ: 'the-one-that-reads', NEXUS_TOKEN_OPERATE: 'the-one-that-operates' });
  const [id = ''] = await kill(served, [broken]);
  const reader = openClient({ url: served.url, token: 'the-one-that-reads' });
  const operator = openClient({ url: served.url, token: 'the-one-that-operates' });
  expect((await reader.deadLetters()).total).toBe(1);
  const refused = [
    reader.edit(id, { merge: {} }),
    reader.replay(id),
    reader.drop(id),
    reader.replayAll({ all: true }),
    reader.retry('some-task'),
    operator.dropAll({ all: true }),
    operator.command('STOP_ALL'),
  ];
  for (const one of await Promise.all(refused.map(refusal))) {
    expect(one).toMatchObject({ status: 403, code: 'FORBIDDEN' });
  }
  expect((await operator.replayAll({ all: true })).refused_count).toBe(1);
  expect((await operator.drop(id)).by).toBe('token:operate');
});

test('the letters of a task, and a hold on it, go when it is deleted', async () => {
  const served = await serve();
  const { client, fabric, bus } = served;
  await writeDown(fabric, 'failed');
  const { task_id } = await client.submit({ request: 'To be deleted' });
  await eventually('it has ended', async () => (await client.task(task_id)).status === 'failed');
  const finalizer = await fabric.open('finalizer');
  consumeAll(finalizer, 'finalizer', {
    mode: 'take',
    work: () => ({ is: 'dead', code: 'BUG', says: 'no', causes: [] }),
  });
  await bus.publish(discard(task_id));
  await bus.publish(discard('another-task'));
  await eventually('both died', async () => (await bus.dead.list()).total === 2);
  await bus.control.command('STOP_ALL', { task: task_id }, 'test');
  await bus.control.command('STOP_ALL', { task: 'another-task' }, 'test');
  await client.remove(task_id);
  expect((await client.control()).scopes).toEqual({ 'task:another-task': 'stopped' });
  expect((await client.deadLetters()).dead_letters.map((letter) => letter.task_id)).toEqual(['another-task']);
});

const waits = (subtask_id: string) => ({
  subtask_id,
  ...{ attempts: 4, number: 1, since: '2026-11-20T10:00:00.000Z', until: '2026-11-27T10:00:00.000Z' },
  reason: `It failed four times at ${subtask_id}.`,
});

test('a task that waits for a person shows why, is listed, and goes on after an answer', async () => {
  const { client, fabric, bus } = await serve();
  const waiting = { ...waits('page'), others: [waits('store')] };
  const kinds = await writeDown(fabric, 'waiting_for_person', { waiting } as object);
  const { task_id } = await client.submit({ request: 'Which column?' });
  await eventually('it waits', async () => (await client.task(task_id)).status === 'waiting_for_person');
  const shown = (await client.task(task_id)).waiting;
  expect(shown.map(({ subtask_id }) => subtask_id)).toEqual(['page', 'store']);
  expect(shown[0]).toMatchObject({ until: '2026-11-27T10:00:00.000Z', reason: 'It failed four times at page.' });
  expect((await client.tasks({ waiting: true })).tasks.map((task) => task.task_id)).toEqual([task_id]);
  expect((await client.system()).waiting).toMatchObject([{ task_id, title: 'Which column?', waiting: shown }]);

  expect(await refusal(client.retry(task_id, { subtask_id: 'api' }))).toMatchObject({
    status: 409,
    code: 'TASK_NOT_WAITING',
    detail: expect.stringContaining('subtask api does not wait'),
  });
  expect(await client.retry(task_id, { subtask_id: 'store', note: 'It is called total.' })).toEqual({
    task_id,
    status: 'retrying',
    subtasks: ['store'],
  });
  await eventually('the orchestrator was told', () => kinds.includes('person.answered'));
  const journal = await fabric.redis.xrange(bus.keys.journal, '-', '+');
  expect(JSON.stringify(journal)).toContain('It is called total.');
  expect((await client.retry(task_id)).subtasks).toEqual(['page', 'store']);
});

test('a retry of what waits for nobody is refused with its state', async () => {
  const { client, fabric } = await serve();
  const { task_id } = await client.submit({ request: 'Unread' });
  expect((await refusal(client.retry(task_id))).detail).toContain('it is accepted');
  await writeDown(fabric, 'completed');
  await eventually('it has ended', async () => (await client.task(task_id)).status === 'completed');
  expect(await refusal(client.retry(task_id))).toMatchObject({
    status: 409,
    code: 'TASK_NOT_WAITING',
    detail: `Task ${task_id} waits for nobody, so there is nothing to retry: it is completed.`,
  });
  expect(await refusal(client.retry('no-such-task'))).toMatchObject({ status: 404, code: 'TASK_UNKNOWN' });
  expect((await client.tasks({ waiting: true })).tasks).toEqual([]);
});

test('what is parked is shown with its task and its time', async () => {
  const { client, bus, fabric } = await serve();
  await bus.publish({ ...discard('parked-task'), delayMs: 60_000 });
  await fabric.redis.hset(bus.keys.parked, 'strange', 'no JSON at all');
  await fabric.redis.zadd(bus.keys.due, Date.now() + 1000, 'strange');
  const { parked, backlog } = await client.system();
  expect(backlog.parked).toBe(2);
  expect(parked).toMatchObject([{ type: 'hub.discarded', task_id: 'parked-task', subtask_id: null }]);
  expect(Date.parse(parked[0]?.until ?? '') - Date.now()).toBeGreaterThan(50_000);
});

test('an attempt that was put aside is shown as parked, until when and for what, with its task', async () => {
  const { client, bus, fabric } = await serve();
  await writeDown(fabric, 'in_progress');
  const { task_id: task } = await client.submit({ request: 'Do it' });
  await eventually('it is written down', async () => (await client.task(task)).status === 'in_progress');
  const working = subtaskOf('build', { title: 'The build', state: 'working', attempt: 1, instance_id: bus.instanceId });
  const head = boardHeadOf(task, { counts: { working: 1 }, total: 1 });
  const write = writeBoard(bus.keys, task, 0, { head, subtasks: [working] });
  consumeAll(await fabric.open('project-manager'), 'project-manager', { work: () => done({ write }) });
  await bus.publish({ type: 'board.discarded', payload: { task_id: task }, thread: task, actor: 'test' });
  await eventually('there is a board', async () => (await client.task(task)).subtasks.length === 1);
  await bus.publish({ ...dispatch(task), delayMs: 60_000 });
  // A message that waits for its time was not put aside for anything yet.
  expect((await client.task(task)).subtasks).toMatchObject([{ state: 'working', resume_at: null }]);
  const saved = { token: 't', attempt: 1, at: new Date().toISOString(), commit: null, step: 'waits', spent_ms: 0 };
  const waits = 'BUDGET_SPENT: The budget of today is spent.';
  const checkpoint = JSON.stringify({ ...saved, left: [], session: null, waits });
  await fabric.redis.hset(bus.keys.attempt(task, 'build'), { revision: '1', checkpoint });
  const until = (await client.system()).parked.find(({ subtask_id }) => subtask_id === 'build')?.until;
  const parked = [{ subtask_id: 'build', until, waits_for: waits }];
  const shown = await eventually('it is shown', async () => {
    const found = await client.task(task);
    return found.parked !== undefined && found;
  });
  expect(shown).toMatchObject({ parked, current_phase: 'parked: The build' });
  expect(shown.subtasks).toMatchObject([{ state: 'parked', resume_at: until, reason: waits }]);
  expect((await client.tasks({})).tasks).toMatchObject([{ task_id: task, parked }]);
  expect(await client.subtask(task, 'build')).toMatchObject({ state: 'parked', resume_at: until, reason: waits });
});
