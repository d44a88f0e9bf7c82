import { openMeters } from '@nexus/shared/telemetry';
import { expect, test } from 'vitest';
import { eventually } from '../../tools/eventually.ts';
import { consumeAll, deletion } from '../../tools/messages.ts';
import { testFabric } from '../../tools/redis.ts';

const broken: [string, string, string][] = [
  ['that is not JSON', '{"type": "deletion', 'MESSAGE_MALFORMED'],
  ['that is no object', '[1, 2]', 'MESSAGE_MALFORMED'],
  ['of an unknown type', '{"type": "task.exploded", "payload": {}}', 'MESSAGE_UNKNOWN'],
  ['of another service', '{"type": "hub.discarded", "payload": {"task_id": "abc"}}', 'MESSAGE_UNKNOWN'],
  [
    'of another protocol',
    '{"protocol_version": "9.0", "type": "deletion.requested", "payload": {"task_id": "abc"}}',
    'PROTOCOL_UNKNOWN',
  ],
  ['that fails its schema', '{"type": "deletion.requested", "payload": {"task_id": 7}}', 'MESSAGE_INVALID'],
  [
    'of an unknown priority',
    '{"type": "deletion.requested", "priority": "soon", "payload": {"task_id": "abc"}}',
    'MESSAGE_MALFORMED',
  ],
];

test.each(broken)(
  'a message %s becomes a dead letter with the reason, and the consumer lives on',
  async (_what, text, code) => {
    const fabric = testFabric();
    const bus = await fabric.open('orchestrator');
    const handled = consumeAll(bus, 'orchestrator');
    const inbox = bus.keys.inbox('orchestrator', 'NORMAL');
    await fabric.redis.xadd(inbox, '*', 'm', text);
    const letter = await eventually('it is dead', async () => (await bus.dead.list()).letters[0]);
    expect(letter.code).toBe(code);
    await bus.publish(deletion('lives-on'));
    await eventually('the consumer lives on', () => handled.length === 1);
    await eventually('nothing is left', async () => (await fabric.redis.xlen(inbox)) === 0);
  },
);

test('an entry without the field m is a dead letter, too', async () => {
  const fabric = testFabric();
  const bus = await fabric.open('orchestrator');
  consumeAll(bus, 'orchestrator');
  await fabric.redis.xadd(bus.keys.inbox('orchestrator', 'NORMAL'), '*', 'text', 'hello');
  const letter = await eventually('it is dead', async () => (await bus.dead.list()).letters[0]);
  expect(letter.code).toBe('MESSAGE_MALFORMED');
  expect(letter.says).toContain('no field "m"');
  expect(JSON.stringify(letter.envelope.payload)).toContain('hello');
});

test('fields of a request that stand beside it are refused with where they belong; a wrong one is named', async () => {
  const fabric = testFabric();
  const bus = await fabric.open('orchestrator');
  const handled = consumeAll(bus, 'orchestrator');
  const inbox = bus.keys.inbox('orchestrator', 'NORMAL');
  const write = (payload: unknown) =>
    fabric.redis.xadd(inbox, '*', 'm', JSON.stringify({ type: 'task.submitted', payload }));
  await write({ request: 'x', repository: '/nope', workflow: 'nope' });
  await write({ request: { request: 'x', priority: 'zz' } });
  const { letters } = await eventually('both are dead', async () => {
    const listed = await bus.dead.list();
    return listed.total === 2 && listed;
  });
  const says = letters.map((letter) => letter.says).join('\n');
  expect(says).toContain('repository, workflow. The fields of a request go inside it');
  expect(says).toContain('request.priority');
  expect(handled).toEqual([]);
});

test.each([{ version: '2.0' }, { version: 9 }, { protocol_version: '0.9' }])(
  'PROTOCOL_UNKNOWN: a message by hand that says %o is a dead letter with the reason',
  async (written) => {
    const fabric = testFabric();
    const bus = await fabric.open('orchestrator');
    const handled = consumeAll(bus, 'orchestrator');
    const write = (more: object) => {
      const message = { type: 'deletion.requested', payload: { task_id: 'by-hand' }, ...more };
      return fabric.redis.xadd(bus.keys.inbox('orchestrator', 'NORMAL'), '*', 'm', JSON.stringify(message));
    };
    await write(written);
    const letter = await eventually('it is dead', async () => (await bus.dead.list()).letters[0]);
    expect(letter).toMatchObject({
      code: 'PROTOCOL_UNKNOWN',
      says: expect.stringContaining(String(Object.values(written)[0])),
    });
    for (const ours of [{ version: '1.0' }, { version: 1 }, { protocol_version: 1.0 }]) await write(ours);
    await eventually('ours are handled', () => handled.length === 3);
    expect((await bus.dead.list()).total).toBe(1);
  },
);

test('what dies after its retries is measured as dead', async () => {
  const fabric = testFabric();
  const meters = openMeters('orchestrator');
  const bus = await fabric.open('orchestrator', { meters });
  consumeAll(bus, 'orchestrator', {
    work: () => {
      throw new Error('always');
    },
  });
  await bus.publish(deletion('always-failing'));
  await eventually('it is dead', async () => (await bus.dead.list()).total === 1);
  const page = await meters.page();
  expect(page).toMatch(/nexus_messages_total\{type="deletion.requested",outcome="retry"\S*\} 3\n/);
  expect(page).toMatch(/nexus_messages_total\{type="deletion.requested",outcome="dead"\S*\} 1\n/);
});

test('a message written by hand with other field names reaches its handler', async () => {
  const fabric = testFabric();
  const bus = await fabric.open('orchestrator');
  const seen: unknown[] = [];
  consumeAll(bus, 'orchestrator', {
    work: (message) => {
      seen.push(message);
      throw new Error('seen');
    },
  });
  const written = {
    message_type: 'deletion.requested',
    from_agent: 'aria_coordinator',
    to_agent: 'nexus_prime',
    priority: 'medium',
    response_expected: false,
    timeout_seconds: 30,
    payload: { task_id: 'by-hand' },
  };
  await fabric.redis.xadd(bus.keys.inbox('orchestrator', 'NORMAL'), '*', 'm', JSON.stringify(written));
  await eventually('it arrived', () => seen.length > 0);
  expect(seen[0]).toMatchObject({
    type: 'deletion.requested',
    priority: 'NORMAL',
    requires_ack: false,
    timeout_ms: 30_000,
    conversation_thread: 'by-hand',
    from: { service: 'person', agent_id: 'aria_coordinator' },
  });
});

test('a dead letter is listed, shown, replayed once, and dropped', async () => {
  const fabric = testFabric();
  const bus = await fabric.open('orchestrator');
  const { message_id } = await bus.publish(deletion('letter-one'));
  const inbox = bus.keys.inbox('orchestrator', 'NORMAL');
  let broken = true;
  const handled = consumeAll(bus, 'orchestrator', {
    work: async (message) => {
      const { fail } = await import('@nexus/shared/errors');
      if (broken) throw fail('PLAN_INVALID', { problem: 'a cycle: a → b → a' });
      expect(message.history?.at(-1)?.code).toBe('PLAN_INVALID');
      return { is: 'done', publish: [], write: [] };
    },
  });
  const letter = await eventually('it is dead', async () => (await bus.dead.list()).letters[0]);
  expect(letter).toMatchObject({ id: message_id, code: 'PLAN_INVALID', operator: expect.stringContaining('twice') });
  expect((await bus.dead.show(message_id)).envelope.payload).toEqual({ task_id: 'letter-one' });
  broken = false;
  await bus.dead.replay(message_id, 'test');
  await eventually('it is handled', () => handled.length === 1);
  await expect(bus.dead.replay(message_id, 'test')).rejects.toMatchObject({ code: 'LETTER_DECIDED' });
  await expect(bus.dead.drop(message_id, 'test')).rejects.toMatchObject({ code: 'LETTER_DECIDED' });
  await fabric.redis.xadd(inbox, '*', 'm', 'not json');
  const second = await eventually('the other is dead', async () => (await bus.dead.list()).letters[0]);
  await expect(bus.dead.replay(second.id, 'test')).rejects.toMatchObject({ code: 'LETTER_UNREADABLE' });
  await bus.dead.drop(second.id, 'test');
  expect((await bus.dead.list()).total).toBe(0);
});
