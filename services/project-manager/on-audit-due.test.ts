import { type HandlerTools, keysOf, type LiveEvent, type Message } from '@nexus/shared/bus';
import { removeAttempt, writeAttempt } from '@nexus/shared/ledger/write';
import type { RunningAttempt } from '@nexus/shared/messages/domain';
import { silentLog } from '@nexus/shared/telemetry';
import { expect, test } from 'vitest';
import { openMemoryStore } from '../../test/tools/memory-store.ts';
import { type AuditTools, onAuditDue } from './on-audit-due.ts';

const keys = keysOf('{test}');
const minute = 60_000;
const startMs = Date.parse('2026-01-02T03:00:00.000Z');
const at = (ms: number) => new Date(startMs + ms).toISOString();
const of = (subtask_id: string, attempt = 1): RunningAttempt => ({
  task_id: 'task',
  subtask_id,
  attempt,
  agent_id: 'builder',
  since: at(0),
  doing: 'works',
});
const checkpoint = (token: string, ms: number) => ({
  attempt: 1,
  token,
  at: at(ms),
  commit: null,
  step: 'works',
  spent_ms: 0,
  left: [],
  session: null,
});

const openAudit = (running: RunningAttempt[]) => {
  const store = openMemoryStore();
  const events: LiveEvent[] = [];
  const lines: unknown[] = [];
  let counted: number | null = null;
  const log = { ...silentLog(), warn: (...line: unknown[]) => void lines.push(line) };
  const audit = async (ms: number) => {
    const tools = {
      log,
      store,
      keys,
      now: () => startMs + ms,
      tell: (event: LiveEvent) => void events.push(event),
      running: async () => running,
      countOverdue: (count: number) => {
        counted = count;
      },
    } as unknown as HandlerTools & AuditTools;
    expect(await onAuditDue({} as Message<'audit.due'>, tools)).toEqual({ is: 'done', publish: [], write: [] });
    return { counted, events: events.splice(0), lines: lines.splice(0) };
  };
  const run = (subtask: string, parts: Parameters<typeof writeAttempt>[4]) =>
    store.settle([...removeAttempt(keys, 'task', subtask), ...writeAttempt(keys, 'task', subtask, 0, parts)]);
  return { audit, run };
};
const claim = (token: string, ms = 0) => ({ attempt: 1, token, since: at(ms), every_ms: 5 * minute });

test('an attempt that was not saved for twice as long as promised is told: a line, an event, a figure', async () => {
  const { audit, run } = openAudit([of('late'), of('saved')]);
  run('late', { running: claim('one'), checkpoint: checkpoint('one', 4 * minute) });
  run('saved', { running: claim('two'), checkpoint: checkpoint('two', 10 * minute) });
  expect(await audit(14 * minute)).toEqual({ counted: 0, events: [], lines: [] });
  const { counted, events, lines } = await audit(14 * minute + 1);
  expect(counted).toBe(1);
  expect(events).toMatchObject([
    { event: 'attempt.notice', subtask_id: 'late', text: 'its work was not saved for 600 s' },
  ]);
  expect(lines).toMatchObject([
    [{ overdue: [{ task: 'task', subtask: 'late', attempt: 1, seconds: 600 }] }, expect.any(String)],
  ]);
});

test('one that was never saved counts from its beginning, whatever an earlier delivery saved', async () => {
  const { audit, run } = openAudit([of('new'), of('taken-over')]);
  run('new', { running: claim('one') });
  run('taken-over', { running: claim('two', 8 * minute), checkpoint: checkpoint('gone', 0) });
  expect((await audit(10 * minute)).counted).toBe(0);
  expect((await audit(11 * minute)).events.map(({ subtask_id }) => subtask_id)).toEqual(['new']);
  expect((await audit(19 * minute)).counted).toBe(2);
});

test('what has ended, or is another attempt by now, is not overdue', async () => {
  const { audit, run } = openAudit([of('ended'), of('next', 2), of('unknown')]);
  run('ended', { running: null, checkpoint: null, ended: 1 });
  run('next', { running: claim('one') });
  expect((await audit(60 * minute)).counted).toBe(0);
});
