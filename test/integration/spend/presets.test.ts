/** What other agents' programs spend: no budget in USD stands over use whose price nobody knows. */
import { chmodSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, expect, onTestFinished, test } from 'vitest';
import { finishedOf, openPaidWorker } from '../../tools/paid-worker.ts';
import { closeTemplates, openRig, type Rig, taskId } from '../../tools/worker.ts';

let rig: Rig;
beforeEach(async () => {
  rig = await openRig();
});
afterEach(() => rig.close());
afterAll(closeTemplates);

const told = {
  codex: [
    { type: 'thread.started', thread_id: 'a-thread' },
    { type: 'turn.completed', usage: { input_tokens: 900, cached_input_tokens: 400, output_tokens: 100 } },
  ],
  gemini: [
    { type: 'init', session_id: 'a-session', model: 'gemini-3-pro' },
    { type: 'result', status: 'success', stats: { input_tokens: 900, output_tokens: 100, cached: 400 } },
  ],
  opencode: [
    { type: 'step_start', sessionID: 'a-session', part: {} },
    { type: 'step_finish', sessionID: 'a-session', part: { cost: 0.02, tokens: { input: 500, output: 100 } } },
  ],
};

/** A worker whose agents are that program, which writes a file and prints what the real one is documented to print. */
const openWorker = async (name: keyof typeof told, settings: Record<string, string> = {}) => {
  const folder = mkdtempSync(join(tmpdir(), 'nexus-preset-'));
  const path = process.env.PATH;
  process.env.PATH = `${folder}:${path}`;
  onTestFinished(() => {
    process.env.PATH = path;
    rmSync(folder, { recursive: true, force: true });
  });
  const said = told[name].map((line) => `echo '${JSON.stringify(line)}'`).join('\n');
  const ran = join(folder, 'ran');
  writeFileSync(join(folder, name), `#!/bin/sh\ntouch ${ran}\ncat > /dev/null\necho work > work.txt\n${said}\n`);
  chmodSync(join(folder, name), 0o755);
  const worker = await openPaidWorker(rig, { NEXUS_RUNTIME: 'command', NEXUS_AGENT_COMMAND: name, ...settings });
  return { ...worker, hasRun: () => existsSync(ran) };
};

const pricesOf = (model: string): Record<string, string> => {
  const file = join(rig.home, 'prices.json');
  writeFileSync(file, JSON.stringify({ as_of: '2026-11-01', models: { [model]: { input: 2, output: 10 } } }));
  return { NEXUS_PRICES: file };
};

test('a program that tells neither price nor model is not begun under a budget in USD', async () => {
  const worker = await openWorker('codex');
  rig.setTask({ budget: { usd: 3 } });
  const finished = finishedOf((await worker.handle(rig.order())).outcome);
  expect(finished).toMatchObject({ outcome: 'failed', code: 'PRICE_UNKNOWN' });
  expect(finished.says).toContain('"the default of codex"');
  expect(worker.hasRun()).toBe(false);
  expect(await worker.budget()).toMatchObject({ usd_used: 0, usd_reserved: 0, tokens_reserved: 0 });
});

test('one that names a model without a price fails with its first use, its work kept, and says so', async () => {
  const worker = await openWorker('gemini');
  rig.setTask({ budget: { usd: 3 } });
  const { outcome, notes } = await worker.handle(rig.order());
  const finished = finishedOf(outcome);
  expect(finished).toMatchObject({ outcome: 'failed', code: 'PRICE_UNKNOWN' });
  expect(finished.says).toContain('"gemini-3-pro"');
  expect(notes).toContain(finished.says);
  expect(rig.git('show', `${finished.wip}:work.txt`)).toBe('work');
  expect(await worker.budget()).toMatchObject({ usd_reserved: 0, tokens_used: 1000, tokens_reserved: 0 });
});

test('one that names a model with a price is booked at that, and one that tells USD at what it tells', async () => {
  const gemini = await openWorker('gemini', pricesOf('gemini-3-pro'));
  rig.setTask({ budget: { usd: 3 } });
  expect(finishedOf((await gemini.handle(rig.order())).outcome)).toMatchObject({ outcome: 'finished' });
  const [line, ...others] = await gemini.book.linesOf(taskId);
  expect(others).toEqual([]);
  expect(line).toMatchObject({ model: 'gemini-3-pro', calls: 1, unpriced_calls: 0, tokens: 1000 });
  expect(line?.usd).toBeGreaterThan(0);
  const opencode = await openWorker('opencode');
  const finished = finishedOf((await opencode.handle(rig.order({ attempt: 2 }))).outcome);
  expect(finished).toMatchObject({ outcome: 'finished', cost: { usd: 0.02 } });
});

test('the model that a program names stands in the ledger, also where nobody knows its price', async () => {
  const worker = await openWorker('gemini');
  expect(finishedOf((await worker.handle(rig.order())).outcome)).toMatchObject({ outcome: 'finished' });
  expect(await worker.book.linesOf(taskId)).toMatchObject([{ model: 'gemini-3-pro', calls: 1, unpriced_calls: 1 }]);
});
