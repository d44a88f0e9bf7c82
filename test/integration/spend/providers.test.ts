/** Fifty agents of the real `openai` runtime against a server that takes so many calls in a window, and no more. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { AgentDefinition } from '@nexus/shared/catalog';
import { loadConfig } from '@nexus/shared/config';
import { expect, onTestFinished, test } from 'vitest';
import { openaiConfig } from '../../../services/worker-agent/openai/settings.ts';
import { runtime } from '../../../services/worker-agent/runtimes/openai.ts';
import type { RunRequest } from '../../../services/worker-agent/runtimes.ts';
import { openOpenaiApi, type Reply } from '../../tools/openai-api/openai-api.ts';
import { testFabric } from '../../tools/redis.ts';
import { openRig } from '../../tools/spending.ts';

const agents = 50;
const callsEach = 8;
const allows = { count: 50, everyMs: 2000 };

const agent = { agent_id: 'code', name: 'Code', role: 'builder', tools: [], model: 'inherit' };
const asks = (tool: string, input: object): Reply => ({ calls: [{ tool, input }] });

test('fifty agents fail no attempt for a provider’s limit, and reach 90 % of what it allows', async () => {
  const fabric = testFabric();
  const rigs = await Promise.all(Array.from({ length: 5 }, () => openRig(fabric)));
  const taken: number[] = [];
  const begun = performance.now();
  await using api = await openOpenaiApi(
    ({ messages }) => {
      taken.push(performance.now() - begun);
      const turns = messages.filter(({ role }) => role === 'assistant').length;
      return turns < callsEach - 1 ? asks('list', { path: '.' }) : asks('finish', { summary: 'It is done.' });
    },
    { allows },
  );
  const settings = loadConfig(openaiConfig, {
    NEXUS_MODEL_URL: api.url,
    OPENAI_API_KEY: api.key,
    NEXUS_OPENAI_MODEL: 'test-model',
  });
  const folder = mkdtempSync(join(tmpdir(), 'nexus-fifty-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const work = async (number: number) => {
    const rig = rigs[number % rigs.length] as (typeof rigs)[number];
    const spend = await rig.begin(rig.attempt({ model: 'test-model' }));
    const result = await runtime.run({
      ids: { taskId: 'a-task', subtaskId: `s-${number}`, attempt: 1, role: 'builder', kind: 'report' },
      ...{ agent: agent as unknown as AgentDefinition, folder, prompt: 'Look.', env: {}, session: null },
      ...{ mark: `fifty-${process.pid}-${number}`, timeBoxMs: 120_000, outputBytesMax: 1_000_000 },
      signal: new AbortController().signal,
      onOutput: () => undefined,
      context: { agentCommand: null, rehearsal: false, task: null, settings },
      spend: spend.gate,
    } as unknown as RunRequest);
    await spend.end();
    return result;
  };
  const results = await Promise.all(Array.from({ length: agents }, (_, number) => work(number)));
  expect(results.filter(({ ok }) => !ok).map(({ code, says }) => `${code}: ${says}`)).toEqual([]);
  expect(taken).toHaveLength(agents * callsEach);
  // The last window need not be full: in the time until it began, the provider would have taken all before it.
  const windows = Math.ceil((agents * callsEach) / allows.count) - 1;
  const lastWindowAt = taken[windows * allows.count] ?? Number.POSITIVE_INFINITY;
  const share = (windows * allows.everyMs) / (lastWindowAt - (taken[0] ?? 0));
  expect(share).toBeGreaterThanOrEqual(0.9);
  // Refusals are few beside the calls: the fleet waits together, instead of each for itself.
  expect(api.asked() - taken.length).toBeLessThan(agents * callsEach);
  const lines = await rigs[0]?.book.linesOf('a-task');
  expect(lines?.reduce((sum, { calls }) => sum + calls, 0)).toBe(agents * callsEach);
});
