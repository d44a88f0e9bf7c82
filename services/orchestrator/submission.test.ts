import { keysOf, type Message, makeEnvelope } from '@nexus/shared/bus';
import { describe, expect, test } from 'vitest';
import { namedTaskId, requestKeyOf, submissionOf } from './submission.ts';

const keys = keysOf('{test}');
const from = { service: 'gateway' as const, instance_id: 'gateway-1' };
const message = (payload: object, thread = ''): Message<'task.submitted'> =>
  makeEnvelope('task.submitted', payload, { from, thread, actor: 'test', messageId: 'm-1' });
/** Reads as the handler does, with what lies under each key. */
const read = (payload: object, texts: Record<string, string> = {}) => {
  const key = requestKeyOf(message(payload), keys);
  return submissionOf(message(payload), key === null ? null : (texts[key] ?? null));
};
const invalid = (problem: RegExp) =>
  expect.objectContaining({ code: 'MESSAGE_INVALID', message: expect.stringMatching(problem) });

describe('what a person asked for', () => {
  test('may be plain text', () => {
    const { request } = read({ request: 'Add an export' });
    expect(request).toEqual({ request: 'Add an export' });
  });

  test('may be a whole request', () => {
    const { request } = read({ request: { request: 'Add an export', priority: 'medium' } });
    expect(request).toEqual({ request: 'Add an export', priority: 'NORMAL' });
  });

  test('may lie beside the message', () => {
    const key = keys.request('my-task');
    const texts = { [key]: '{"request":"Add an export","mode":"sequential"}' };
    const { taskId, request } = read({ task_id: 'my-task', request_key: key }, texts);
    expect({ taskId, request }).toEqual({
      taskId: 'my-task',
      request: { request: 'Add an export', mode: 'sequential' },
    });
  });

  test.each([
    [{}, {}, /request: is missing/],
    [{ request: '   ' }, {}, /request: is empty/],
    [{ request_key: '{test}:request:other', task_id: 'mine' }, {}, /is not the key of this task/],
    [{ request_key: '{test}:request:mine' }, {}, /is not the key of this task/],
    [{ request_key: '{test}:request:mine', task_id: 'mine' }, {}, /nothing lies under/],
    [{ request_key: '{test}:request:mine', task_id: 'mine' }, { '{test}:request:mine': '{' }, /not JSON/],
    [{ request_key: '{test}:request:mine', task_id: 'mine' }, { '{test}:request:mine': '{"a":1}' }, /request: /],
  ])('is refused where it cannot be read: %j', (payload, texts, problem) => {
    expect(() => read(payload, texts as Record<string, string>)).toThrow(invalid(problem));
  });
});

describe('the id of the task', () => {
  test('is the one in the payload, else the thread, where that can be an id', () => {
    expect(namedTaskId(message({ task_id: 'one' }, 'two'))).toBe('one');
    expect(namedTaskId(message({}, 'two'))).toBe('two');
    expect(namedTaskId(message({}, 'My Thread'))).toBeNull();
    expect(namedTaskId(message({}))).toBeNull();
  });

  test('is otherwise made from the request and the message, the same at every delivery', () => {
    const first = read({ request: 'Add an export' });
    expect(first.taskId).toMatch(/^add-an-export-[0-9a-z]{6}$/);
    expect(read({ request: 'Add an export' })).toEqual(first);
  });
});
