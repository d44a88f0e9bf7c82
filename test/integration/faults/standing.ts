/**
 * A fabric with work in every state, to be hurt: two handlers run, one message waits. Afterwards everything has to be
 * settled, once.
 */
import { mkdirSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { type Bus, done } from '@nexus/shared/bus';
import type { Log } from '@nexus/shared/telemetry';
import type { Redis } from 'ioredis';
import { expect } from 'vitest';
import { deferred, eventually } from '../../tools/eventually.ts';
import { consumeAll, discard } from '../../tools/messages.ts';
import type { TestFabric, TestServer } from '../../tools/redis.ts';

/** Redis cannot save from now on, and refuses writes (MISCONF); what is returned mends it. */
export const brokenSave = async (server: TestServer, admin: Redis): Promise<() => unknown> => {
  const file = join(server.folder, 'dump.rdb');
  const saved = async (status: string): Promise<void> => {
    await admin.bgsave().catch(() => undefined);
    await eventually(`saving is ${status}`, async () =>
      (await admin.info('persistence')).includes(`rdb_last_bgsave_status:${status}`),
    );
  };
  mkdirSync(file);
  await admin.config('SET', 'save', '3600 1');
  await saved('err');
  return async () => {
    rmdirSync(file);
    await saved('ok');
  };
};

export type Line = { level: string; code: string | undefined; text: string };

/** A log that keeps what a person would read. */
export const keepingLog = (): { lines: Line[]; log: Log } => {
  const lines: Line[] = [];
  const writer = (level: string) => (about: unknown, text?: string) => {
    const { code } = typeof about === 'object' && about !== null ? (about as { code?: string }) : {};
    lines.push({ level, code, text: text ?? String(about) });
  };
  const whole: Record<string, unknown> = { debug: () => undefined, trace: () => undefined };
  for (const level of ['info', 'warn', 'error', 'fatal']) whole[level] = writer(level);
  whole.child = () => whole;
  return { lines, log: whole as unknown as Log };
};

export const day = '2026-01-01';

export type Standing = {
  bus: Bus;
  lines: Line[];
  /** Tasks whose handlers began, in order. */
  began: string[];
  /** Why handlers were aborted. */
  aborted: string[];
  /** Lets the handlers end. */
  release(): void;
  /** How often each task was settled. */
  settled(): Promise<Record<string, string>>;
};

/** Opens a bus on this fabric and brings it to where two handlers run and a third message waits. */
export const stand = async (
  fabric: TestFabric,
  options: Parameters<TestFabric['open']>[1] = {},
  slots = 2,
): Promise<Standing> => {
  const { lines, log } = keepingLog();
  const bus = await fabric.open('finalizer', { log, ...options });
  const hold = deferred();
  const began: string[] = [];
  const aborted: string[] = [];
  consumeAll(bus, 'finalizer', {
    mode: 'take',
    slots,
    work: async (message, tools) => {
      const task = message.conversation_thread;
      began.push(task);
      tools.signal.addEventListener('abort', () => aborted.push((tools.signal.reason as { code: string }).code));
      await hold.promise;
      return done({ write: [{ op: 'count', key: bus.keys.stats(day), field: task, by: 1 }] });
    },
  });
  for (const task of ['one', 'two', 'three']) await bus.publish(discard(task));
  await eventually('as many as can run', () => began.length === Math.min(3, slots));
  return {
    bus,
    lines,
    began,
    aborted,
    release: () => hold.resolve(),
    settled: () => fabric.redis.hgetall(bus.keys.stats(day)),
  };
};

/** All three were settled once, nothing is left in the inbox, and no handler was disturbed or ran twice. */
export const expectWhole = async (fabric: TestFabric, standing: Standing): Promise<void> => {
  const { bus } = standing;
  const inbox = bus.keys.inbox('finalizer', 'NORMAL');
  await eventually('all is settled', async () => (await fabric.redis.xlen(inbox)) === 0);
  expect(await standing.settled()).toEqual({ one: '1', two: '1', three: '1' });
  expect(standing.began.toSorted()).toEqual(['one', 'three', 'two']);
  expect(standing.aborted).toEqual([]);
  expect(((await fabric.redis.xpending(inbox, 'finalizer')) as [number])[0]).toBe(0);
  expect((await bus.counts()).dead).toBe(0);
  await eventually('health is well again', () => bus.health().ok);
};
