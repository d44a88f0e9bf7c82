/** What NEXUS Prime asks a model is paid like the work of agents: real orchestrator, gateway and library. */
import { done, followUp, type Message } from '@nexus/shared/bus';
import { openCatalog } from '@nexus/shared/catalog';
import { loadConfig } from '@nexus/shared/config';
import { readTask } from '@nexus/shared/ledger';
import { askConfig, openModel } from '@nexus/shared/model';
import { openSpending, type Spending, spendConfig } from '@nexus/shared/spend';
import { openMeters, silentLog } from '@nexus/shared/telemetry';
import { expect, onTestFinished, test } from 'vitest';
import { service } from '../../../services/orchestrator/main.ts';
import { openHome, runNexus } from '../../tools/cli.ts';
import { eventually } from '../../tools/eventually.ts';
import { serve, token } from '../../tools/live-gateway.ts';
import { consumeAll } from '../../tools/messages.ts';
import { openOpenaiApi, type Reply, type Script } from '../../tools/openai-api/openai-api.ts';

const catalog = await openCatalog();
const model = 'gpt-5-mini';
const judged: Reply = {
  json: {
    ...{ complexity: 'simple', why: 'One part.', approach: 'Build it.', workflow: 'feature', needs_research: false },
    ...{ risks: [], limits: { minutes: 10, tokens: null, usd: null }, steps: null },
  },
};

/** An orchestrator with a model, a gateway, and a finalizer that prepares each repository. */
const play = async (script: Script, settings: Record<string, string> = {}) => {
  const api = await openOpenaiApi(script, { models: [model] });
  onTestFinished(() => api.close());
  const { fabric, client, url, bus } = await serve();
  const orchestrator = await fabric.open('orchestrator');
  const log = silentLog();
  const environment = { NEXUS_MODEL_URL: api.url, OPENAI_API_KEY: api.key, NEXUS_MODEL: model, ...settings };
  const config = loadConfig({ ...askConfig, ...spendConfig }, environment);
  const spending: Spending = openSpending({ bus: orchestrator, config, log, meters: openMeters('orchestrator') });
  const asking = openModel(config, { priceOf: spending.prices.costOf });
  const tries = { retries: 3, otherAgents: 1 };
  const planning = { model: asking, timeoutMs: 10_000, tries, costs: spending.book, spending };
  const patience = { plansMax: 1, personTimeoutMs: 3_600_000 };
  const tools = { catalog, patience, planning, retentionMs: 3_600_000 };
  orchestrator.consume({ mode: 'stream', slots: 4, handlers: service.handlers, tools });
  const work = ({ type, payload }: Message) => {
    const prepared = { base_commit: 'b'.repeat(40), warnings: [], code: null, says: '' };
    const { task_id } = payload as { task_id: string };
    return type === 'repository.requested'
      ? done({ publish: [followUp('repository.prepared', { task_id, ...prepared })] })
      : done();
  };
  for (const name of ['finalizer', 'project-manager'] as const) {
    consumeAll(await fabric.open(name), name, { work: (message) => work(message as Message) });
  }
  const planOf = async (request: Parameters<typeof client.submit>[0]) => {
    const { task_id } = await client.submit(request);
    const find = async () => (await readTask(bus.store, bus.keys, task_id))?.plan ?? undefined;
    const shown = await eventually('it is planned', find);
    return { id: task_id, plan: shown };
  };
  const nexus = (...words: string[]) => runNexus(openHome(), words, url, { env: { NEXUS_TOKEN: token } });
  return { api, client, nexus, planOf, spending, orchestrator };
};

test('a plan by a model is booked under its task and the day, as NEXUS Prime’s', async () => {
  const { client, nexus, planOf, spending } = await play([judged]);
  const { id, plan } = await planOf({ request: 'Add CSV export', budget: { usd: 1 } });
  expect(plan.judgement).toMatchObject({ by: model });
  const cost = await client.cost(id);
  expect(cost.lines).toMatchObject([
    { subtask_id: '(plan)', agent_id: 'nexus_prime', role: 'orchestrator', runtime: 'model', model, calls: 1 },
  ]);
  const usd = plan.judgement?.cost.usd;
  expect(usd).toBeGreaterThan(0);
  expect(cost.total).toMatchObject({ usd, tokens: plan.judgement?.cost.tokens, unpriced_calls: 0 });
  expect(cost.budget).toMatchObject({ usd_max: 1, usd_used: usd, usd_reserved: 0, tokens_reserved: 0 });
  expect(await spending.budgets.read('day')).toMatchObject({ usd_used: usd, usd_reserved: 0 });
  expect((await client.costs({ by: 'role', days: 1 })).rows).toMatchObject([{ name: 'orchestrator', usd }]);
  expect((await nexus('cost', id)).out).toMatch(/\(plan\) #1 +nexus_prime +model +gpt-5-mini/);
});

test('what a plan may cost has to fit, else nobody is asked, a template stands, and it says why', async () => {
  const { api, client, planOf } = await play([judged]);
  const { id, plan } = await planOf({ request: 'Add CSV export', budget: { usd: 0.0001 } });
  expect(plan.judgement).toBeUndefined();
  expect(plan.subtasks.length).toBeGreaterThan(0);
  expect(plan.risks.join('\n')).toMatch(/Planned from a template, since the model gave no plan: BUDGET_SPENT/);
  expect(api.asked()).toBe(0);
  expect((await client.cost(id)).budget).toMatchObject({ usd_used: 0, usd_reserved: 0 });
});

test('a day that is spent lets nobody ask, and a plan that is only shown counts too', async () => {
  const { api, client, spending } = await play([judged], { NEXUS_BUDGET_DAY_TOKENS: '70000' });
  expect((await client.plan({ request: 'Add CSV export' })).judgement).not.toBeNull();
  const { tokens_used } = await spending.budgets.read('day');
  expect(tokens_used).toBeGreaterThan(0);
  await spending.budgets.raise('day', { usd: null, tokens: tokens_used });
  const again = await client.plan({ request: 'Add CSV export' });
  expect(again.judgement).toBeNull();
  expect(again.risks.join('\n')).toContain('BUDGET_SPENT: The budget of the fleet for today is spent');
  expect(api.asked()).toBe(1);
});

test('each answer that does not hold is paid for, and so is what NEXUS Prime answers to agents', async () => {
  const answers: Reply = { json: { answers: [{ answer: 'As CSV.' }] } };
  const { client, planOf, orchestrator } = await play(({ messages }) => {
    const said = JSON.stringify(messages);
    if (said.includes('have questions')) return answers;
    return messages.some(({ role }) => role === 'assistant') ? judged : { json: { complexity: 'huge' } };
  });
  const { id } = await planOf({ request: 'Add CSV export' });
  expect((await client.cost(id)).lines).toMatchObject([{ subtask_id: '(plan)', calls: 2 }]);
  const asked = { task_id: id, subtask_id: 'build', attempt: 1, agent_id: 'builder', questions: ['Which format?'] };
  await orchestrator.publish({ type: 'questions.asked', payload: asked, thread: id, actor: 'test' });
  await eventually('it is answered', async () => (await client.task(id)).questions?.[0]?.answer === 'As CSV.');
  expect((await client.cost(id)).lines).toMatchObject([
    { subtask_id: '(plan)' },
    { subtask_id: '(answers)', agent_id: 'nexus_prime', role: 'orchestrator', calls: 1 },
  ]);
});
