/** The governor on a real Redis: the fleet keeps to what a provider takes, fails nothing for it, and uses it up. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Lane, Spending } from '@nexus/shared/spend';
import { expect, test } from 'vitest';
import { eventually } from '../../tools/eventually.ts';
import { testFabric } from '../../tools/redis.ts';
import { openRig, usage } from '../../tools/spending.ts';

const lane: Lane = { kind: 'call', provider: 'openai', account: 'default', model: 'gpt-5-mini' };
type Governor = Spending['governor'];

/** A provider that takes so many in each window, and says how long to wait; or so many a second, from a bucket. */
const windowed = (callsMax: number, windowMs: number) => {
  const began = performance.now();
  const taken = new Map<number, number>();
  return {
    taken,
    call: (): number | null => {
      const at = performance.now() - began;
      const window = Math.floor(at / windowMs);
      const count = taken.get(window) ?? 0;
      if (count >= callsMax) return (window + 1) * windowMs - at;
      taken.set(window, count + 1);
      return null;
    },
  };
};
const bucketed = (perSecond: number) => {
  let level = perSecond;
  let at = performance.now();
  let taken = 0;
  return {
    taken: () => taken,
    call: (): number | null => {
      const now = performance.now();
      level = Math.min(perSecond, level + ((now - at) / 1000) * perSecond);
      at = now;
      // A header counts in whole seconds.
      if (level < 1) return 1000;
      level -= 1;
      taken += 1;
      return null;
    },
  };
};

/** Callers that call one after the other until the time is over; what is refused is tried again, none gives up. */
const callUntil = async (endAt: number, governors: Governor[], callers: number, call: () => number | null) => {
  const counts = { well: 0, refused: 0 };
  const one = async (caller: number): Promise<void> => {
    const governor = governors[caller % governors.length] as Governor;
    for (let turn = 0; performance.now() < endAt; turn += 1) {
      const id = `worker-${caller}.1-1.1/${turn}`;
      await governor.admit(lane, id, 60_000);
      await sleep(5 + Math.random() * 10);
      const retryAfterMs = call();
      if (retryAfterMs === null) counts.well += 1;
      else counts.refused += 1;
      await governor.report(lane, id, retryAfterMs === null ? { is: 'well' } : { is: 'limited', retryAfterMs });
    }
  };
  await Promise.all(Array.from({ length: callers }, (_, caller) => one(caller)));
  return counts;
};

const fourGovernors = async (settings: Record<string, string> = {}) => {
  const fabric = testFabric();
  return (await Promise.all(Array.from({ length: 4 }, () => openRig(fabric, settings)))).map(
    ({ governor }) => governor,
  );
};

test('fifty callers of a provider that takes so many in a window reach 90 % of it, and none fails', async () => {
  const governors = await fourGovernors();
  const provider = windowed(60, 2000);
  const counts = await callUntil(performance.now() + 7500, governors, 50, provider.call);
  const whole = [0, 1, 2].map((window) => provider.taken.get(window) ?? 0);
  expect(Math.min(...whole)).toBeGreaterThanOrEqual(54);
  expect(counts.well).toBeGreaterThanOrEqual(3 * 54);
  // They back off together: a refusal or a few for each window, not one for each caller and try.
  expect(counts.refused).toBeLessThan(150);
});

test('fifty callers of a provider that takes so many a second, and tells whole seconds, reach 90 % of it', async () => {
  const governors = await fourGovernors();
  const provider = bucketed(20);
  const began = performance.now();
  await callUntil(began + 6000, governors, 50, provider.call);
  const seconds = (performance.now() - began) / 1000;
  expect(provider.taken()).toBeGreaterThanOrEqual(0.9 * 20 * seconds);
});

test('a rate that a setting names is kept without a single refusal, and used', async () => {
  const governors = await fourGovernors({ NEXUS_PROVIDER_RATES: 'openai=1200/m' });
  const began = performance.now();
  const counts = await callUntil(began + 3000, governors, 20, () => null);
  const seconds = (performance.now() - began) / 1000;
  expect(counts.well).toBeGreaterThanOrEqual(54);
  expect(counts.well).toBeLessThanOrEqual(20 + Math.ceil(20 * seconds));
});

test('side by side it is half after a refusal, however many of a round were, and one more a round', async () => {
  const [governor] = await fourGovernors({ NEXUS_PROVIDER_START: '8', NEXUS_PROVIDER_MAX: '9' });
  if (!governor) throw new Error('there is one');
  const round = async (is: 'well' | 'limited', count: number, from = 0) => {
    const ids = Array.from({ length: count }, (_, at) => `worker.1-1.1/${from + at}`);
    for (const id of ids) await governor.admit(lane, id, 5000);
    let last = 0;
    for (const id of ids) {
      const report = is === 'well' ? { is } : { is, retryAfterMs: 0 };
      last = (await governor.report(lane, id, report)).side_by_side;
    }
    return last;
  };
  expect(await round('limited', 8)).toBe(4);
  await sleep(5);
  expect(await round('limited', 4, 10)).toBe(2);
  await sleep(5);
  await round('well', 2, 20);
  expect(await round('well', 2, 30)).toBe(3);
  for (let turn = 0; turn < 40; turn += 1) await round('well', 2, 100 + 2 * turn);
  expect(await round('well', 1, 300)).toBe(9);
});

test('who may not wait so long is told until when, and a used-up account holds all its models', async () => {
  const [governor] = await fourGovernors();
  if (!governor) throw new Error('there is one');
  await governor.admit(lane, 'worker.1-1.1/1', 1000);
  const told = { is: 'limited', retryAfterMs: 3_600_000, wholeAccount: true } as const;
  await governor.report(lane, 'worker.1-1.1/1', told);
  const other: Lane = { ...lane, model: 'gpt-5' };
  const refused = await governor.admit(other, 'worker.1-1.1/2', 50).catch((thrown) => thrown);
  expect(refused).toMatchObject({ code: 'PROVIDER_LIMITED', details: { provider: 'openai', account: 'default' } });
  expect(Date.parse(refused.details.until) - Date.now()).toBeGreaterThan(3_500_000);
  await governor.admit({ ...other, account: 'another' }, 'worker.1-1.1/3', 50);
});

test('a provider that fails in a row is left alone, then tried by one call, and open when that is well', async () => {
  const governors = await fourGovernors({ NEXUS_BREAKER_AFTER: '3', NEXUS_BREAKER_FOR: '300ms' });
  const [governor] = governors;
  if (!governor) throw new Error('there is one');
  const fly = async (id: string, is: 'failed' | 'well') => {
    await governor.admit(lane, `worker.1-1.1/${id}`, 1000);
    return governor.report(lane, `worker.1-1.1/${id}`, { is });
  };
  await fly('a', 'failed');
  await fly('b', 'failed');
  expect((await fly('c', 'failed')).broken_until).toBeGreaterThan(Date.now());
  await expect(governor.admit(lane, 'worker.1-1.1/d', 20)).rejects.toMatchObject({ code: 'PROVIDER_LIMITED' });
  // Half-open: of ten that wait, one goes.
  const gone: string[] = [];
  const waiting = Array.from({ length: 10 }, async (_, at) => {
    await governors[at % 4]?.admit(lane, `worker-${at}.1-1.1/1`, 20_000);
    gone.push(`worker-${at}.1-1.1/1`);
  });
  await eventually('one probes', () => gone.length > 0);
  await sleep(100);
  expect(gone.length).toBe(1);
  // It fails: open for twice as long.
  const { broken_until } = await governor.report(lane, gone[0] as string, { is: 'failed' });
  expect(broken_until - Date.now()).toBeGreaterThan(400);
  await eventually('another probes', () => gone.length > 1);
  await governor.report(lane, gone[1] as string, { is: 'well' });
  await Promise.all(waiting);
  expect(gone.length).toBe(10);
});

test('places of owners that are gone are free again, and so is the probe; those of the living are kept', async () => {
  const fabric = testFabric();
  const rig = await openRig(fabric, {
    NEXUS_PROVIDER_START: '2',
    NEXUS_BREAKER_AFTER: '1',
    NEXUS_BREAKER_FOR: '100ms',
  });
  const { governor, gone } = rig;
  await governor.admit(lane, 'worker-dead.1-1.1/1', 1000);
  await governor.admit(lane, 'worker-slow.1-1.1/1', 1000);
  await expect(governor.admit(lane, 'worker-new.1-1.1/1', 300)).rejects.toMatchObject({ code: 'PROVIDER_LIMITED' });
  gone.add('worker-dead.1-1.1');
  await governor.admit(lane, 'worker-new.1-1.1/1', 5000);
  await expect(governor.admit(lane, 'worker-more.1-1.1/1', 300)).rejects.toMatchObject({ code: 'PROVIDER_LIMITED' });
  await governor.report(lane, 'worker-new.1-1.1/1', { is: 'failed' });
  await governor.admit(lane, 'worker-probe.1-1.1/1', 5000);
  gone.add('worker-probe.1-1.1');
  await governor.admit(lane, 'worker-next.1-1.1/1', 10_000);
});

test('a process of a CLI keeps its place while its provider slows it down, and new ones wait', async () => {
  const rig = await openRig(testFabric(), { NEXUS_PROVIDER_START: '4' });
  const cli: Lane = { kind: 'process', provider: 'anthropic', account: 'default', model: 'opus' };
  const attempts = await Promise.all(Array.from({ length: 3 }, () => rig.begin(rig.attempt({ lane: cli }))));
  attempts[0]?.slowed(60_000);
  await eventually('it was told', async () => {
    const fourth = await rig.begin(rig.attempt({ lane: cli })).catch((thrown) => thrown);
    if (fourth.code === undefined) await fourth.end();
    return fourth.code === 'PROVIDER_LIMITED';
  });
  // Nothing of one that was not admitted stays reserved, and those that run end well.
  expect((await rig.budgets.read({ taskId: 'a-task' })).tokens_reserved).toBe(3 * 200_000);
  for (const attempt of attempts) {
    await attempt.settle({ usd: 0.1, usage: null, model: 'opus', notional: false });
    await attempt.end();
  }
  expect(await rig.budgets.read({ taskId: 'a-task' })).toMatchObject({ tokens_reserved: 0, usd_used: 0.3 });
});

test('each answer that a process gets makes room for others, before any of them ends', async () => {
  const rig = await openRig(testFabric(), { NEXUS_PROVIDER_START: '1' });
  const cli: Lane = { kind: 'process', provider: 'anthropic', account: 'key-1', model: 'claude-opus-5-5' };
  const first = await rig.begin(rig.attempt({ lane: cli }));
  await expect(rig.begin(rig.attempt({ lane: cli }))).rejects.toMatchObject({ code: 'PROVIDER_LIMITED' });
  first.heard(usage(10, 1));
  const second = await rig.begin(rig.attempt({ lane: cli }));
  await Promise.all([first.end(), second.end()]);
});
