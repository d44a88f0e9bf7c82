/** Which conversations are removed from a machine, and which sessions from the ledger, and when. */
import { keysOf } from '@nexus/shared/bus';
import { listSessions, type Session } from '@nexus/shared/ledger';
import { writeSession } from '@nexus/shared/ledger/write';
import { noUsage } from '@nexus/shared/spend';
import { expect, test } from 'vitest';
import { openMemoryStore } from '../../../test/tools/memory-store.ts';
import type { Runtime } from '../runtimes.ts';
import { forgetOld, sweepSessions } from './sweep.ts';

const keys = keysOf('{test}');
const hour = 3_600_000;
const now = Date.parse('2026-11-20T12:00:00.000Z');
const keepMs = 24 * hour;
const ago = (hours: number): string => new Date(now - hours * hour).toISOString();

/** A ledger with these sessions, by what stands of them; the last thing happened in each when its attempt ended. */
const openLedger = (sessions: Record<string, { status: Session['status']; hours: number; open?: boolean }>) => {
  const store = openMemoryStore();
  for (const [session_id, { status, hours, open }] of Object.entries(sessions)) {
    const doc: Session = {
      ...{ session_id, runtime: 'talks', agent_id: 'builder', task_id: 'a-task', subtask_id: 'storage', attempt: 1 },
      ...{ status, created_at: ago(hours), last_activity: ago(hours), holder: null, instance_id: 'w', host: 'h' },
      ...{ model: null, login: null, notional: false, context: null, cost: { usd: null, tokens: null }, usd_total: 0 },
      usd_booked: 0,
      usage_total: noUsage,
      usage_booked: noUsage,
      ...{ turns: 1, tool_calls: 0, transcript: null, forked_from: null, ended_at: open ? null : ago(hours), why: '' },
    };
    store.settle(writeSession(keys, 0, doc));
  }
  return store;
};

/** What a sweep removes from this machine. */
const swept = async (store: ReturnType<typeof openLedger>): Promise<string[]> => {
  const gone: string[] = [];
  const forget = async (id: string) => gone.push(id) > 0;
  const runtimes = new Map([['talks', { name: 'talks', forget } as unknown as Runtime]]);
  const context = { agentCommand: null, rehearsal: false, task: null };
  const removed = await sweepSessions({ store, keys, runtimes, context, now, keepMs });
  expect(removed).toBe(gone.length);
  return gone.sort();
};

test('a conversation expires some time after the end of its attempt, and then leaves its machine', async () => {
  const store = openLedger({
    expired: { status: 'idle', hours: 25 },
    fresh: { status: 'idle', hours: 23 },
    'put-aside': { status: 'idle', hours: 99, open: true },
    'at-work': { status: 'active', hours: 99, open: true },
    ended: { status: 'ended', hours: 25 },
    lost: { status: 'lost', hours: 25 },
  });
  expect(await swept(store)).toEqual(['ended', 'expired', 'lost']);
});

test('a runtime that keeps no conversations has none to remove', async () => {
  const store = openLedger({ expired: { status: 'idle', hours: 25 } });
  const runtimes = new Map([['talks', { name: 'talks' } as unknown as Runtime]]);
  const context = { agentCommand: null, rehearsal: false, task: null };
  expect(await sweepSessions({ store, keys, runtimes, context, now, keepMs })).toBe(0);
});

test('what is over for a week is forgotten by the ledger too, and nothing else is', async () => {
  const week = 7 * 24;
  const store = openLedger({
    old: { status: 'idle', hours: week + 25 },
    older: { status: 'ended', hours: week + 99 },
    shown: { status: 'idle', hours: week + 23 },
    'put-aside': { status: 'idle', hours: week + 99, open: true },
  });
  expect(store.settle(await forgetOld(store, keys, now, keepMs))).toBe(true);
  const left = (await listSessions(store, keys)).map(({ session }) => session.session_id);
  expect(left.sort()).toEqual(['put-aside', 'shown']);
});
