/** Budgets on a real Redis: no limit is passed, nothing reserved outlives its owner, and what is spent counts once. */
import { done } from '@nexus/shared/bus';
import { expect, test } from 'vitest';
import { tokenOf } from '../../../shared/src/bus/delivery.ts';
import { deferred, untilAborted } from '../../tools/eventually.ts';
import { consumeAll, dispatch, leaveBehind, standing } from '../../tools/messages.ts';
import { testFabric } from '../../tools/redis.ts';
import { openRig, taskLimit, usage } from '../../tools/spending.ts';

const call = (usdMax: number | null, tokensMax = 100) => ({
  usdMax,
  tokensMax,
  provider: 'openai',
  account: 'default',
  model: 'gpt-5-mini',
});
const spent = (code: string, scope: RegExp) =>
  expect.objectContaining({ code, details: expect.objectContaining({ scope: expect.stringMatching(scope) }) });

test('a hundred that reserve at once in four processes never pass a limit, and reach it', async () => {
  const fabric = testFabric();
  const settings = { NEXUS_PROVIDER_START: '1000', NEXUS_PROVIDER_MAX: '1000', NEXUS_PROVIDER_WAIT: '0' };
  const rigs = await Promise.all(Array.from({ length: 4 }, () => openRig(fabric, settings)));
  const limits = taskLimit(1, 60_000);
  let over = 0;
  let looking = true;
  const watching = (async () => {
    for (const [rig] = rigs; looking && rig; ) {
      const now = await rig.budgets.read({ taskId: 'a-task' });
      if (now.usd_used + now.usd_reserved > 1 + 1e-9) over += 1;
      if (now.tokens_used + now.tokens_reserved > 60_000) over += 1;
    }
  })();
  const begun = await Promise.allSettled(
    Array.from({ length: 100 }, async (_, at) => {
      const rig = rigs[at % 4];
      if (!rig) throw new Error('there are four');
      const attempt = await rig.begin(rig.attempt({ limits })).catch(() => null);
      let calls = 0;
      for (let turn = 0; turn < 5 && attempt !== null; turn += 1) {
        const reserved = await attempt.gate.reserve(call(0.02, 300)).catch(() => null);
        if (reserved === null) continue;
        // Some use less than they reserved, some nothing.
        if (turn === 3) await reserved.release();
        else await reserved.settle({ usd: 0.02 / (1 + (turn % 2)), usage: usage(100) });
        calls += turn === 3 ? 0 : 1;
      }
      await attempt?.end();
      return calls;
    }),
  );
  looking = false;
  await watching;
  expect(over).toBe(0);
  expect(begun.filter(({ status }) => status === 'rejected')).toEqual([]);
  const [first] = rigs;
  const after = await first?.budgets.read({ taskId: 'a-task' });
  expect(after).toMatchObject({ usd_max: 1, usd_reserved: 0, tokens_reserved: 0 });
  expect(after?.usd_used).toBeGreaterThan(0);
  // What the ledger says is what the budget says, whoever booked it.
  const lines = (await first?.book.linesOf('a-task')) ?? [];
  expect(lines.reduce((sum, line) => sum + line.usd, 0)).toBeCloseTo(after?.usd_used ?? -1, 6);
  // And now one after the other, until nothing more fits.
  const attempt = await first?.begin(first.attempt({ limits })).catch(() => null);
  for (;;) {
    const reserved = await attempt?.gate.reserve(call(0.01, 10)).catch(() => null);
    if (!reserved) break;
    await reserved.settle({ usd: 0.01, usage: usage(1) });
  }
  const full = await first?.budgets.read({ taskId: 'a-task' });
  expect(full?.usd_used).toBeGreaterThan(0.99);
  expect(full?.usd_used).toBeLessThanOrEqual(1);
});

test('what a worker had reserved is free again once its claim is taken over, and not a moment before', async () => {
  const fabric = testFabric();
  const limits = taskLimit(1);
  const worker = await fabric.open('worker-agent', { limits: { beatMs: 50, idleMs: 400 } });
  await standing(fabric, 'a-task');
  await worker.publish(dispatch('a-task'));
  const inbox = worker.keys.inbox('worker-agent', 'NORMAL');
  const ghost = fabric.redis.duplicate({ connectionName: 'worker-agent-dead-0001' });
  await ghost.ping();
  await leaveBehind(fabric, inbox, 'worker-agent', 'worker-agent-dead-0001');
  const [pending] = (await fabric.redis.xpending(inbox, 'worker-agent', '-', '+', 1)) as [[string]];
  const token = tokenOf('worker-agent-dead-0001', { entryId: pending[0], deliveries: 1 });

  const rig = await openRig(fabric, { NEXUS_PROVIDER_WAIT: '0' }, { claims: true });
  const lost = await rig.begin(rig.attempt({ limits, token }));
  await lost.gate.reserve(call(1));
  // It may be paused, or slow: as long as its claim stands nobody gets what it holds.
  const other = rig.attempt({ limits, token: 'worker-agent-other-0002.9-9.1' });
  await expect(rig.begin(other)).rejects.toEqual(spent('BUDGET_RESERVED', /the task a-task/));
  expect(await rig.budgets.freeLost()).toBe(0);
  // Whoever looks may be of another service, and so may the claim.
  const gateway = await fabric.open('gateway', { observer: true });
  expect(await gateway.isClaimed(token)).toBe(true);
  const others = ['worker-agent-dead-0001.9-9.1', 'quality-checker-a-0001.1-1.1', 'nobody.1-1.1'];
  expect(await Promise.all(others.map(gateway.isClaimed))).toEqual([false, false, false]);

  const begun = deferred<unknown>();
  consumeAll(worker, 'worker-agent', {
    mode: 'take',
    slots: 1,
    work: async (_message, tools) => {
      const again = await rig.begin(rig.attempt({ limits, token: tools.claim.token }));
      await again.gate.reserve(call(1)).then(begun.resolve, begun.reject);
      return done();
    },
  });
  await begun.promise;
  ghost.disconnect();
});

test('what is given back to a budget that has expired leaves no debt and no key', async () => {
  const fabric = testFabric();
  const rig = await openRig(fabric);
  const reserve = async () => {
    const attempt = await rig.begin(rig.attempt({ limits: taskLimit(2) }));
    return { attempt, reserved: await attempt.gate.reserve(call(1)) };
  };
  const [freed, settled] = [await reserve(), await reserve()];
  const budgets = () => fabric.redis.keys(`${fabric.config.prefix}:spend:budget:*`);
  await fabric.redis.del(...(await budgets()));
  await freed.reserved.release();
  expect(await budgets()).toEqual([]);
  await settled.reserved.settle({ usd: 0.25, usage: usage(5) });
  expect(await rig.budgets.read({ taskId: 'a-task' })).toMatchObject({ usd_used: 0.25, usd_reserved: 0 });
  for (const key of await budgets()) expect(await fabric.redis.ttl(key)).toBeGreaterThan(0);
});

test('a settlement that is asked for again counts once, and one whose reservation was freed counts too', async () => {
  const rig = await openRig(testFabric());
  const place = { taskId: 'a-task', subtaskId: 'build', attempt: 1 };
  const by = { agentId: 'builder', role: 'builder', runtime: 'openai' };
  const one = { id: 'worker.1-1.1/1', place, by, model: null, usage: usage(10), usd: 0.5, notional: false, calls: 1 };
  await rig.book.settle(one);
  await rig.book.settle(one);
  expect(await rig.budgets.read({ taskId: 'a-task' })).toMatchObject({ usd_used: 0.5, tokens_used: 10 });
  const token = 'worker-agent-slow-0002.1-1.1';
  const attempt = await rig.begin(rig.attempt({ limits: taskLimit(2), token }));
  const reserved = await attempt.gate.reserve(call(1));
  rig.gone.add(token);
  expect(await rig.budgets.freeLost()).toBe(1);
  await reserved.settle({ usd: 0.25, usage: usage(5) });
  await reserved.settle({ usd: 0.25, usage: usage(5) });
  const { usd_used, usd_reserved } = await rig.budgets.read({ taskId: 'a-task' });
  expect([usd_used, usd_reserved]).toEqual([0.75, 0]);
});

test('a subtask counts against its task and the day, and each of them can be the one that refuses', async () => {
  const noon = Date.UTC(2026, 4, 1, 12);
  const settings = { NEXUS_BUDGET_DAY_USD: '3', NEXUS_BUDGET_SUBTASK_USD: '1', NEXUS_BUDGET_ATTEMPT_USD: '0.6' };
  const rig = await openRig(testFabric(), { ...settings, NEXUS_PROVIDER_WAIT: '0' }, { now: () => noon });
  const spend = async (taskId: string, subtaskId: string, attempt: number, usd: number): Promise<void> => {
    const place = { taskId, subtaskId, attempt };
    const one = await rig.begin(rig.attempt({ place, limits: taskLimit(1.5) }));
    const reserved = await one.gate.reserve(call(usd));
    await reserved.settle({ usd, usage: usage(1) });
    await one.end();
  };
  await spend('one', 'a', 1, 0.5);
  await expect(spend('one', 'a', 1, 0.2)).rejects.toEqual(spent('BUDGET_SPENT', /attempt 1 at a/));
  await spend('one', 'a', 2, 0.4);
  await expect(spend('one', 'a', 3, 0.2)).rejects.toEqual(spent('BUDGET_SPENT', /subtask a/));
  await spend('one', 'b', 1, 0.5);
  await expect(spend('one', 'c', 1, 0.2)).rejects.toEqual(spent('BUDGET_SPENT', /the task one/));
  for (const task of ['two', 'three']) await spend(task, 'a', 1, 0.6);
  await expect(spend('four', 'a', 1, 0.6)).rejects.toEqual(spent('BUDGET_SPENT', /the fleet for today/));
  expect(await rig.budgets.read('day')).toMatchObject({ usd_max: 3, usd_used: 2.6 });
});

test('a budget is told of once near its end and once at it, and again after a person has raised it', async () => {
  const rig = await openRig(testFabric(), { NEXUS_PROVIDER_WAIT: '0' });
  const limits = taskLimit(1);
  const attempt = await rig.begin(rig.attempt({ limits }));
  const pay = async (usd: number) => (await attempt.gate.reserve(call(usd))).settle({ usd, usage: usage(1) });
  await pay(0.79);
  expect(rig.events).toEqual([]);
  await pay(0.02);
  await pay(0.01);
  expect(rig.events.map(({ event, text }) => [event, text])).toEqual([
    ['budget.near', '81 % of the budget of the task a-task are used: 0.81 of 1 USD'],
  ]);
  await pay(0.18);
  expect(rig.events.slice(1).map(({ event }) => event)).toEqual(['budget.spent']);
  await expect(attempt.gate.reserve(call(0.01))).rejects.toEqual(spent('BUDGET_SPENT', /the task a-task/));
  await rig.budgets.raise({ taskId: 'a-task' }, { usd: 1.2, tokens: null });
  await pay(0.01);
  expect(rig.events.slice(2).map(({ event }) => event)).toEqual(['budget.near']);
  expect(await rig.budgets.read({ taskId: 'a-task' })).toMatchObject({ usd_max: 1.2 });
});

test.each([
  ['the fleet today', { NEXUS_BUDGET_DAY_USD: '0.6' }, 0.2],
  ['the task', { NEXUS_BUDGET_TASK_USD: '0.7' }, 0.3],
  ['the subtask', { NEXUS_BUDGET_SUBTASK_USD: '0.8' }, 0.4],
  ['the attempt', { NEXUS_BUDGET_ATTEMPT_USD: '0.5' }, 0.5],
])('an attempt is given no more than what is left of the budget of %s', async (_, settings, left) => {
  const rig = await openRig(testFabric(), settings);
  const before = await rig.begin(rig.attempt());
  await (await before.gate.reserve(call(0.4))).settle({ usd: 0.4, usage: usage(1) });
  await before.end();
  const next = await rig.begin(rig.attempt());
  expect(next.left.usd).toBeCloseTo(left, 6);
  await next.end();
});

test('a CLI is ended with the response that spends its budget: its overshoot is that one, and counts', async () => {
  const rig = await openRig(testFabric(), { NEXUS_BUDGET_STEP_USD: '0.3', NEXUS_BUDGET_ATTEMPT_USD: '1' });
  const by = { agentId: 'builder', role: 'builder', runtime: 'claude-code' };
  const options = rig.attempt({ by, model: 'opus', limits: taskLimit(5) });
  const { attempt: number } = options.place;
  const attempt = await rig.begin(options);
  expect(attempt.left.usd).toBe(1);
  const ended = untilAborted(attempt.signal);
  // 0.4 USD each, by the price of Opus.
  for (let response = 0; response < 3; response += 1) attempt.heard(usage(50_000, 10_000));
  await ended;
  expect(attempt.signal.reason).toEqual(spent('BUDGET_SPENT', /attempt \d+ at build/));
  expect(attempt.refused()?.scope).toBe('attempt');
  await attempt.settle({ usd: 1.2, usage: usage(150_000, 30_000), model: 'claude-opus-5-5', notional: false });
  await attempt.end();
  const task = await rig.budgets.read({ taskId: 'a-task' });
  expect(task).toMatchObject({ usd_used: 1.2, usd_reserved: 0, tokens_used: 180_000, tokens_reserved: 0 });
  expect(rig.events.map(({ event, text }) => [event, text?.match(/\(.*\)/)?.[0]])).toEqual([
    ['budget.near', undefined],
    ['budget.spent', '(0.2 over)'],
  ]);
  expect(await rig.book.linesOf('a-task')).toMatchObject([
    {
      attempt: number,
      model: 'claude-opus-5-5',
      runtime: 'claude-code',
      usd: 1.2,
      calls: 3,
      tokens: 180_000,
      unpriced_calls: 0,
    },
  ]);
});

test('a subscription is charged to no budget in USD, but its tokens count', async () => {
  const rig = await openRig(testFabric(), { NEXUS_BUDGET_STEP_TOKENS: '1000' });
  const attempt = await rig.begin(rig.attempt({ model: 'opus', limits: taskLimit(0.01, 50_000), notional: true }));
  attempt.heard(usage(30_000, 1000));
  await attempt.settle({ usd: 0.14, usage: usage(30_000, 1000), model: 'opus', notional: true });
  await attempt.end();
  expect(await rig.budgets.read({ taskId: 'a-task' })).toMatchObject({ usd_used: 0, tokens_used: 31_000 });
  expect(await rig.book.linesOf('a-task')).toMatchObject([{ attempt: expect.any(Number), usd: 0, notional_usd: 0.14 }]);
  // Whose bill it is may be known only at the end.
  const later = await rig.begin(rig.attempt({ model: 'opus', limits: taskLimit(5) }));
  later.heard(usage(1000));
  await later.settle({ usd: 0.004, usage: usage(1000), model: 'opus', notional: true });
  await later.end();
  expect(await rig.budgets.read({ taskId: 'a-task' })).toMatchObject({ usd_used: 0, tokens_used: 32_000 });
});

test('where a CLI told the cost of a part alone, and no price is known for the rest, that part is booked', async () => {
  const rig = await openRig(testFabric());
  const by = { agentId: 'builder', role: 'builder', runtime: 'claude-code' };
  const attempt = await rig.begin(rig.attempt({ by, model: 'my-own-model', tells: 'usd' }));
  attempt.heard(usage(60, 10));
  attempt.heard(usage(60, 10));
  const total = { usd: null, usdLeast: 3, usage: usage(120, 20), model: 'my-own-model', notional: false };
  await attempt.settle(total);
  await attempt.end();
  expect(await rig.book.linesOf('a-task')).toMatchObject([{ usd: 3, unpriced_calls: 2, tokens: 140 }]);
});

test('a model without a price is refused under a limit in USD, and counted as unpriced without one', async () => {
  const rig = await openRig(testFabric());
  const unknown = { ...call(null), model: 'my-own-model' };
  const limited = await rig.begin(rig.attempt({ limits: taskLimit(5) }));
  await expect(limited.gate.reserve(unknown)).rejects.toEqual(
    expect.objectContaining({ code: 'PRICE_UNKNOWN', message: expect.stringContaining('"my-own-model"') }),
  );
  await limited.end();
  const place = { taskId: 'free', subtaskId: 'build', attempt: 1 };
  const free = await rig.begin(rig.attempt({ place }));
  await (await free.gate.reserve(unknown)).settle({ usd: null, usage: usage(70) });
  expect(await rig.book.linesOf('free')).toMatchObject([{ usd: 0, unpriced_calls: 1, tokens: 70 }]);
  expect(await rig.book.rowsBy('model', 1)).toMatchObject([{ name: 'my-own-model', unpriced_calls: 1, tokens: 70 }]);
});

test('the sums of the day are those of the lines, by task, agent, model, role and day', async () => {
  let now = Date.UTC(2026, 4, 1, 23, 59);
  const rig = await openRig(testFabric(), {}, { now: () => now });
  const pay = async (agentId: string, model: string, usd: number) => {
    const by = { agentId, role: 'developer', runtime: 'openai' };
    const one = await rig.begin(rig.attempt({ by, model }));
    await (await one.gate.reserve({ ...call(usd), model })).settle({ usd, usage: usage(100) });
    await one.end();
  };
  await pay('aria', 'gpt-5-mini', 0.25);
  now += 120_000;
  await pay('code', 'gpt-5', 0.5);
  await pay('aria', 'gpt-5', 0.125);
  const names = async (kind: 'agent' | 'model' | 'task' | 'role' | 'day', days = 7) =>
    (await rig.book.rowsBy(kind, days)).map(({ name, usd, calls }) => [name, usd, calls]);
  expect(await names('agent')).toEqual([
    ['code', 0.5, 1],
    ['aria', 0.375, 2],
  ]);
  expect(await names('model')).toEqual([
    ['gpt-5', 0.625, 2],
    ['gpt-5-mini', 0.25, 1],
  ]);
  expect(await names('day')).toEqual([
    ['2026-05-02', 0.625, 2],
    ['2026-05-01', 0.25, 1],
  ]);
  expect(await names('task', 1)).toEqual([['a-task', 0.625, 2]]);
  expect(await names('role')).toEqual([['developer', 0.875, 3]]);
});

test('an attempt that ends gives back what it had reserved, in the middle of a call too', async () => {
  const rig = await openRig(testFabric());
  const attempt = await rig.begin(rig.attempt({ limits: taskLimit(5) }));
  await attempt.gate.reserve(call(1));
  expect((await rig.budgets.read({ taskId: 'a-task' })).usd_reserved).toBe(1);
  await attempt.end();
  await attempt.end();
  expect(await rig.budgets.read({ taskId: 'a-task' })).toMatchObject({ usd_reserved: 0, tokens_reserved: 0 });
});
