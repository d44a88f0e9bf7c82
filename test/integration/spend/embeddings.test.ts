/** Embeddings of memories are paid like all else: the real library and memories, a server that plays the model. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { json } from 'node:stream/consumers';
import { loadConfig } from '@nexus/shared/config';
import { memoryConfig, openMemory } from '@nexus/shared/memory';
import { embedConfig, openEmbed } from '@nexus/shared/model';
import { embeddingGate } from '@nexus/shared/spend';
import { silentLog } from '@nexus/shared/telemetry';
import { expect, onTestFinished, test } from 'vitest';
import { recallFor } from '../../../services/worker-agent/recall.ts';
import { testFabric } from '../../tools/redis.ts';
import { openRig } from '../../tools/spending.ts';

const model = 'text-embedding-3-small';

/** Answers with a vector, at a thousand tokens a text; or with an error. */
const openServer = async (status: () => number) => {
  let asked = 0;
  const server = createServer(async (request, response) => {
    const { input } = (await json(request)) as { input: string[] };
    asked += 1;
    response.writeHead(status(), { 'content-type': 'application/json' });
    const data = input.map((_text, index) => ({ index, object: 'embedding', embedding: [1, 0, 0] }));
    const usage = { prompt_tokens: 1000 * input.length, total_tokens: 1000 * input.length };
    response.end(
      JSON.stringify(status() === 200 ? { object: 'list', model, data, usage } : { error: { message: 'no' } }),
    );
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`, asked: () => asked };
};

const open = async (settings: Record<string, string> = {}, status = () => 200) => {
  const server = await openServer(status);
  const fabric = testFabric();
  const rig = await openRig(fabric, settings);
  const { side, keys, instanceId } = await fabric.open('gateway', { observer: true });
  const config = loadConfig(embedConfig, { NEXUS_MODEL_URL: server.url, NEXUS_EMBEDDING_MODEL: model });
  const embed = openEmbed(config, { gate: embeddingGate(rig, instanceId), priceOf: rig.prices.costOf });
  const memory = loadConfig(memoryConfig, {});
  const memories = openMemory({ side, keys, settings: memory, redact: (text) => text, embed, log: silentLog() });
  return { ...rig, ...server, embed, memories };
};

const order = { task_id: 'a-task', subtask_id: 'build', title: 'CSV', goal: 'Write it.', acceptance: [], files: [] };
const recallSettings = { memoryRecalled: 5, memoryPromptChars: 1000, memoryFit: 0.15 };

test('what is recalled for an attempt is booked under its task, and what nobody asked for under none', async () => {
  const { memories, book, budgets, embed } = await open();
  const agent = { agent_id: 'builder', memory: null };
  const request = { request: 'Let people export.', budget: { usd: 1 } };
  await recallFor(order, agent, request, { memories, config: recallSettings, log: silentLog() });
  expect(await book.linesOf('a-task')).toMatchObject([
    {
      ...{ subtask_id: '(memory)', agent_id: 'memory', role: 'memory', runtime: 'embedding', model },
      ...{ calls: 1, input_tokens: 1000, usd: 0.00002 },
    },
  ]);
  expect(await budgets.read({ taskId: 'a-task' })).toMatchObject({ usd_max: 1, usd_used: 0.00002, usd_reserved: 0 });
  await embed?.(['export']);
  expect(await book.linesOf('(memory)')).toMatchObject([{ calls: 1, usd: 0.00002 }]);
  expect(await budgets.read('day')).toMatchObject({ usd_used: 0.00004, tokens_used: 2000, tokens_reserved: 0 });
});

test('where the budget of the day is spent no vector is asked for, and memories are found by their words', async () => {
  const { memories, budgets, asked, embed } = await open({ NEXUS_BUDGET_DAY_TOKENS: '5' });
  const source = { kind: 'note' as const, by: 'ada', at: '2026-01-02T03:04:05.000Z' };
  await memories.remember({ scope: 'shared', content: 'Commas divide the export', key: 'k', source });
  const found = await memories.recall({ scopes: ['shared'], text: 'the export of commas', limit: 1 });
  expect(found.map(({ memory }) => memory.content)).toEqual(['Commas divide the export']);
  await expect(embed?.(['a long enough text'])).rejects.toMatchObject({ code: 'BUDGET_SPENT' });
  expect(asked()).toBe(0);
  expect(await budgets.read('day')).toMatchObject({ tokens_used: 0, tokens_reserved: 0 });
});

test('an embedding that fails costs nothing, and gives back what was reserved', async () => {
  const { embed, budgets } = await open({}, () => 500);
  await expect(embed?.(['x'])).rejects.toMatchObject({ code: 'MODEL_UNREACHABLE' });
  expect(await budgets.read('day')).toMatchObject({ tokens_used: 0, tokens_reserved: 0, usd_reserved: 0 });
});
