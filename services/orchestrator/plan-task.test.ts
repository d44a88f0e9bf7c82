/** Plans by a model: the real library against our own server, held to what the fleet has. */
import { keysOf, type Store } from '@nexus/shared/bus';
import { openCatalog } from '@nexus/shared/catalog';
import { loadConfig } from '@nexus/shared/config';
import { historyField } from '@nexus/shared/ledger';
import { plan, type TaskRequest } from '@nexus/shared/messages/domain';
import { askConfig, openModel } from '@nexus/shared/model';
import { silentLog } from '@nexus/shared/telemetry';
import { describe, expect, test } from 'vitest';
import { openOpenaiApi, type Script } from '../../test/tools/openai-api/openai-api.ts';
import { planTask } from './plan-task.ts';

const catalog = await openCatalog();
const step = (id: string, more: object = {}) => ({
  ...{ id, title: `Step ${id}`, role: 'builder', kind: 'code', goal: 'Build it.', acceptance: ['It works.'] },
  ...{ depends_on: [], files: [], time_box_minutes: 30, ...more },
});
const good = {
  complexity: 'moderate',
  why: 'Two parts that meet in one file.',
  approach: 'Build both parts side by side, then join them.',
  workflow: 'feature',
  needs_research: false,
  risks: [{ risk: 'The parts do not fit.', mitigation: 'Agree on the interface first.' }],
  limits: { minutes: 90, tokens: 400_000, usd: 2.5 },
  steps: [step('one'), step('two'), step('join', { depends_on: ['one', 'two'] })],
};

const make = async (
  script: Script | null,
  request: Partial<TaskRequest> = {},
  history: Record<string, string> = {},
) => {
  await using api = await openOpenaiApi(script ?? []);
  const environment = { NEXUS_MODEL_URL: api.url, OPENAI_API_KEY: api.key, NEXUS_MODEL: 'test-model' };
  const model = openModel(loadConfig(askConfig, script === null ? {} : environment), {
    priceOf: () => 0.01,
  });
  const store = { readHash: async () => history } as unknown as Store;
  const asked = { request: 'Add CSV export to the reports', ...request };
  const made = await planTask('a-task', asked, ['The tree has 3 remotes.'], {
    ...{ catalog, store, keys: keysOf('{test}'), log: silentLog(), now: () => 0 },
    claim: { instanceId: 'orchestrator-test', token: 'a-token', epoch: 1 },
    planning: { model, timeoutMs: 5000, tries: { retries: 3, otherAgents: 1 } },
    signal: new AbortController().signal,
  });
  return { made: plan.parse(made), requests: api.requests };
};

describe('a plan by a model', () => {
  test('has its steps, its judgement, and what it cost to ask', async () => {
    const { made, requests } = await make([{ json: good }]);
    expect(made.subtasks.map(({ id, depends_on }) => [id, depends_on])).toEqual([
      ['one', []],
      ['two', []],
      ['join', ['one', 'two']],
    ]);
    expect(made).toMatchObject({ workflow: 'feature', price_usd: 2.5 });
    expect(made.judgement).toMatchObject({ by: 'test-model', complexity: 'moderate', tries: 1, cost: { usd: 0.01 } });
    expect(made.risks).toContain('The parts do not fit. → Agree on the interface first.');
    expect(made.risks).toContain('The tree has 3 remotes.');
    const asked = JSON.stringify(requests[0]?.messages);
    expect(asked).toContain('You are NEXUS Prime');
    expect(asked).toContain('Add CSV export to the reports');
  });

  test('goes back with all that the fleet cannot do, and its second version counts', async () => {
    const bad = {
      ...good,
      workflow: 'waterfall',
      steps: [step('One!', { role: 'wizard' }), step('two', { depends_on: ['nobody'], time_box_minutes: 300 })],
    };
    const { made, requests } = await make([{ json: bad }, { json: good }]);
    expect(made.judgement?.tries).toBe(2);
    const complaint = requests[1]?.messages.at(-1)?.content ?? '';
    expect(complaint).toContain('there is no "waterfall"; there are');
    expect(complaint).toContain('steps.0.id');
    expect(complaint).toContain('wizard');
    expect(complaint).toContain('nobody');
    expect(complaint).toContain('time_box_minutes');
  });

  test('that never holds, or never comes, is the template, which says so', async () => {
    const { made: bad, requests } = await make([{ json: { ...good, workflow: 'waterfall' } }]);
    const { made: template } = await make(null);
    expect(requests).toHaveLength(3);
    expect(bad.subtasks).toEqual(template.subtasks);
    expect(bad.judgement).toBeUndefined();
    expect(bad.risks.at(-1)).toContain('MODEL_ANSWER_INVALID');
    const { made: refused } = await make([{ refusal: 'No.' }]);
    expect(refused.risks.at(-1)).toContain('MODEL_REFUSED');
  });

  test('leaves the way to the person who named it, and judges all the same', async () => {
    const { made } = await make([{ json: good }], { roles: ['builder', 'reviewer'] });
    expect(made.subtasks.map(({ role }) => role)).toEqual(['builder', 'reviewer']);
    expect(made.judgement?.complexity).toBe('moderate');
    expect(made.workflow).toBe('roles');
  });

  test('begins with an analyst where something has to be found out, unless the person wants none', async () => {
    const research = { ...good, steps: null, needs_research: true };
    const { made } = await make([{ json: research }]);
    expect(made.subtasks[0]?.role).toBe('analyst');
    const { made: without } = await make([{ json: research }], { analyst: false });
    expect(without.subtasks.map(({ role }) => role)).not.toContain('analyst');
  });
});

test('a plan without a model is the template with its outlook, and nothing invented', async () => {
  const history = {
    [historyField('role', 'builder', 'code', 'ok')]: '1',
    [historyField('role', 'builder', 'code', 'failed')]: '29',
  };
  const { made } = await make(null, { roles: ['builder'] }, history);
  expect(made).toMatchObject({ price_usd: null, outlook: { assumed: false } });
  expect(made.judgement).toBeUndefined();
  expect(made.probability).toBe(made.outlook?.probability);
  expect(made.probability).toBeLessThan(0.9);
});
