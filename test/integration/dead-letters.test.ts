/** Dead letters on a real fabric: what is kept of them, and what may be decided about one, or about many. */
import { AppError } from '@nexus/shared/errors';
import { expect, test } from 'vitest';
import { eventually } from '../tools/eventually.ts';
import { consumeAll, deletion, discard, dispatch } from '../tools/messages.ts';
import { startRedis, type TestFabric, testFabric } from '../tools/redis.ts';

/** A letter as a service leaves it behind, without waiting for its retries. */
const die = async (fabric: TestFabric, over: { id?: string; code?: string; envelope?: object; ago?: number } = {}) => {
  const bus = await fabric.open('gateway', { observer: true });
  const { id = `letter-${Math.random().toString(36).slice(2)}`, code = 'PLAN_INVALID', ago = 0 } = over;
  const draft = deletion('some-task');
  const letter = {
    id,
    died_at: new Date(Date.now() - ago).toISOString(),
    service: 'orchestrator',
    instance_id: 'orchestrator-x',
    code,
    says: 'It could not be.',
    causes: ['Error: deep'],
    operator: 'Mend it.',
    envelope: {
      protocol_version: '1.0',
      message_id: id,
      timestamp: new Date().toISOString(),
      type: draft.type,
      from: { service: 'gateway' },
      to: { service: 'orchestrator' },
      actor: 'test',
      priority: 'NORMAL',
      conversation_thread: draft.thread,
      requires_ack: true,
      timeout_ms: 1000,
      attempt: 4,
      traceparent: '00-11111111111111111111111111111111-2222222222222222-01',
      payload: draft.payload,
      ...over.envelope,
    },
  };
  await fabric.redis.hset(bus.keys.dead, id, JSON.stringify(letter));
  await fabric.redis.zadd(bus.keys.deadOrder, Date.now() - ago, id);
  return { bus, id, inbox: bus.keys.inbox('orchestrator', 'NORMAL') };
};

const sentTo = async (fabric: TestFabric, inbox: string) =>
  (await fabric.redis.xrange(inbox, '-', '+')).map(([entry, fields]) => ({ entry, ...JSON.parse(fields[1] ?? '') }));

const refusal = async (work: Promise<unknown>): Promise<AppError> => {
  const thrown = await work.then(
    (answer) => answer,
    (error: unknown) => error,
  );
  expect(thrown).toBeInstanceOf(AppError);
  return thrown as AppError;
};

test('a replay keeps the history, counts the attempts on, and begins its retries anew', async () => {
  const fabric = testFabric();
  const bus = await fabric.open('orchestrator');
  let broken = true;
  const seen: number[] = [];
  const handled = consumeAll(bus, 'orchestrator', {
    work: (message) => {
      seen.push(message.attempt);
      if (broken) throw new Error('not yet');
      expect(message.history?.map(({ code }) => code)).toContain('RETRIES_EXHAUSTED');
      return { is: 'done', publish: [], write: [] };
    },
  });
  const { message_id } = await bus.publish(deletion('on-and-on'));
  const first = await eventually('it is dead', async () => (await bus.dead.list()).letters[0]);
  expect(seen).toEqual([1, 2, 3, 4]);
  expect(first.envelope.history).toHaveLength(3);
  await bus.dead.replay(message_id, 'me');
  const second = await eventually('it is dead again', async () => (await bus.dead.list()).letters[0]);
  expect(seen).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
  expect(second.envelope).toMatchObject({ attempt: 8, replayed: { times: 1, by: 'me', after_attempt: 4 } });
  expect(second.envelope.history).toHaveLength(7);
  broken = false;
  await bus.dead.replay(message_id, 'me');
  await eventually('it is handled', () => handled.length === 1);
  expect(seen.at(-1)).toBe(9);
});

test('the history of a letter that dies again and again is bounded', async () => {
  const fabric = testFabric();
  const past = { at: 'then', instance_id: 'x', code: 'UNEXPECTED', says: 'no' };
  const { bus, id, inbox } = await die(fabric, { envelope: { attempt: 60, history: Array(20).fill(past) } });
  await bus.dead.replay(id, 'me');
  const [sent] = await sentTo(fabric, inbox);
  expect(sent.attempt).toBe(61);
  expect(sent.history).toHaveLength(20);
  expect(sent.history.at(-1)).toMatchObject({ code: 'PLAN_INVALID', instance_id: 'orchestrator-x' });
});

test('a letter that was replayed already says when, by whom and as which message; nothing is sent twice', async () => {
  const fabric = testFabric();
  const { bus, id, inbox } = await die(fabric);
  const other = await fabric.open('gateway', { observer: true });
  const both = await Promise.allSettled([bus.dead.replay(id, 'one'), other.dead.replay(id, 'two')]);
  expect(both.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
  const sent = await sentTo(fabric, inbox);
  expect(sent).toHaveLength(1);
  const again = await refusal(bus.dead.replay(id, 'three'));
  expect(again.code).toBe('LETTER_DECIDED');
  expect(again.message).toMatch(/was replayed already, at 20\d\d-\S+ by (one|two), as message/);
  expect(again.message).toContain(sent[0].entry);
  expect((await refusal(bus.dead.drop(id, 'three'))).code).toBe('LETTER_DECIDED');
  expect((await refusal(bus.dead.show(id))).code).toBe('LETTER_DECIDED');
  expect(await fabric.redis.ttl(bus.keys.decided(id))).toBeGreaterThan(6 * 86_400);
  expect(await refusal(bus.dead.show('never-was'))).toMatchObject({ code: 'LETTER_UNKNOWN' });
});

test('an edit can mend what is wrong, not what comes too late, nor what nobody can read', async () => {
  const fabric = testFabric();
  const mendable = async (envelope: object) => {
    const { bus, id } = await die(fabric, { envelope });
    return bus.dead.mendable(await bus.dead.show(id));
  };
  const { bus, id } = await die(fabric);
  expect(await bus.dead.mendable(await bus.dead.show(id))).toBe(false);
  expect(await mendable({ protocol_version: '9' })).toBe(true);
  expect(await mendable({ payload: {} })).toBe(true);
  await fabric.redis.hset(bus.keys.task('some-task'), 'status', 'completed');
  expect(await mendable({ payload: { task_id: 'some-task', more: 1 }, protocol_version: '9' })).toBe(false);
  await fabric.redis.hset(bus.keys.dead, 'by-hand', 'a note');
  expect(await bus.dead.mendable(await bus.dead.show('by-hand'))).toBe(false);
});

test('who cuts the id of a decided letter short is told so, too, and of each where several begin so', async () => {
  const fabric = testFabric();
  const { bus } = await die(fabric, { id: '0198c1d2-aa' });
  await die(fabric, { id: '0198c1d2-ab' });
  await bus.dead.drop('0198c1d2-aa', 'me');
  const told = await refusal(bus.dead.replay('0198c1d2', 'me'));
  expect(told).toMatchObject({ code: 'LETTER_DECIDED', message: expect.stringContaining('0198c1d2-aa was dropped') });
  await bus.dead.drop('0198c1d2-ab', 'me');
  const several = await refusal(bus.dead.replay('0198c1d2', 'me'));
  expect(several.code).toBe('LETTER_AMBIGUOUS');
  expect(several.message).toMatch(/^2 dead .* 0198c1d2-aa \(dropped at 20\S+ by me\), 0198c1d2-ab \(dropped at 20/);
  expect((await refusal(bus.dead.show('0198'))).code).toBe('LETTER_AMBIGUOUS');
  expect(await refusal(bus.dead.replay('0198c1d*', 'me'))).toMatchObject({ code: 'LETTER_UNKNOWN' });
});

test('what was decided before does not stand in the way of a letter that died again', async () => {
  const fabric = testFabric();
  const { bus, id } = await die(fabric);
  await bus.dead.drop(id, 'me');
  expect((await refusal(bus.dead.replay(id, 'me'))).message).toContain('was dropped already');
  await die(fabric, { id });
  expect((await bus.dead.replay(id, 'me')).what).toBe('replayed');
});

test('an edit merges or replaces, is written only if it fits, and keeps what died', async () => {
  const fabric = testFabric();
  const { bus, id, inbox } = await die(fabric, { envelope: { payload: { task_id: 7, extra: { a: 1, b: 2 } } } });
  const before = await fabric.redis.hget(bus.keys.dead, id);
  expect((await refusal(bus.dead.replay(id, 'me'))).code).toBe('LETTER_UNREADABLE');
  const { id: unknown } = await die(fabric, { envelope: { type: 'deletion.asked' } });
  expect((await refusal(bus.dead.replay(unknown, 'me'))).message).toMatch(
    /orchestrator handles: .*deletion\.requested/,
  );
  for (const [edit, says] of [
    [{ merge: { task_id: 'NOT GOOD' } }, /task_id: 3 to 64 lower-case/],
    [{ payload: {} }, /task_id: /],
    [{ type: 'task.exploded' }, /no message type "task.exploded"/],
    [{ payload: 'text' }, /expected object/],
  ] as const) {
    const refused = await refusal(bus.dead.edit(id, edit, 'me'));
    expect([refused.code, refused.message]).toEqual(['LETTER_EDIT_INVALID', expect.stringMatching(says)]);
    expect(await fabric.redis.hget(bus.keys.dead, id), 'nothing was changed').toBe(before);
  }
  const edited = await bus.dead.edit(id, { merge: { task_id: 'mended', extra: null } }, 'me');
  expect(edited).toMatchObject({ edited: [{ by: 'me' }], original: { payload: { task_id: 7 } } });
  await bus.dead.edit(id, { payload: { task_id: 'mended-2' } }, 'you');
  expect((await bus.dead.show(id)).original).toMatchObject({ payload: { task_id: 7 } });
  await bus.dead.replay(id, 'me');
  const [sent] = await sentTo(fabric, inbox);
  expect(sent).toMatchObject({ message_id: id, payload: { task_id: 'mended-2' } });
});

test('what was not even JSON can be mended by an edit, and goes to the service of its type', async () => {
  const fabric = testFabric();
  const bus = await fabric.open('orchestrator');
  consumeAll(bus, 'orchestrator');
  await fabric.redis.xadd(bus.keys.inbox('orchestrator', 'NORMAL'), '*', 'm', 'not json');
  const letter = await eventually('it is dead', async () => (await bus.dead.list()).letters[0]);
  await bus.dead.edit(letter.id, { type: 'hub.discarded', payload: { task_id: 'mended' }, priority: 'HIGH' }, 'me');
  await bus.dead.replay(letter.id, 'me');
  const [sent] = await sentTo(fabric, bus.keys.inbox('finalizer', 'HIGH'));
  expect(sent).toMatchObject({ type: 'hub.discarded', conversation_thread: 'mended', to: { service: 'finalizer' } });
});

test('of two who decide at the same time the second is told that the letter has changed', async () => {
  const fabric = testFabric();
  const { bus, id } = await die(fabric);
  const edits = ['a', 'b'].map((name) => bus.dead.edit(id, { merge: { task_id: `task-${name}` } }, name));
  const results = await Promise.allSettled(edits);
  const refused = results.filter((one) => one.status === 'rejected');
  expect(refused.map(({ reason }) => reason.code)).toEqual(['LETTER_CHANGED']);
});

const late: [string, { status?: string; part?: object }, RegExp][] = [
  ['of a deleted task', {}, /task gone-task was deleted/],
  ['of a task that has ended', { status: 'completed' }, /task gone-task is completed/],
  [
    'of a subtask that has ended',
    { status: 'in_progress', part: { state: 'merged', attempt: 1 } },
    /subtask build of gone-task is merged/,
  ],
  [
    'of an attempt that another followed',
    { status: 'in_progress', part: { state: 'working', attempt: 3 } },
    /is at attempt 3 already/,
  ],
  [
    'of a subtask that goes on by itself',
    { status: 'in_progress', part: { state: 'waiting_for_person', attempt: 1 } },
    /is waiting_for_person; it goes on with an attempt of its own/,
  ],
  ['of a subtask that a new plan took away', { status: 'in_progress' }, /is not there any more/],
];

test.each(late)('a letter %s is refused with the state, and stays', async (_what, { status, part }, says) => {
  const fabric = testFabric();
  const { type, thread, payload } = dispatch('gone-task');
  const { bus, id } = await die(fabric, { envelope: { type, conversation_thread: thread, payload } });
  const letter = { ...JSON.parse((await fabric.redis.hget(bus.keys.dead, id)) ?? ''), service: 'worker-agent' };
  await fabric.redis.hset(bus.keys.dead, id, JSON.stringify(letter));
  if (status !== undefined) await fabric.redis.hset(bus.keys.task('gone-task'), 'status', status);
  if (part !== undefined) await fabric.redis.hset(bus.keys.board('gone-task'), 's:build', JSON.stringify(part));
  const refused = await refusal(bus.dead.replay(id, 'me'));
  expect([refused.code, refused.entry.http]).toEqual(['LETTER_LATE', 409]);
  expect(refused.message).toMatch(says);
  expect(await bus.dead.refusal(await bus.dead.show(id))).toMatchObject({ code: 'LETTER_LATE' });
  expect(await fabric.redis.xlen(bus.keys.inbox('worker-agent', 'NORMAL'))).toBe(0);
  if (part === undefined) return;
  const live = { state: 'working', attempt: 1 };
  await fabric.redis.hset(bus.keys.board('gone-task'), 's:build', JSON.stringify(live));
  expect((await bus.dead.replay(id, 'me')).what).toBe('replayed');
});

test('the report of a task that came to no good end is work for after its end; that of a good one is not', async () => {
  const fabric = testFabric();
  const payload = { task_id: 'ended-task', repository: null, commit: null, base_commit: null, reason: null };
  const rest = { checks: { passed: 0, failed: 0, skipped: 0, broken: 0 }, proven: false };
  const letterOf = async (outcome: string) => {
    const envelope = { type: 'release.requested', payload: { ...payload, ...rest, outcome } };
    const { bus, id } = await die(fabric, { envelope });
    const letter = { ...JSON.parse((await fabric.redis.hget(bus.keys.dead, id)) ?? ''), service: 'finalizer' };
    await fabric.redis.hset(bus.keys.dead, id, JSON.stringify(letter));
    await fabric.redis.hset(bus.keys.task('ended-task'), 'status', outcome);
    return { bus, id };
  };
  const failed = await letterOf('failed');
  expect((await failed.bus.dead.replay(failed.id, 'me')).what).toBe('replayed');
  const again = await letterOf('failed');
  await fabric.redis.del(again.bus.keys.task('ended-task'));
  expect((await refusal(again.bus.dead.replay(again.id, 'me'))).message).toContain('was deleted');
});

test('what removes the remains of a task is replayed though the task is gone', async () => {
  const fabric = testFabric();
  const { type, thread, payload } = discard('gone-task');
  const { bus, id } = await die(fabric, { envelope: { type, conversation_thread: thread, payload } });
  const letter = { ...JSON.parse((await fabric.redis.hget(bus.keys.dead, id)) ?? ''), service: 'finalizer' };
  await fabric.redis.hset(bus.keys.dead, id, JSON.stringify(letter));
  expect((await bus.dead.replay(id, 'me')).entry).toMatch(/^\d+-\d+$/);
});

test('letters are found by code, type, task, service and age; every field has to fit', async () => {
  const fabric = testFabric();
  const { bus, id: old } = await die(fabric, { ago: 3_600_000 });
  const { id: other } = await die(fabric, { code: 'UNEXPECTED' });
  const { type, thread, payload } = discard('third-task');
  const { id: third } = await die(fabric, { envelope: { type, conversation_thread: thread, payload } });
  const found = async (filter: object) => (await bus.dead.list({ filter })).letters.map(({ id }) => id);
  expect(await found({})).toEqual([third, other, old]);
  expect(await found({ code: 'UNEXPECTED' })).toEqual([other]);
  expect(await found({ type: 'hub.discarded' })).toEqual([third]);
  expect(await found({ task: 'some-task' })).toEqual([other, old]);
  expect(await found({ task: 'some-task', code: 'PLAN_INVALID' })).toEqual([old]);
  expect(await found({ service: 'finalizer' })).toEqual([]);
  expect(await found({ olderThanMs: 60_000 })).toEqual([old]);
  expect(await bus.dead.list({ filter: { task: 'some-task' }, limit: 1, offset: 1 })).toMatchObject({
    letters: [{ id: old }],
    total: 2,
  });
});

test('a sweep goes on beyond what is refused, tells why, and stops at its limit', async () => {
  const fabric = testFabric();
  const { bus } = await die(fabric, { id: 'late', ago: 4000, envelope: dispatchOf('gone-task') });
  for (const id of ['a', 'b', 'c']) await die(fabric, { id, ago: 2000 - id.charCodeAt(0) });
  const swept = await bus.dead.sweep('replay', {}, 'me', 2);
  expect(swept).toMatchObject({ matched: 4, done: ['a', 'b'], refused_count: 1, left: 1 });
  expect(swept.refused).toMatchObject([{ id: 'late', code: 'LETTER_UNREADABLE' }]);
  expect(await bus.dead.sweep('drop', { code: 'PLAN_INVALID' }, 'me', 10)).toMatchObject({
    matched: 2,
    done: ['late', 'c'],
    left: 0,
  });
  expect((await bus.dead.list()).total).toBe(0);
});
const dispatchOf = (task: string) => ({ type: 'subtask.dispatched', payload: dispatch(task).payload });

test('a letter that somebody else wrote is shown as unreadable, and can be dropped', async () => {
  const fabric = testFabric();
  const bus = await fabric.open('gateway', { observer: true });
  await fabric.redis.hset(bus.keys.dead, 'strange', 'no JSON');
  await fabric.redis.zadd(bus.keys.deadOrder, 1, 'strange');
  const { letters } = await bus.dead.list();
  expect(letters).toMatchObject([
    { id: 'strange', code: 'LETTER_UNREADABLE', envelope: { payload: { text: 'no JSON' } } },
  ]);
  expect((await refusal(bus.dead.replay('strange', 'me'))).code).toBe('LETTER_UNREADABLE');
  await bus.dead.drop('strange', 'me');
  expect((await bus.dead.list()).total).toBe(0);
});

test('a letter can be dropped and replayed while Redis is full: that is how room is made', async () => {
  const server = await startRedis();
  const fabric = testFabric(server.url);
  const { bus, id } = await die(fabric);
  const { id: other } = await die(fabric);
  await fabric.redis.config('SET', 'maxmemory', '1');
  await expect(fabric.redis.set('more', 'no')).rejects.toThrow(/OOM/);
  await bus.dead.drop(id, 'me');
  await bus.dead.replay(other, 'me');
  expect((await bus.dead.list()).total).toBe(0);
  await fabric.redis.config('SET', 'maxmemory', '0');
});
