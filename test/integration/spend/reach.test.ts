/** Providers that cannot be reached: real runtimes and CLIs put their attempts aside, uncounted, for so long. */
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, expect, onTestFinished, test } from 'vitest';
import { claudeProgram } from '../../tools/claude.ts';
import { eventually } from '../../tools/eventually.ts';
import { deafUrl, openOpenaiApi } from '../../tools/openai-api/openai-api.ts';
import { finishedOf, openPaidWorker } from '../../tools/paid-worker.ts';
import { closeTemplates, openRig, type Rig, taskId } from '../../tools/worker.ts';

let rig: Rig;
beforeEach(async () => {
  rig = await openRig();
});
afterEach(() => rig.close());
afterAll(closeTemplates);

const runtimes = {
  openai: async (url: string): Promise<Record<string, string>> => ({
    ...{ NEXUS_RUNTIME: 'openai', NEXUS_MODEL_URL: `${url}`, NEXUS_OPENAI_MODEL: 'test-model', NEXUS_MODEL_TRIES: '1' },
  }),
  'claude-code': async (url: string): Promise<Record<string, string>> => ({
    ...{ NEXUS_RUNTIME: 'claude-code', NEXUS_CLAUDE_PROGRAM: claudeProgram(), NEXUS_CLAUDE_LOGIN: 'api_key' },
    ...{ NEXUS_CLAUDE_RETRIES: '0', ANTHROPIC_API_KEY: 'sk-ant-of-nobody-0123456789', ANTHROPIC_BASE_URL: url },
  }),
};
const names = Object.keys(runtimes) as (keyof typeof runtimes)[];

/** What the ledger says that the attempt waits for. */
const checkpoint = () => JSON.parse(rig.ledger.get(`{test}:attempt:${taskId}:storage`)?.checkpoint ?? '{}');

test.each(names)(
  '%s puts an attempt aside whose provider is out of reach, uncounted, and fails it in the end',
  async (name) => {
    const settings = await runtimes[name]((await deafUrl()).replace(name === 'openai' ? /$^/ : '/v1', ''));
    const worker = await openPaidWorker(rig, { ...settings, NEXUS_PROVIDER_DOWN_MAX: '1ms' });
    const order = rig.order();
    const first = await worker.handle(order);
    expect(first.outcome).toMatchObject({ is: 'postpone', why: expect.stringMatching(/^MODEL_UNREACHABLE: /) });
    expect(first.notes.join('\n')).toMatch(/is put aside until .*, uncounted/);
    expect(checkpoint()).toMatchObject({ waits: expect.stringMatching(/^MODEL_UNREACHABLE/) });
    expect(checkpoint().unreachable_since).toBeGreaterThan(Date.now() - 60_000);
    // It is told to the governor: where it is so again and again, nobody is sent there for a while.
    const finished = finishedOf((await worker.handle(order)).outcome);
    expect(finished).toMatchObject({ outcome: 'failed', code: 'MODEL_UNREACHABLE', attempt: 1 });
    expect(finished.says).toMatch(/does not answer.* It has been so for 1 minutes\./s);
    expect(await worker.book.linesOf(taskId)).toEqual([]);
    expect(await worker.budget()).toMatchObject({ usd_used: 0, usd_reserved: 0, tokens_reserved: 0 });
  },
);

test('a provider that fails in a row is left alone; what waits for it says so, and fails in the end', async () => {
  const url = (await deafUrl()).replace('/v1', '');
  const settings = { ...(await runtimes['claude-code'](url)), NEXUS_BREAKER_AFTER: '1', NEXUS_BREAKER_FOR: '1h' };
  const worker = await openPaidWorker(rig, { ...settings, NEXUS_PROVIDER_DOWN_MAX: '1s' });
  expect((await worker.handle(rig.order())).outcome).toMatchObject({ is: 'postpone' });
  const other = rig.order({ subtask_id: 'another' });
  const { outcome } = await worker.handle(other);
  expect(outcome).toMatchObject({ is: 'postpone', why: expect.stringContaining('it failed several times in a row') });
  await new Promise((resolve) => setTimeout(resolve, 1100));
  const finished = finishedOf((await worker.handle(other)).outcome);
  expect(finished).toMatchObject({ outcome: 'failed', code: 'MODEL_UNREACHABLE', evidence: null });
});

test('an attempt goes on when its provider is back, and is still the same one', async () => {
  const finish = { calls: [{ tool: 'finish', input: { summary: 'It is done.' } }] };
  const api = await openOpenaiApi([finish], { key: null });
  await api.close();
  const worker = await openPaidWorker(rig, await runtimes.openai(api.url));
  const order = rig.order({ kind: 'report' });
  expect((await worker.handle(order)).outcome).toMatchObject({ is: 'postpone' });
  const back = await openOpenaiApi([finish], { key: null, port: Number(URL.parse(api.url)?.port) });
  onTestFinished(() => back.close());
  const outcome = await eventually('it goes on', async () => {
    const again = (await worker.handle(order)).outcome;
    return again.is === 'done' ? again : undefined;
  });
  expect(finishedOf(outcome)).toMatchObject({ outcome: 'finished', attempt: 1 });
});

test('a CLI of a preset takes a place, reserves and books, and its provider’s limit puts it aside', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'nexus-codex-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const events = [
    { type: 'thread.started', thread_id: 'a-thread' },
    { type: 'turn.completed', usage: { input_tokens: 900, cached_input_tokens: 400, output_tokens: 100 } },
  ];
  const refusal = { type: 'turn.failed', error: { message: '429 Too Many Requests' } };
  const path = process.env.PATH;
  process.env.PATH = `${folder}:${path}`;
  onTestFinished(() => {
    process.env.PATH = path;
  });
  const play = (lines: object[], exit: number) => {
    const said = lines.map((line) => `echo '${JSON.stringify(line)}'`).join('\n');
    const wait = `touch ${folder}/runs; while [ ! -e ${folder}/go ]; do sleep 0.05; done`;
    writeFileSync(
      join(folder, 'codex'),
      `#!/bin/sh\ncat > /dev/null\necho work > work.txt\n${wait}\n${said}\nexit ${exit}\n`,
    );
    chmodSync(join(folder, 'codex'), 0o755);
  };
  const worker = await openPaidWorker(rig, { NEXUS_RUNTIME: 'command', NEXUS_AGENT_COMMAND: 'codex' });
  rig.setTask({ budget: { tokens: 100_000 } });
  play(events, 0);
  const running = worker.handle(rig.order());
  await eventually('it runs, and has its place', async () => (await worker.flights()).length > 0);
  expect(await worker.flights()).toEqual(['process:openai:codex:default']);
  expect((await worker.budget()).tokens_reserved).toBeGreaterThan(0);
  writeFileSync(join(folder, 'go'), '');
  expect(finishedOf((await running).outcome)).toMatchObject({ outcome: 'finished', cost: { usd: null, tokens: 1000 } });
  expect(await worker.flights()).toEqual([]);
  expect(await worker.book.linesOf(taskId)).toMatchObject([
    { runtime: 'command', tokens: 1000, calls: 1, unpriced_calls: 1 },
  ]);
  expect(await worker.budget()).toMatchObject({ tokens_used: 1000, tokens_reserved: 0 });
  play([events[0] as object, refusal], 1);
  const limited = await worker.handle(rig.order({ attempt: 2 }));
  expect(limited.outcome).toMatchObject({ is: 'postpone', why: expect.stringContaining('429 Too Many Requests') });
  // Nobody else is sent there meanwhile.
  const next = await worker.handle(rig.order({ subtask_id: 'another' }));
  expect(next.outcome).toMatchObject({ is: 'postpone', why: expect.stringContaining('"codex"') });
});
