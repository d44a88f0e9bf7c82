import { strict as assert } from 'node:assert';
import { expect, test } from 'vitest';
import { causesOf, errorTable, fail, isFailure, toAppError } from './errors.ts';

test('the sentence of a code is filled with its details, which stay readable beside it', () => {
  const error = fail('BUS_FULL', { count: 7, countMax: 5 });
  expect(error.message).toBe('7 tasks are in flight; the limit is 5. Try again later.');
  expect(error).toMatchObject({ code: 'BUS_FULL', details: { count: 7, countMax: 5 }, entry: { http: 503 } });
});

test('whatever was thrown becomes one of ours: itself, UNEXPECTED, or BUG for a failed assertion', () => {
  const own = fail('TASK_UNKNOWN', { task: 'x' });
  expect(toAppError(own)).toBe(own);
  expect(toAppError('a text')).toMatchObject({ code: 'UNEXPECTED', message: 'Something unforeseen happened: a text' });
  let asserted: unknown;
  try {
    assert.equal(1, 2);
  } catch (error) {
    asserted = error;
  }
  expect(toAppError(asserted).code).toBe('BUG');
});

test('a chain of causes is told outermost first, and what nobody foresaw with the place where it came up', () => {
  const foreseen = fail('GIT_FAILED', { command: 'push', exit: 1, message: 'no' }, { cause: new Error('inner') });
  expect(causesOf(foreseen)).toEqual(['GIT_FAILED: `git push` ended with 1: no', 'Error: inner']);
  const unforeseen = causesOf(toAppError(new Error('surprise')));
  expect(unforeseen.slice(0, 2)).toEqual(['UNEXPECTED: Something unforeseen happened: surprise', 'Error: surprise']);
  expect(unforeseen[2]).toContain('errors.test.ts');
});

test('a failure is matched by code, never by text', () => {
  expect(isFailure(fail('BUG', { message: 'x' }), 'BUG', 'POISON')).toBe(true);
  expect(isFailure(new Error('BUG'), 'BUG')).toBe(false);
});

test('every code says something to a person, something to an operator, and has a status that fits', () => {
  for (const [code, entry] of errorTable()) {
    expect([code, entry.says.length > 10, entry.operator.length > 10]).toEqual([code, true, true]);
    expect([code, entry.http >= 400 && entry.http < 600]).toEqual([code, true]);
  }
});
