import { expect, test } from 'vitest';
import { answering, openHome, runNexus } from '../../../test/tools/cli.ts';

const sum = { usd: 1.5, notional_usd: 0.25, unpriced_calls: 2, calls: 12, tokens: 123_456 };
const budget = {
  usd_max: 5,
  usd_used: 6.25,
  usd_reserved: 0.5,
  tokens_max: null,
  tokens_used: 123_456,
  tokens_reserved: 0,
};
const none = { ...budget, usd_max: null, usd_used: 0, usd_reserved: 0 };
const line = {
  ...{ subtask_id: 'build', attempt: 2, agent_id: 'builder', role: 'builder', runtime: 'openai', model: 'gpt-5' },
  ...sum,
  ...{ input_tokens: 1, output_tokens: 1, cache_read_tokens: 0, cache_write_tokens: 0, began_at: '', ended_at: '' },
};

const nexus = (url: string, ...words: string[]) => runNexus(openHome(), words, url);

test('costs are a table with a total, and say what of it is not known', async () => {
  const rows = [{ name: 'aria', ...sum }];
  const answer = { by: 'agent', days: 7, rows, total: sum, today: budget };
  const { url, calls } = await answering({ 'GET /api/cost': answer });
  const said = await nexus(url, 'cost', '--by', 'agent');
  expect(calls.map(({ path }) => path)).toEqual(['/api/cost?by=agent&days=7']);
  expect(said.out.split('\n').slice(0, 4)).toEqual([
    'agent  USD     notional  tokens   calls',
    'aria   1.50 ?  0.25      123,456  12',
    'total  1.50 ?  0.25      123,456  12',
    '? 2 calls have no known price, and are not in the sum.',
  ]);
  expect(said.out).toContain('The fleet today: 6.25 of 5.00 USD (125 %, 1.25 over, 0.50 reserved)');
  expect((await nexus(url, 'cost', '--by', 'weather')).code).toBe(2);
  expect(JSON.parse((await nexus(url, 'cost', '--by', 'agent', '--json')).out)).toEqual(answer);
});

test('a task is shown attempt by attempt, with its budget', async () => {
  const answer = { task_id: 'a-task', total: sum, budget: none, lines: [line] };
  const { url } = await answering({ 'GET /api/tasks/a-task/cost': answer });
  const { out } = await nexus(url, 'cost', 'a-task');
  expect(out).toContain('build #2  builder  openai   gpt-5  1.50 ?  0.25      123,456  12');
  expect(out).toContain('a-task has no budget; 0.00 USD are spent.');
});

test('a budget is shown, set for a task or for today, and never to nothing', async () => {
  const { url, calls } = await answering({
    'GET /api/tasks/a-task/cost': { task_id: 'a-task', total: sum, budget, lines: [] },
    'POST /api/tasks/a-task/budget': { task_id: 'a-task', budget: { ...budget, usd_max: 10 }, subtasks: ['build'] },
    'POST /api/budget': { task_id: null, budget: { ...budget, usd_max: 50 }, subtasks: [], says: 'Nothing more.' },
  });
  expect((await nexus(url, 'budget', 'a-task')).out).toContain('a-task: 6.25 of 5.00 USD (125 %, 1.25 over');
  const raised = await nexus(url, 'budget', 'a-task', '--usd', '10');
  expect(raised.out).toContain('a-task: 6.25 of 10.00 USD (62 %, 0.50 reserved)\nGoes on: build.');
  const today = await nexus(url, 'budget', 'today', '--usd', '50', '--tokens', '1000');
  expect(today.out).toContain('Nothing more.');
  expect(calls.slice(1).map(({ path, body }) => [path, body])).toEqual([
    ['/api/tasks/a-task/budget', { usd: 10 }],
    ['/api/budget', { usd: 50, tokens: 1000 }],
  ]);
  for (const amount of ['0', '-1', 'much', '']) {
    const refused = await nexus(url, 'budget', 'a-task', '--usd', amount);
    expect([refused.code, refused.err]).toEqual([2, expect.stringContaining('It must be more than 0')]);
  }
  expect((await nexus(url, 'budget', 'a-task', '--tokens', '1.5')).err).toContain('Tokens are a whole number');
  expect(calls).toHaveLength(3);
});
