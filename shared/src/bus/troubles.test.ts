import { fail } from '@nexus/shared/errors';
import { type Log, silentLog } from '@nexus/shared/telemetry';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { makeTroubles } from './troubles.ts';

const startMs = Date.parse('2026-01-02T03:00:00.000Z');
const at = (seconds: number): string => new Date(startMs + 1000 * seconds).toISOString();
const disk = fail('REDIS_DISK', { url: 'redis://h', message: 'rdb_last_bgsave_status' });
const memory = fail('BUS_MEMORY', { percent: 90, percentMax: 80 });

beforeEach(() => void vi.useFakeTimers({ now: startMs, toFake: ['Date'] }));
afterEach(() => void vi.useRealTimers());

const open = () => {
  const troubles = makeTroubles(silentLog(), 'redis://h');
  const health = () => troubles.health(0, 0, 5000);
  return { troubles, health, later: (seconds: number) => vi.setSystemTime(startMs + 1000 * seconds) };
};

test('a trouble that was only warned of is told since its beginning, and its end is when all is well again', () => {
  const { troubles, health, later } = open();
  expect(health()).toMatchObject({ ok: true, since: at(0) });
  later(10);
  troubles.warned('disk', disk);
  later(20);
  troubles.warned('disk', disk);
  expect(health()).toMatchObject({ ok: true, code: 'REDIS_DISK', since: at(10) });
  later(30);
  troubles.well('disk');
  expect(health()).toMatchObject({ ok: true, says: 'Redis answers', since: at(30) });
  later(40);
  troubles.well('disk');
  expect(health().since).toBe(at(30));
});

test('what fails after it was warned of is one trouble; another that is warned of beside it is not', () => {
  const { troubles, health, later } = open();
  later(10);
  troubles.warned('memory', memory);
  later(20);
  troubles.warned('disk', disk);
  later(30);
  troubles.met('beat', new Error('MISCONF it cannot save'));
  expect(health()).toMatchObject({ ok: false, code: 'REDIS_DISK', since: at(20) });
});

test('where Redis only seemed to be away, what it says of itself later is said once, and nothing else', () => {
  const said: string[] = [];
  const log = { ...silentLog(), warn: ({ code }: { code: string }) => void said.push(code) } as unknown as Log;
  const troubles = makeTroubles(log, 'redis://h');
  troubles.met('connection 1', new Error('connect ECONNREFUSED'));
  troubles.met('beat', new Error('connect ECONNREFUSED'));
  for (const part of ['beat', 'look', 'beat']) troubles.met(part, new Error('LOADING Redis is loading the dataset'));
  troubles.met('connection 2', new Error('connect ECONNREFUSED'));
  expect(said).toEqual(['REDIS_UNREACHABLE', 'REDIS_LOADING']);
});
