/** What a worker does about budgets and providers, with a runtime that spends as a test says; all else is real. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Message, Outcome } from '@nexus/shared/bus';
import type { PayloadOf } from '@nexus/shared/messages';
import { afterAll, afterEach, beforeEach, expect, test } from 'vitest';
import type { Order } from '../../../services/worker-agent/attempt.ts';
import { onSubtaskDispatched } from '../../../services/worker-agent/on-subtask-dispatched.ts';
import {
  codeOfAbort,
  defineRuntime,
  type Payer,
  type RunRequest,
  type RunResult,
} from '../../../services/worker-agent/runtimes.ts';
import { testFabric } from '../../tools/redis.ts';
import { openRig as openSpend, usage } from '../../tools/spending.ts';
import { closeTemplates, openRig, type Rig, taskId } from '../../tools/worker.ts';

let rig: Rig;
beforeEach(async () => {
  rig = await openRig();
});
afterEach(() => rig.close());
afterAll(closeTemplates);

const ended = (over: Partial<RunResult>): RunResult => ({
  ok: true,
  code: null,
  says: '',
  exitCode: 0,
  signal: null,
  outputTail: '',
  leftBehind: 0,
  sessionId: null,
  cost: { usd: null, tokens: null },
  ...over,
});

const subscription: Payer = { provider: 'anthropic', account: 'sub-1', model: 'opus', notional: true };
const apiKey: Payer = { ...subscription, account: 'key-1', notional: false };

/** A worker whose only agent works as `work` says; `payer` makes it a CLI. */
const openWorker = async (options: {
  settings?: Record<string, string>;
  payer?: Payer | null;
  work(request: RunRequest): Promise<RunResult>;
}) => {
  const settings = { NEXUS_RUNTIME: 'paid', ...options.settings };
  const spending = await openSpend(testFabric(), settings);
  const { payer = null } = options;
  rig.runtimes.set(
    'paid',
    defineRuntime({
      name: 'paid',
      capabilities: { resume: false, cost: true },
      ...(payer === null ? {} : { payer: async () => payer }),
      usable: async () => ({ usable: true, looked: 'it is here', mend: '' }),
      run: options.work,
      resume: (_session, request) => options.work(request),
    }),
  );
  const handle = async (order: Order): Promise<{ outcome: Outcome; notes: string[] }> => {
    const delivery = rig.tools(settings);
    Object.assign(delivery.tools, { spending });
    const message = { payload: order } as Message<'subtask.dispatched'>;
    const outcome = await onSubtaskDispatched(message, delivery.tools);
    return {
      outcome,
      notes: delivery.seen.events.flatMap(({ event, text }) => (event === 'agent.note' ? [text ?? ''] : [])),
    };
  };
  return { ...spending, handle, budget: () => spending.budgets.read({ taskId }) };
};

const finishedOf = (outcome: Outcome): PayloadOf<'attempt.finished'> => {
  if (outcome.is !== 'done') throw new Error(`the outcome is ${JSON.stringify(outcome)}`);
  return outcome.publish.find(({ type }) => type === 'attempt.finished')?.payload as PayloadOf<'attempt.finished'>;
};

/** What the ledger says that the attempt waits for. */
const waits = (): string | undefined =>
  JSON.parse(rig.ledger.get(`{test}:attempt:${taskId}:storage`)?.checkpoint ?? '{}').waits;

const works = (folder: string): void => writeFileSync(join(folder, 'work.txt'), 'work\n');
const untilAborted = async ({ signal }: RunRequest): Promise<RunResult> => {
  await new Promise((resolve) => (signal.aborted ? resolve(null) : signal.addEventListener('abort', resolve)));
  return ended({ ok: false, code: codeOfAbort(signal), says: 'It was ended.' });
};

test('a CLI that spends its budget is ended, its work kept, and the overshoot of a response counts', async () => {
  const worker = await openWorker({
    payer: apiKey,
    work: async (request) => {
      works(request.folder);
      expect(request.budget).toEqual({ usd: 0.5, tokens: null });
      // 0.4 USD each.
      for (const _ of [1, 2]) request.onEvent?.({ kind: 'usage', usage: usage(50_000, 10_000) });
      return untilAborted(request);
    },
  });
  rig.setTask({ budget: { usd: 0.5 } });
  const { outcome } = await worker.handle(rig.order());
  const finished = finishedOf(outcome);
  expect(finished).toMatchObject({ outcome: 'failed', code: 'BUDGET_SPENT' });
  expect(finished.says).toMatch(/The budget of the task a-task is spent: 0.8 of 0.5 USD/);
  expect(rig.git('show', `${finished.wip}:work.txt`)).toBe('work');
  // It was ended, so it told of no total; what was heard of it counts.
  expect(finished.cost).toEqual({ usd: 0.8, tokens: 120_000 });
  expect(await worker.budget()).toMatchObject({ usd_max: 0.5, usd_used: 0.8, usd_reserved: 0, tokens_reserved: 0 });
});

test('an attempt whose task has spent its budget fails before it has a workspace; a raise lets it go on', async () => {
  const worker = await openWorker({
    payer: apiKey,
    work: async ({ folder }) => {
      works(folder);
      return ended({ cost: { usd: 0.25, tokens: 100 }, usage: usage(100), model: 'claude-opus-5-5' });
    },
  });
  rig.setTask({ budget: { usd: 0.25 } });
  expect(finishedOf((await worker.handle(rig.order())).outcome)).toMatchObject({ outcome: 'finished' });
  const { outcome } = await worker.handle(rig.order({ attempt: 2 }));
  expect(finishedOf(outcome)).toMatchObject({ outcome: 'failed', code: 'BUDGET_SPENT', evidence: null });
  await worker.budgets.raise({ taskId }, { usd: 1, tokens: null });
  expect(finishedOf((await worker.handle(rig.order({ attempt: 3 }))).outcome)).toMatchObject({ outcome: 'finished' });
  expect(await worker.book.linesOf(taskId)).toMatchObject([
    { subtask_id: 'storage', attempt: 1, runtime: 'paid', usd: 0.25, tokens: 100, model: 'claude-opus-5-5' },
    { attempt: 3, usd: 0.25 },
  ]);
});

test('a runtime that makes its own calls asks before each, and its attempt fails where one does not fit', async () => {
  const call = { provider: 'openai', account: 'key', model: 'gpt-5-mini', usdMax: 0.1, tokensMax: 100 };
  let calls = 0;
  const worker = await openWorker({
    work: async (request) => {
      works(request.folder);
      try {
        for (;;) {
          const reserved = await request.spend?.reserve(call);
          calls += 1;
          await reserved?.settle({ usd: 0.1, usage: usage(100) });
        }
      } catch (thrown) {
        const { code, message } = thrown as { code: 'BUDGET_SPENT'; message: string };
        return ended({ ok: false, code, says: message, parked: { until: null, code, says: message, account: 'key' } });
      }
    },
  });
  rig.setTask({ budget: { usd: 0.35 } });
  const { outcome } = await worker.handle(rig.order());
  expect(finishedOf(outcome)).toMatchObject({ outcome: 'failed', code: 'BUDGET_SPENT', commit: null });
  expect(calls).toBe(3);
  expect(await worker.budget()).toMatchObject({ usd_used: 0.3, usd_reserved: 0 });
});

test('the budget of the day puts attempts aside, uncounted and saved, and a raise lets them go on', async () => {
  const worker = await openWorker({
    settings: { NEXUS_BUDGET_DAY_USD: '0.3', NEXUS_BUDGET_RECHECK: '7s' },
    payer: apiKey,
    work: async (request) => {
      works(request.folder);
      request.onEvent?.({ kind: 'usage', usage: usage(50_000, 10_000) });
      return untilAborted(request);
    },
  });
  const order = rig.order();
  const now = Date.now();
  const first = await worker.handle(order);
  expect(first.outcome).toMatchObject({ is: 'postpone', why: expect.stringContaining('the fleet for today') });
  expect((first.outcome as { untilMs: number }).untilMs).toBeGreaterThanOrEqual(now + 7000);
  expect(waits()).toMatch(/^BUDGET_SPENT: The budget of the fleet for today is spent/);
  expect(first.notes.join('\n')).toMatch(/is put aside until .*, uncounted .*BUDGET_SPENT.*its work so far is kept/);
  const second = await worker.handle(order);
  expect(second.outcome).toMatchObject({ is: 'postpone', why: expect.stringContaining('the fleet for today') });
  await worker.budgets.raise('day', { usd: 5, tokens: null });
  rig.runtimes.set('paid', {
    ...(rig.runtimes.get('paid') as NonNullable<ReturnType<typeof rig.runtimes.get>>),
    run: async () => ended({ cost: { usd: 0.01, tokens: 1 } }),
  });
  const last = finishedOf((await worker.handle(order)).outcome);
  expect(last).toMatchObject({ outcome: 'finished', attempt: 1, files: ['work.txt'] });
  // The deliveries before are part of what the attempt has cost.
  expect(last.cost.usd).toBe(0.41);
});

test('what others have reserved is waited for, uncounted', async () => {
  const worker = await openWorker({ payer: apiKey, work: async () => ended({}) });
  rig.setTask({ budget: { usd: 1 } });
  const limits = { task: { usd: 1, tokens: null }, attempt: { usd: null, tokens: null } };
  const other = await worker.begin(worker.attempt({ place: { taskId, subtaskId: 'other', attempt: 1 }, limits }));
  const call = { provider: 'openai', account: 'key', model: 'gpt-5-mini', usdMax: 1, tokensMax: 10 };
  await other.gate.reserve(call);
  const order = rig.order();
  const { outcome, notes } = await worker.handle(order);
  expect(outcome).toMatchObject({ is: 'postpone', why: expect.stringContaining('is reserved by work that goes on') });
  expect(notes.join('\n')).toContain('is put aside, uncounted');
  expect(waits()).toMatch(/^BUDGET_RESERVED: What is left of the budget of the task a-task/);
  // It never began, so the agent is told of no run before it.
  await other.end();
  let prompt = '';
  rig.runtimes.set('paid', {
    ...(rig.runtimes.get('paid') as NonNullable<ReturnType<typeof rig.runtimes.get>>),
    run: async (request) => {
      prompt = request.prompt;
      works(request.folder);
      return ended({});
    },
  });
  expect(finishedOf((await worker.handle(order)).outcome)).toMatchObject({ outcome: 'finished', attempt: 1 });
  expect(prompt).not.toContain('interrupted');
});

test('a window that is used up puts its attempt aside until it opens, and holds back all of that account', async () => {
  const until = Date.now() + 3_600_000;
  const worker = await openWorker({
    payer: subscription,
    work: async ({ folder }) => {
      works(folder);
      const parked = { until, code: 'MODEL_LIMITED' as const, says: 'resets at 5 pm', account: 'sub-1' };
      return ended({ ok: false, code: 'MODEL_LIMITED', says: 'resets at 5 pm', parked });
    },
  });
  const { outcome } = await worker.handle(rig.order());
  expect(outcome).toMatchObject({ is: 'postpone', untilMs: until });
  const another = await worker.handle(rig.order({ subtask_id: 'another' }));
  expect(another.outcome).toMatchObject({ is: 'postpone', why: expect.stringContaining('"sub-1"') });
  expect(Math.abs((another.outcome as { untilMs: number }).untilMs - until)).toBeLessThan(5000);
});

test('a subscription is bounded by tokens: a budget in USD does not end it', async () => {
  const worker = await openWorker({
    payer: subscription,
    work: async (request) => {
      works(request.folder);
      expect(request.budget).toEqual({ usd: null, tokens: 1_000_000 });
      request.onEvent?.({ kind: 'usage', usage: usage(50_000, 10_000) });
      return ended({ cost: { usd: 0.4, tokens: 60_000 }, usage: usage(50_000, 10_000), model: 'opus', notional: true });
    },
  });
  rig.setTask({ budget: { usd: 0.01, tokens: 1_000_000 } });
  expect(finishedOf((await worker.handle(rig.order())).outcome)).toMatchObject({ outcome: 'finished' });
  expect(await worker.budget()).toMatchObject({ usd_used: 0, tokens_used: 60_000, tokens_reserved: 0 });
});

test('an attempt that is stopped gives back what it had reserved', async () => {
  const worker = await openWorker({ payer: apiKey, work: untilAborted });
  const delivery = rig.tools({ NEXUS_RUNTIME: 'paid' });
  Object.assign(delivery.tools, { spending: worker });
  const order = rig.order();
  const running = onSubtaskDispatched({ payload: order } as Message<'subtask.dispatched'>, delivery.tools);
  while ((await worker.budget()).tokens_reserved === 0) await new Promise((resolve) => setTimeout(resolve, 10));
  delivery.stop();
  expect(await running).toMatchObject({ is: 'give_back' });
  expect(await worker.budget()).toMatchObject({ usd_reserved: 0, tokens_reserved: 0 });
});

test('what a runtime tells is booked, whether or not it can be relied on to tell', async () => {
  const worker = await openWorker({
    work: async ({ folder }) => {
      works(folder);
      return ended({ cost: { usd: 0.2, tokens: 70 }, usage: usage(70), model: 'my-model' });
    },
  });
  const paid = rig.runtimes.get('paid') as NonNullable<ReturnType<typeof rig.runtimes.get>>;
  rig.runtimes.set('paid', { ...paid, capabilities: { ...paid.capabilities, cost: false } });
  const { outcome, notes } = await worker.handle(rig.order());
  expect(finishedOf(outcome)).toMatchObject({ outcome: 'finished', cost: { usd: 0.2, tokens: 70 } });
  expect(notes.join('\n')).not.toContain('told nothing');
  expect(await worker.budget()).toMatchObject({ usd_used: 0.2, tokens_used: 70, tokens_reserved: 0 });
});

test('a runtime that does not tell what it uses is not bounded, and says so', async () => {
  const worker = await openWorker({ work: async () => ended({}), settings: { NEXUS_AGENT_COMMAND: 'echo x > x.txt' } });
  rig.setTask({ budget: { usd: 1 } });
  const { notes } = await worker.handle(rig.order({ runtime: 'command' }));
  expect(notes.join('\n')).toContain('its runtime "command" told nothing of its use');
});
