/** What a task leaves behind, read through the API: a real hub with evidence, and a board that names it. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { done } from '@nexus/shared/bus';
import { openCatalog } from '@nexus/shared/catalog';
import { openClient } from '@nexus/shared/client';
import { loadConfig } from '@nexus/shared/config';
import { commitEvidence, createHub, hubPath, refs, removeHub } from '@nexus/shared/git';
import { writeBoard } from '@nexus/shared/ledger/write';
import { type BoardHead, type Subtask, subtask } from '@nexus/shared/messages/domain';
import { openMeters, silentLog } from '@nexus/shared/telemetry';
import { expect, onTestFinished, test } from 'vitest';
import { gatewayConfig } from '../../services/gateway/config.ts';
import { composeServer } from '../../services/gateway/server.ts';
import { eventually } from '../tools/eventually.ts';
import { consumeAll } from '../tools/messages.ts';
import { testFabric } from '../tools/redis.ts';

const task = 'leave-evidence-abcdef';
const at = new Date().toISOString();

const entryOf = (attempt: number, outcome: string) => ({
  ...{ attempt, outcome, agent_id: 'builder', instance_id: null, code: null, says: '', commit: null, began_at: null },
  ...{ ended_at: at, duration_ms: 1, cost: { usd: null, tokens: null } },
});

const subtaskOf = (order: number, id: string, ref: string): Subtask =>
  subtask.parse({
    ...{ id, title: `Do ${id}`, role: 'builder', goal: 'g', agent_id: 'builder', state: 'merged', order },
    ...{ dependents: [], waiting_for: [], attempt: 1, failures: 0, sent_back: 0, plan_rejections: 0, gate_broken: 0 },
    ...{ instance_id: null, began_at: null, ended_at: at, commit: null, merged_commit: null, report: null },
    ...{ hand_over: null, red: [], checks: [], reason: null, evidence: [{ ref, path: 'output.log' }] },
    history: [entryOf(1, 'finished'), entryOf(1, 'gate_failed'), entryOf(2, 'lost')],
  });

const headOf = (base: string): BoardHead => ({
  ...{ task_id: task, priority: 'NORMAL', mode: 'parallel', created_at: at, counts: { merged: 2 }, total: 2 },
  ...{ ready: [], dispatched: [], queue: [], at_gate: null, integration: base, base_commit: base, before: null },
  ...{ proven: true, red: [], gate_runs: 0, attempts: 2, sent_back: 0, merged: 2, outcome: null, reason: null },
  cost: { usd: null, tokens: null },
});

/** A gateway, and a hub with what an attempt and its gate have left; the board names them. */
const leaveEvidence = async (
  files: Record<string, string>,
  judged: Record<string, string>,
  parts?: (ref: string) => Subtask[],
) => {
  const home = mkdtempSync(join(tmpdir(), 'nexus-evidence-'));
  onTestFinished(() => rmSync(home, { recursive: true, force: true }));
  const hub = hubPath(home, task);
  const { baseCommit } = await createHub({ hub, repository: null, base: null });
  const ref = refs(task).evidence('store-1');
  const gate = refs(task).evidence('gate-store-1');
  await commitEvidence({ hub, ref, message: 'evidence', files });
  await commitEvidence({ hub, ref: gate, message: 'evidence', files: judged });
  const fabric = testFabric();
  const bus = await fabric.open('gateway', { observer: true });
  const config = { ...fabric.config, ...loadConfig(gatewayConfig, { NEXUS_TOKEN: 't' }), home };
  const app = await composeServer({
    ...{ bus, catalog: await openCatalog(), config, version: '0', log: silentLog(), meters: openMeters('gateway') },
    closing: new AbortController().signal,
  });
  onTestFinished(() => app.close());
  const url = await app.listen({ host: '127.0.0.1', port: 0 });
  const client = openClient({ url, token: 't' });
  const manager = await fabric.open('project-manager');
  const subtasks = parts?.(ref) ?? [subtaskOf(0, 'store', ref), subtaskOf(1, 'serve', 'refs/nexus/gone')];
  const write = writeBoard(bus.keys, task, 0, { head: headOf(baseCommit), subtasks });
  consumeAll(manager, 'project-manager', { work: () => done({ write }) });
  await bus.publish({ type: 'board.discarded', payload: { task_id: task }, thread: task, actor: 'test' });
  await eventually('there is a board', () => client.logs(task).catch(() => null));
  return { fabric, bus, hub, ref, gate, client, url };
};

test('logs of attempts and gates are shown from their end, all other evidence where it is asked for', async () => {
  const output = `${'early '.repeat(100)}and the énd`;
  const judged = { 'c1/tests.log': 'red', 'c1/before/tests.log': 'green', 'c1/verdict.json': '{}' };
  const files = { 'output.log': output, 'prompt.md': 'Do it.' };
  const { fabric, bus, hub, ref, client } = await leaveEvidence(files, judged);
  const first = await client.logs(task);

  const shown = first.logs.map(({ subtask_id, evidence, text, truncated }) => [
    subtask_id,
    evidence.path,
    text,
    truncated,
  ]);
  expect(shown).toEqual([
    ['store', 'output.log', output, false],
    ['store', 'c1/tests.log', 'red', false],
    ['serve', 'output.log', null, false],
  ]);
  expect(first.logs[2]?.says).toContain('refs/nexus/gone');

  const end = await client.logs(task, { subtask: 'store', bytesMax: 8 });
  expect(end.logs[0]).toMatchObject({ text: 'the énd', truncated: true });
  expect((await client.logs(task, { bytesMax: 3 })).logs[0]?.text).toBe('nd');
  const all = await client.logs(task, { subtask: 'store', all: true });
  expect(all.logs.map(({ evidence, text }) => [evidence.path, text])).toEqual([
    ['output.log', output],
    ['prompt.md', 'Do it.'],
    ['c1/before/tests.log', 'green'],
    ['c1/tests.log', 'red'],
    ['c1/verdict.json', '{}'],
  ]);
  await expect(client.logs(task, { subtask: 'nothing' })).rejects.toMatchObject({ code: 'SUBTASK_UNKNOWN' });
  expect((await client.subtask(task, 'store')).evidence).toEqual([{ ref, path: 'output.log' }]);
  await expect(client.subtask(task, 'nothing')).rejects.toMatchObject({ status: 404, code: 'SUBTASK_UNKNOWN' });

  // What the finalizer leaves of a task that ended long ago.
  await removeHub(hub, task);
  const json = JSON.stringify({ evidence_expired_at: '2027-02-01T00:00:00.000Z' });
  await fabric.redis.hset(bus.keys.report(task), { revision: 2, markdown: '# x', json });
  const late = (await client.logs(task)).logs.map(({ subtask_id, text, says }) => [subtask_id, text, says]);
  const says = expect.stringContaining('expired: the evidence of this task was removed at 2027-02-01');
  expect(late).toEqual([
    ['store', null, says],
    ['serve', null, says],
  ]);
});

test('a log is told under the subtask and the agent that left it, once, whoever has the subtask now', async () => {
  const record = { 'attempt.json': JSON.stringify({ agent_id: 'rust-expert' }) };
  const { hub, client } = await leaveEvidence({ 'output.log': 'one', ...record }, { 'c1/tests.log': 'red' }, (ref) => [
    {
      ...subtaskOf(0, 'replan-store', ref),
      agent_id: 'planner',
      evidence: [{ ref, path: 'output.log' }],
      history: [],
    },
    { ...subtaskOf(1, 'store', ref), agent_id: 'code_developer', attempt: 2 },
    {
      ...{ ...subtaskOf(2, 'serve', ref), agent_id: 'planner', history: [], attempt: 0 },
      evidence: [{ ref: refs(task).evidence('gone-1'), path: 'output.log' }],
    },
  ]);
  await commitEvidence({ hub, ref: refs(task).evidence('store-2'), message: 'e', files: { 'output.log': 'two' } });
  await commitEvidence({
    ...{ hub, ref: refs(task).evidence('gone-1'), message: 'e' },
    files: { 'output.log': 'three', ...record },
  });
  const told = ({ logs }: Awaited<ReturnType<typeof client.logs>>) =>
    logs.map(({ subtask_id, agent_id, text }) => [subtask_id, agent_id, text]);
  expect(told(await client.logs(task))).toEqual([
    ['store', 'builder', 'one'],
    ['store', 'builder', 'red'],
    ['store', 'builder', 'two'],
    ['gone', 'rust-expert', 'three'],
  ]);
  expect(told(await client.logs(task, { subtask: 'replan-store' }))).toEqual([]);
});

test('the evidence of each attempt tells who ran it, how, at what cost, and what the gate said to it', async () => {
  const about = {
    ...{ agent_id: 'builder', runtime: 'claude-code', outcome: 'finished', exit_code: 0, session_id: 's-1' },
    ...{ model: 'opus', login: 'subscription', cost: { usd: 0.5, tokens: 30 }, tool_calls: 4, turns: 2 },
    ...{ files_read: ['a.ts'], files_written: ['b.ts'], commands: ['npm test'] },
  };
  const { hub, ref, gate, client, url } = await leaveEvidence(
    {
      'attempt.json': JSON.stringify({ ...about, of_another_version: 1, notes: 'no list' }),
      ...{ 'prompt.md': 'Do it.', 'output.log': 'done', 'transcript.jsonl': '{}', 'report.md': 'All well.' },
    },
    { 'c1/verdict.json': JSON.stringify({ verdict: 'failed', says: 'red', alarms: [] }), 'c1/tests.log': 'red' },
  );
  const { attempts, truncated } = await client.evidence(task);
  expect(truncated).toBe(false);
  const names = attempts.map(({ subtask_id, attempt }) => `${subtask_id}-${attempt}`);
  expect(names).toEqual(['store-1', 'store-2', 'serve-1', 'serve-2']);
  const [first, second] = attempts;
  expect(first).toMatchObject({
    ...{ says: '', record: { ...about, signal: null, notes: null }, prompt: { ref, path: 'prompt.md' } },
    ...{ transcript: { ref, path: 'transcript.jsonl' }, log: { ref, path: 'output.log' } },
    report: { ref, path: 'report.md' },
  });
  expect(first?.record).not.toHaveProperty('of_another_version');
  const kept = [
    { ref: gate, path: 'c1/tests.log' },
    { ref: gate, path: 'c1/verdict.json' },
  ];
  expect(first?.gates).toMatchObject([{ record: { verdict: 'failed', says: 'red', alarms: [], base: null }, kept }]);
  expect(second).toMatchObject({ record: null, kept: [], gates: [], says: expect.stringContaining('store-2') });

  const one = await client.evidence(task, { subtask: 'serve', attempt: 2 });
  expect(one.attempts.map(({ subtask_id, attempt }) => [subtask_id, attempt])).toEqual([['serve', 2]]);
  await expect(client.evidence(task, { subtask: 'nothing' })).rejects.toMatchObject({ code: 'SUBTASK_UNKNOWN' });
  const unknown = client.evidence('nobody-knows-it-abcdef');
  await expect(unknown).rejects.toMatchObject({ status: 404, code: 'TASK_UNKNOWN' });
  expect((await fetch(`${url}/api/tasks/${task}/evidence`)).status).toBe(401);
  const { paths } = (await (await fetch(`${url}/openapi.json`)).json()) as { paths: Record<string, unknown> };
  expect(paths).toHaveProperty(['/api/tasks/{id}/evidence', 'get', 'operationId'], 'showEvidence');

  await removeHub(hub, task);
  expect((await client.evidence(task)).attempts).toHaveLength(4);
});
