/** Costs and budgets over HTTP, on a real fabric: what was spent, what may be, and who goes on after a raise. */
import { expect, test } from 'vitest';
import { eventually } from '../../tools/eventually.ts';
import { refusal, type Served, serve, writeDown } from '../../tools/live-gateway.ts';
import { openRig, taskLimit, usage } from '../../tools/spending.ts';

const call = { usdMax: 0.5, tokensMax: 100, provider: 'openai', account: 'key', model: 'gpt-5-mini' };

/** A task that was submitted and written down, and one attempt of it that has spent half a dollar. */
const spentOn = async (
  { client, fabric }: Served,
  more: Parameters<typeof writeDown>[2] = {},
  status = 'in_progress',
) => {
  const kinds = await writeDown(fabric, status as 'in_progress', more);
  const { task_id } = await client.submit({ request: 'Build something', budget: { usd: 2 } });
  await eventually('it is written down', async () => (await client.task(task_id)).request !== null);
  const rig = await openRig(fabric);
  const place = { taskId: task_id, subtaskId: 'build', attempt: 1 };
  const attempt = await rig.begin(rig.attempt({ place, limits: taskLimit(2) }));
  await (await attempt.gate.reserve(call)).settle({ usd: 0.5, usage: usage(100) });
  await attempt.end();
  return { task_id, rig, kinds };
};

test('what was spent is shown by task, agent, model and day, and of a task attempt by attempt', async () => {
  const served = await serve({ NEXUS_BUDGET_DAY_USD: '10' });
  const { client } = served;
  expect(await client.costs()).toMatchObject({ by: 'task', rows: [], total: { usd: 0 }, today: { usd_used: 0 } });
  const { task_id } = await spentOn(served);
  expect(await client.costs({ by: 'agent', days: 2 })).toMatchObject({
    rows: [{ name: 'builder', usd: 0.5, tokens: 100, calls: 1 }],
    total: { usd: 0.5 },
    today: { usd_used: 0.5, usd_reserved: 0 },
  });
  for (const by of ['task', 'model', 'role', 'day'] as const) {
    expect((await client.costs({ by })).rows).toMatchObject([{ usd: 0.5 }]);
  }
  expect(await client.cost(task_id)).toMatchObject({
    total: { usd: 0.5, notional_usd: 0, unpriced_calls: 0 },
    budget: { usd_max: 2, usd_used: 0.5 },
    lines: [{ subtask_id: 'build', attempt: 1, agent_id: 'builder', model: 'gpt-5-mini', usd: 0.5, input_tokens: 100 }],
  });
  expect(await client.task(task_id)).toMatchObject({ cost: { usd: 0.5, tokens: 100 }, budget: { usd_max: 2 } });
  const metrics = await client.metrics();
  expect(metrics).toMatch(/^nexus_budget_day_usd\{.*part="used".*\} 0.5$/m);
  expect(await refusal(client.cost('no-such-task'))).toMatchObject({ code: 'TASK_UNKNOWN' });
});

test('a raise counts from the next reservation on, and brings on what waited for it and nothing else', async () => {
  const served = await serve();
  const at = new Date().toISOString();
  const wait = (subtask_id: string, reason: string) => ({ subtask_id, number: 1, since: at, until: at, reason });
  const waiting = {
    ...wait('build', 'BUDGET_SPENT: The budget is spent.'),
    others: [wait('other', 'AGENT_FAILED: It fell over.'), wait('more', 'BUDGET_SPENT: It too.')],
  };
  const { task_id, rig, kinds } = await spentOn(served, { waiting }, 'waiting_for_person');
  const raised = await served.client.budget(task_id, { usd: 5 });
  expect(raised).toMatchObject({ task_id, budget: { usd_max: 5, usd_used: 0.5 }, subtasks: ['build', 'more'] });
  await eventually('both were answered for', () => kinds.filter((kind) => kind === 'person.answered').length === 2);
  const attempt = await rig.begin(
    rig.attempt({ place: { taskId: task_id, subtaskId: 'build', attempt: 2 }, limits: taskLimit(2) }),
  );
  await attempt.gate.reserve({ ...call, usdMax: 4 });
  await attempt.end();
});

test('a budget that is used up already is refused with what is used, and nothing is changed', async () => {
  const served = await serve();
  const at = new Date().toISOString();
  const reason = 'BUDGET_SPENT: The budget is spent.';
  const waiting = { subtask_id: 'build', number: 1, since: at, until: at, reason, others: [] };
  const { task_id, kinds } = await spentOn(served, { waiting }, 'waiting_for_person');
  const { budget } = served.client;
  const little = await refusal(budget(task_id, { usd: 0.1 }));
  expect(little).toMatchObject({ status: 409, code: 'BUDGET_TOO_LOW' });
  expect(little.detail).toMatch(/has used 0.5 USD already, so 0.1 USD let nothing go on; give more than 0.5/);
  expect(await refusal(budget(task_id, { usd: 0.5 }))).toMatchObject({ code: 'BUDGET_TOO_LOW' });
  expect(await refusal(budget(task_id, { usd: 5, tokens: 100 }))).toMatchObject({ code: 'BUDGET_TOO_LOW' });
  expect((await served.client.cost(task_id)).budget).toMatchObject({ usd_max: 2, tokens_max: null });
  await budget(task_id, { usd: 0.6 });
  await eventually('it goes on', () => kinds.includes('person.answered'));
  expect(kinds.filter((kind) => kind === 'person.answered')).toHaveLength(1);
});

test('the budget of today is set for the whole fleet, and one of nothing is refused with what is right', async () => {
  const served = await serve();
  const { client } = served;
  expect(await client.budgetToday({ usd: 20, tokens: 1000 })).toMatchObject({
    task_id: null,
    budget: { usd_max: 20, tokens_max: 1000, usd_used: 0 },
  });
  expect((await client.costs()).today).toMatchObject({ usd_max: 20 });
  await spentOn(served);
  expect((await client.budgetToday({ usd: 10 })).says).toBeUndefined();
  const spent = await client.budgetToday({ usd: 0.2 });
  expect(spent.says).toMatch(/^0.5 of 0.2 USD are used today already: nothing more is spent until .* midnight \(UTC\)/);
  const says = 'must be more than 0; left out, there is no limit';
  const zero = await refusal(client.submit({ request: 'Build something', budget: { usd: 0 } }));
  expect(zero).toMatchObject({ status: 422, problems: [{ field: 'budget.usd', says }] });
  const less = await refusal(client.submit({ request: 'Build something', budget: { tokens: -5 } }));
  expect(less.problems).toEqual([{ field: 'budget.tokens', says }]);
  expect((await refusal(client.budgetToday({ usd: 0 }))).problems?.[0]).toMatchObject({ field: 'usd' });
  expect((await refusal(client.budgetToday({}))).problems?.[0]?.says).toContain('give usd, tokens or both');
  expect(await refusal(client.budget('no-such-task', { usd: 1 }))).toMatchObject({ code: 'TASK_UNKNOWN' });
});

test('a budget that nothing can be bounded by is said when the task is taken, and one that can is not', async () => {
  const served = await serve({}, { worker: false });
  const worker = await served.fabric.open('worker-agent');
  const runtime = (name: string, tells_cost: boolean) => ({ name, usable: true, looked: '', mend: '', tells_cost });
  worker.present({ runtimes: [runtime('command', false), runtime('openai', true)] });
  await eventually('both are told', async () =>
    (await served.bus.presences()).some(({ runtimes }) => runtimes.some(({ tells_cost }) => tells_cost)),
  );
  const warned = async (request: object) =>
    (await served.client.submit({ request: 'Build something', ...request })).warnings.join(' ');
  expect(await warned({ budget: { usd: 1 }, agent_command: 'true' })).toContain('the runtime command does not tell');
  expect(await warned({ budget: { usd: 1 }, runtime: 'openai' })).not.toContain('budget');
  expect(await warned({ runtime: 'command', agent_command: 'true' })).not.toContain('budget');
});
