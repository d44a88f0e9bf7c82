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

test('logs of attempts and gates are shown from their end, all other evidence where it is asked for', async () => {
  const home = mkdtempSync(join(tmpdir(), 'nexus-evidence-'));
  onTestFinished(() => rmSync(home, { recursive: true, force: true }));
  const hub = hubPath(home, task);
  const { baseCommit } = await createHub({ hub, repository: null, base: null });
  const ref = refs(task).evidence('store-1');
  const output = `${'early '.repeat(100)}and the énd`;
  await commitEvidence({ hub, ref, message: 'evidence', files: { 'output.log': output, 'prompt.md': 'Do it.' } });

  const gate = refs(task).evidence('gate-store-1');
  const judged = { 'c1/tests.log': 'red', 'c1/before/tests.log': 'green', 'c1/verdict.json': '{}' };
  await commitEvidence({ hub, ref: gate, message: 'evidence', files: judged });

  const fabric = testFabric();
  const bus = await fabric.open('gateway', { observer: true });
  const config = { ...fabric.config, ...loadConfig(gatewayConfig, { NEXUS_TOKEN: 't' }), home };
  const app = await composeServer({
    ...{ bus, catalog: await openCatalog(), config, version: '0', log: silentLog(), meters: openMeters('gateway') },
    closing: new AbortController().signal,
  });
  onTestFinished(() => app.close());
  const client = openClient({ url: await app.listen({ host: '127.0.0.1', port: 0 }), token: 't' });
  const manager = await fabric.open('project-manager');
  const subtasks = [subtaskOf(0, 'store', ref), subtaskOf(1, 'serve', 'refs/nexus/gone')];
  const write = writeBoard(bus.keys, task, 0, { head: headOf(baseCommit), subtasks });
  consumeAll(manager, 'project-manager', { work: () => done({ write }) });
  await bus.publish({ type: 'board.discarded', payload: { task_id: task }, thread: task, actor: 'test' });
  const first = await eventually('there is a board', () => client.logs(task).catch(() => null));

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
