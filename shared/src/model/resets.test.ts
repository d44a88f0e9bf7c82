/** The words in which providers and their programs tell when a used-up window opens again. */
import { expect, test } from 'vitest';
import { resetIn } from './resets.ts';

const now = Date.parse('2026-11-20T20:11:20Z');
const at = (text: string, zone = 'UTC', nowMs = now): string | null => {
  const found = resetIn(text, nowMs, zone);
  return found === null ? null : new Date(found).toISOString();
};

test.each([
  // As version 2.1.328 of the CLI of Claude Code prints them.
  ["You've hit your 5-hour limit · resets 10:11pm (UTC)", '2026-11-20T22:11:00.000Z'],
  ["You've hit your 5-hour limit · resets 11:11pm (Europe/Berlin)", '2026-11-20T22:11:00.000Z'],
  ["You've hit your weekly limit · resets Nov 23, 3:11pm (America/New_York)", '2026-11-23T20:11:00.000Z'],
  ["You've hit your Opus limit · resets Dec 21, 1:41am (Asia/Kolkata)", '2026-12-20T20:11:00.000Z'],
  ["You've hit your limit · resets 3am (UTC)", '2026-11-21T03:00:00.000Z'],
  ["You've hit your monthly spend limit · your weekly limit resets Nov 23 at 9am (UTC)", '2026-11-23T09:00:00.000Z'],
  // Older ones, and those of the API itself.
  ['Claude AI usage limit reached|1795212680', '2026-11-20T22:11:20.000Z'],
  ['5-hour limit reached ∙ resets 12am', '2026-11-21T00:00:00.000Z'],
  ['Your limit will reset at 12pm (UTC).', '2026-11-21T12:00:00.000Z'],
  ['spend limit reached · resets Dec 1 · request an increase', '2026-12-01T00:00:00.000Z'],
  ['try again after it resets on December 1 at 14:00 UTC.', '2026-12-01T14:00:00.000Z'],
  ['Fast limit reached · resets in 2h 5m', '2026-11-20T22:16:20.000Z'],
  ['resets in 45 minutes', '2026-11-20T20:56:20.000Z'],
  ['The window resets at 2026-11-20T23:00:00+01:00', '2026-11-20T22:00:00.000Z'],
])('%s', (text, expected) => {
  expect(at(text)).toBe(expected);
});

test('a time without a place is one of this machine, and one that has just passed is not tomorrow’s', () => {
  expect(at('resets 11:11pm', 'Europe/Berlin')).toBe('2026-11-20T22:11:00.000Z');
  expect(at('resets 8:10pm (UTC)')).toBe('2026-11-20T20:11:20.000Z');
  expect(at('resets 8:00pm (UTC)')).toBe('2026-11-21T20:00:00.000Z');
});

test('a day is of the next year where it is past in this one, and clocks are those of that day', () => {
  expect(at('resets Jan 2, 9am (UTC)', 'UTC', Date.parse('2026-12-30T00:00:00Z'))).toBe('2027-01-02T09:00:00.000Z');
  // Summer time ends in Berlin on the 25th of October.
  const before = Date.parse('2026-10-24T12:00:00Z');
  expect(at('resets Oct 26, 9am (Europe/Berlin)', 'UTC', before)).toBe('2026-10-26T08:00:00.000Z');
  expect(at('resets 8am (Europe/Berlin)', 'UTC', Date.parse('2026-10-24T23:30:00Z'))).toBe('2026-10-25T07:00:00.000Z');
});

test.each([
  'Too many requests.',
  'The counter resets, and nothing else.',
  'resets 25:00 (UTC)',
  'resets 13pm (UTC)',
  'resets 3pm (Nowhere/At_All)',
  'resets Foo 3, 3pm (UTC)',
  'resets Feb 3, 2031, 3pm (UTC)',
  'resets in a while',
  '/clear resets the conversation',
  'Claude AI usage limit reached|9999999999',
])('nothing is made of "%s"', (text) => {
  expect(at(text)).toBeNull();
});
