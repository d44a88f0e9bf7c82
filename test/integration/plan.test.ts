/** Plans without running them: the real gateway, orchestrator, client and verb, with and without a model. */
import { openCatalog } from '@nexus/shared/catalog';
import { loadConfig } from '@nexus/shared/config';
import { historyField, listTasks } from '@nexus/shared/ledger';
import { askConfig, openModel } from '@nexus/shared/model';
import { expect, test } from 'vitest';
import { service } from '../../services/orchestrator/main.ts';
import { openHome, runNexus } from '../tools/cli.ts';
import { refusal, serve, token } from '../tools/live-gateway.ts';
import { openOpenaiApi, type Reply } from '../tools/openai-api/openai-api.ts';

const catalog = await openCatalog();

/** A gateway and an orchestrator; with `replies` a model answers, else there is none. */
const play = async (replies: Reply[] | null = null) => {
  const { fabric, client, bus, url } = await serve({ NEXUS_PLAN_WAIT: '20s' }, { worker: false });
  const api = replies === null ? null : await openOpenaiApi(replies);
  const environment = api ? { NEXUS_MODEL_URL: api.url, OPENAI_API_KEY: api.key, NEXUS_MODEL: 'test-model' } : {};
  const model = openModel(loadConfig(askConfig, environment as Record<string, string>), {
    priceOf: () => 0.0123,
  });
  const orchestrator = await fabric.open('orchestrator');
  const planning = { model, timeoutMs: 10_000, tries: { retries: 3, otherAgents: 1 } };
  const patience = { plansMax: 1, personTimeoutMs: 3_600_000 };
  const tools = { catalog, patience, planning, retentionMs: 3_600_000 };
  orchestrator.consume({ mode: 'stream', slots: 4, handlers: service.handlers, tools });
  const nexus = (...words: string[]) => runNexus(openHome(), words, url, { env: { NEXUS_TOKEN: token } });
  return { client, bus, fabric, nexus, close: async () => api?.close() };
};

const judged: Reply = {
  json: {
    complexity: 'moderate',
    why: 'Two parts.',
    approach: 'Both parts side by side.',
    workflow: 'feature',
    needs_research: true,
    risks: [{ risk: 'They may not fit.', mitigation: 'Agree first.' }],
    limits: { minutes: 60, tokens: 200_000, usd: 1.5 },
    steps: ['one', 'two'].map((id) => ({
      ...{ id, title: `Part ${id}`, role: 'builder', kind: 'code', goal: 'Build it.', acceptance: [] },
      ...{ depends_on: [], files: [], time_box_minutes: 20 },
    })),
  },
};

test('a plan is shown without a model, from the template, with its probability, and nothing is run', async () => {
  const { client, bus, nexus } = await play();
  const plan = await client.plan({ request: 'Add CSV export', roles: ['builder', 'reviewer'] });
  expect(plan.subtasks.map(({ role }) => role)).toEqual(['builder', 'reviewer']);
  expect(plan).toMatchObject({
    judgement: null,
    price_usd: null,
    outlook: { assumed: true, steps: [{ n: 0 }, { n: 0 }] },
  });
  expect(plan.probability).toBeGreaterThan(0.99);
  expect(await listTasks(bus.store, bus.keys, { limit: 10, offset: 0 })).toEqual([]);
  const { code, out } = await nexus('plan', 'Add CSV export');
  expect(code).toBe(0);
  expect(out).toContain('(assumed: 0 of');
  expect(out).toContain('a template; no model is configured');
  expect(out).toContain('unknown: nobody can say');
  expect(out).toMatch(/Nothing was run\. .*nexus run/);
});

test('a plan by a model shows complexity, research, risks with mends, limits, price, and what it cost', async () => {
  const { nexus, close } = await play([judged]);
  const { out } = await nexus('plan', 'Build two parts');
  await close();
  expect(out).toContain('moderate: Two parts.');
  expect(out).toContain('something has to be found out first');
  expect(out).toContain('They may not fit. → Agree first.');
  expect(out).toContain('60 min, 200000 tokens, 1.50 USD');
  expect(out).toContain('1.50 USD, as the model judges');
  expect(out).toContain('test-model (120 tokens, 0.012 USD)');
});

test('a plan that is likely to fail says by what it goes, and what would raise it', async () => {
  const { nexus, bus, fabric, client } = await play();
  await fabric.redis.hset(bus.keys.history, historyField('role', 'builder', 'code', 'failed'), '40');
  const plan = await client.plan({ request: 'Do it', roles: ['builder'] });
  expect(plan.outlook).toMatchObject({ assumed: false, steps: [{ n: 40, ok: 0, assumed: false }] });
  expect(plan.probability).toBeLessThan(0.7);
  const { out } = await nexus('plan', 'Do it', '--roles', 'builder');
  expect(out).toContain('(measured: 1 of 1 step');
  expect(out).toMatch(/What would raise the probability:\n {2}- NEXUS_RETRIES=4, which is 1 more: \d+ %/);
});

test('a request that cannot be planned is refused as it would be when it is run', async () => {
  const { client } = await play();
  expect(await refusal(client.plan({ request: 'x', workflow: 'waterfall' }))).toMatchObject({
    code: 'WORKFLOW_UNKNOWN',
  });
  expect(await refusal(client.plan({ request: 'x', repository: '/nowhere/at/all' }))).toMatchObject({
    code: 'REPOSITORY_MISSING',
  });
});

test('where no orchestrator is there, that is said in time', async () => {
  const { client } = await serve({ NEXUS_PLAN_WAIT: '300ms' }, { worker: false });
  expect(await refusal(client.plan({ request: 'Add CSV export' }))).toMatchObject({ code: 'PLAN_LATE', status: 504 });
});
