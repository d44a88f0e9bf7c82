/** What agents of Claude Code spend, as budgets and ledger see it: the real CLI, with a model that is scripted. */
import { afterAll, afterEach, beforeEach, expect, onTestFinished, test } from 'vitest';
import { claudeProgram } from '../../tools/claude.ts';
import { openMessagesApi, type Script, use } from '../../tools/messages-api/messages-api.ts';
import { finishedOf, openPaidWorker } from '../../tools/paid-worker.ts';
import { closeTemplates, openRig, type Rig, taskId } from '../../tools/worker.ts';

let rig: Rig;
beforeEach(async () => {
  rig = await openRig();
});
afterEach(() => rig.close());
afterAll(closeTemplates);

const done = use('StructuredOutput', { summary: 'It is done.' });
const writes = (path: string, usage = {}) => use('Write', { file_path: path, content: 'work\n' }, '', { usage });

/** A worker whose agents are those of Claude Code; what the model says is scripted. */
const openWorker = async (script: Script, login: Record<string, string> = {}) => {
  const api = await openMessagesApi();
  onTestFinished(() => api.close());
  const settings = {
    ...{ NEXUS_RUNTIME: 'claude-code', NEXUS_CLAUDE_PROGRAM: claudeProgram(), NEXUS_CLAUDE_LOGIN: 'api_key' },
    ...{ ANTHROPIC_API_KEY: 'sk-ant-of-nobody-0123456789', ANTHROPIC_BASE_URL: api.script('spend', script) },
    ...login,
  };
  return openPaidWorker(rig, settings);
};

test('what an agent of Claude Code uses is booked at our own prices’ sum, and its process takes a place', async () => {
  let places: string[] = [];
  const worker = await openWorker(async ({ turn }) => {
    places = await worker.flights();
    return turn === 0 ? writes('work.txt', { input_tokens: 1000, cache_read_input_tokens: 10_000 }) : done;
  });
  rig.setTask({ budget: { usd: 1 } });
  const finished = finishedOf((await worker.handle(rig.order())).outcome);
  expect(finished).toMatchObject({ outcome: 'finished', files: ['work.txt'] });
  expect(places).toEqual([expect.stringMatching(/^process:anthropic:claude-api_key-\w{8}:claude-opus-5-5$/)]);
  expect(await worker.flights()).toEqual([]);
  const [line, ...others] = await worker.book.linesOf(taskId);
  expect(others).toEqual([]);
  expect(line).toMatchObject({
    ...{ subtask_id: 'storage', attempt: 1, agent_id: 'code_developer', runtime: 'claude-code' },
    ...{ model: 'claude-opus-5-5', calls: 2, unpriced_calls: 0, notional_usd: 0 },
    ...{ input_tokens: 1100, output_tokens: 40, cache_read_tokens: 10_000, cache_write_tokens: 0 },
  });
  // What the CLI says of it is what the table says.
  expect(line?.usd).toBeCloseTo((1100 * 4 + 40 * 20 + 10_000 * 0.2) / 1e6, 6);
  expect(finished.cost).toEqual({ usd: line?.usd, tokens: 11_140 });
  expect(await worker.budget()).toMatchObject({ usd_used: line?.usd, usd_reserved: 0, tokens_reserved: 0 });
});

test('an agent passes its budget by one response at most, which is told and taken from its task', async () => {
  // 0.04 USD each, and each ends with more to do.
  const worker = await openWorker(({ turn }) =>
    writes(`work-${turn}.txt`, { input_tokens: 5000, output_tokens: 1000 }),
  );
  rig.setTask({ budget: { usd: 0.1 } });
  const { outcome } = await worker.handle(rig.order());
  const finished = finishedOf(outcome);
  expect(finished).toMatchObject({ outcome: 'failed', code: 'BUDGET_SPENT', cost: { usd: 0.12 } });
  expect(rig.git('show', `${finished.wip}:work-0.txt`)).toBe('work');
  expect(await worker.book.linesOf(taskId)).toMatchObject([{ calls: 3, usd: 0.12, input_tokens: 15_000 }]);
  expect(await worker.budget()).toMatchObject({ usd_max: 0.1, usd_used: 0.12, usd_reserved: 0 });
  const told = worker.events.findLast(({ event }) => event === 'budget.spent');
  expect(told?.text).toBe('120 % of the budget of the task a-task are used: 0.12 of 0.1 USD (0.02 over)');
  // What it went over by is the task's to bear: a raise by less than that lets nobody begin.
  await worker.budgets.raise({ taskId }, { usd: 0.115, tokens: null });
  const again = finishedOf((await worker.handle(rig.order({ attempt: 2 }))).outcome);
  expect(again).toMatchObject({ outcome: 'failed', code: 'BUDGET_SPENT', cost: { usd: null } });
  expect(again.says).toContain('0.12 of 0.115 USD');
});

test('after a raise an agent goes on in its conversation, and is billed for what comes alone', async () => {
  const turns: number[] = [];
  const worker = await openWorker(({ turn }) => {
    turns.push(turn);
    return turn < 3 ? writes(`work-${turn}.txt`, { input_tokens: 5000, output_tokens: 1000 }) : done;
  });
  rig.setTask({ budget: { usd: 0.1 } });
  const spent = finishedOf((await worker.handle(rig.order())).outcome);
  expect(spent).toMatchObject({ outcome: 'failed', code: 'BUDGET_SPENT' });
  await worker.budgets.raise({ taskId }, { usd: 1, tokens: null });
  const hand_over = { why: 'stopped' as const, says: '', commit: spent.wip, log_tail: '', files: [] };
  const again = finishedOf((await worker.handle(rig.order({ attempt: 2, hand_over }))).outcome);
  expect(again).toMatchObject({ outcome: 'finished' });
  // The CLI adds a word of its own where an answer was broken off.
  expect(turns.map((turn) => Math.min(turn, 3))).toEqual([0, 1, 2, 3]);
  expect(await worker.book.linesOf(taskId)).toMatchObject([
    { attempt: 1, usd: 0.12, input_tokens: 15_000 },
    { attempt: 2, usd: expect.closeTo(0.0008, 6), input_tokens: 100, output_tokens: 20 },
  ]);
});

test('what a conversation that became too long has used stays booked when the next one tells its price', async () => {
  const long = use('Bash', { command: 'sleep 5' }, '', { usage: { input_tokens: 170_000 } });
  const worker = await openWorker(({ nth, turn }) => (nth === 0 ? long : turn === 0 ? writes('work.txt') : done), {
    NEXUS_CLAUDE_ROTATE: '15',
  });
  rig.setTask({ budget: { usd: 7 } });
  const finished = finishedOf((await worker.handle(rig.order())).outcome);
  expect(finished).toMatchObject({ outcome: 'finished', files: ['work.txt'] });
  const [line, ...others] = await worker.book.linesOf(taskId);
  expect(others).toEqual([]);
  expect(line).toMatchObject({ model: 'claude-opus-5-5', calls: 3, unpriced_calls: 0, input_tokens: 170_200 });
  // The one that was cut off is reckoned from what was heard of it.
  expect(line?.usd).toBeGreaterThan((170_200 * 4) / 1e6);
  expect(line?.usd).toBeLessThan((170_200 * 4 + 200 * 20) / 1e6);
  expect(finished.cost.usd).toBe(line?.usd);
  expect(await worker.budget()).toMatchObject({ usd_used: line?.usd, usd_reserved: 0 });
});

test('what a CLI uses is booked for the model that it names, whatever it was thought to take', async () => {
  const subscription = { NEXUS_CLAUDE_LOGIN: 'subscription', CLAUDE_CODE_OAUTH_TOKEN: 'sk-ant-oat01-of-nobody' };
  const worker = await openWorker(({ turn }) => (turn === 0 ? writes('work.txt') : done), subscription);
  const finished = finishedOf((await worker.handle(rig.order())).outcome);
  expect(finished).toMatchObject({ outcome: 'finished' });
  expect(await worker.book.linesOf(taskId)).toMatchObject([{ model: 'claude-sonnet-5-5', calls: 2 }]);
});

test('a subscription is walled in by tokens up to one response, though its CLI tells them at its end', async () => {
  const long = (turn: number) => use('Write', { file_path: `${turn}.txt`, content: 'word '.repeat(8000) });
  const worker = await openWorker(
    ({ turn }) => ({ ...long(turn), usage: { input_tokens: 100, output_tokens: 10_000 } }),
    {
      ...{ NEXUS_CLAUDE_LOGIN: 'subscription', CLAUDE_CODE_OAUTH_TOKEN: 'sk-ant-oat01-of-nobody' },
    },
  );
  rig.setTask({ budget: { usd: 0.000001, tokens: 25_000 } });
  const finished = finishedOf((await worker.handle(rig.order())).outcome);
  expect(finished).toMatchObject({ outcome: 'failed', code: 'BUDGET_SPENT' });
  const [line] = await worker.book.linesOf(taskId);
  expect(line).toMatchObject({ usd: 0, calls: 3 });
  expect(line?.notional_usd).toBeGreaterThan(0);
  const { tokens_used, tokens_reserved, usd_used } = await worker.budget();
  expect({ tokens_reserved, usd_used }).toEqual({ tokens_reserved: 0, usd_used: 0 });
  expect(tokens_used).toBeGreaterThan(25_000);
  expect(tokens_used).toBeLessThan(25_000 + 10_100 + 1000);
});
