/** A whole attempt by the runtime `openai`: a real hub, a real clone, the real library; only the model is played. */
import type { Message, Outcome } from '@nexus/shared/bus';
import { readEvidence } from '@nexus/shared/git';
import { catalog as kinds } from '@nexus/shared/messages';
import { listMarked } from '@nexus/shared/process';
import { openPrices } from '@nexus/shared/spend';
import { afterAll, afterEach, beforeEach, expect, test } from 'vitest';
import { type OpenaiApi, openOpenaiApi, type Script } from '../../../test/tools/openai-api/openai-api.ts';
import { closeTemplates, openRig, type Rig } from '../../../test/tools/worker.ts';
import type { Order } from '../attempt.ts';
import { onSubtaskDispatched } from '../on-subtask-dispatched.ts';

let rig: Rig;
let api: OpenaiApi | null = null;
beforeEach(async () => {
  rig = await openRig({ 'sum.js': 'export const sum = (a, b) => a - b;\n' });
});
afterEach(async () => {
  await api?.close();
  await rig.close();
});
afterAll(closeTemplates);

const model = 'gpt-6-luna';
const settings = async (script: Script) => {
  api = await openOpenaiApi(script, { models: [model] });
  return { NEXUS_RUNTIME: 'openai', NEXUS_MODEL_URL: api.url, OPENAI_API_KEY: api.key, NEXUS_OPENAI_MODEL: model };
};
const handle = (order: Order, delivery: ReturnType<Rig['tools']>): Promise<Outcome> =>
  Promise.resolve(onSubtaskDispatched({ payload: order } as Message<'subtask.dispatched'>, delivery.tools));
const finishedOf = (outcome: Outcome) => {
  if (outcome.is !== 'done') throw new Error(`the outcome is ${JSON.stringify(outcome)}`);
  return kinds['attempt.finished'].payload.parse(
    outcome.publish.find(({ type }) => type === 'attempt.finished')?.payload,
  );
};
const agents = () => listMarked().filter(({ home }) => home === rig.home);
const call = (tool: string, input: unknown) => ({
  calls: [{ tool, input }],
  usage: { input: 1000, output: 100, cached: 400 },
});
const finish = call('finish', { summary: 'Mended the sum.', confidence_score: 0.8, deliverables: ['sum.js'] });

test('ends in a commit, the report of finish, what it used to the token, and evidence without the key', async () => {
  const given = await settings([
    call('edit', { path: 'sum.js', old: 'a - b', new: 'a + b' }),
    call('run', { command: 'env' }),
    finish,
  ]);
  const finished = finishedOf(await handle(rig.order(), rig.tools(given)));
  expect(finished).toMatchObject({ outcome: 'finished', code: null, says: 'Mended the sum.', files: ['sum.js'] });
  expect(finished.report).toMatchObject({
    summary: 'Mended the sum.',
    confidence_score: 0.8,
    deliverables: ['sum.js'],
  });
  expect(rig.git('show', `${finished.commit}:sum.js`)).toBe('export const sum = (a, b) => a + b;');
  const usage = { input_tokens: 1800, output_tokens: 300, cache_read_tokens: 1200, cache_write_tokens: 0 };
  const once = { input_tokens: 600, output_tokens: 100, cache_read_tokens: 400, cache_write_tokens: 0 };
  expect(finished.cost.tokens).toBe(3300);
  expect(finished.cost.usd).toBeCloseTo(3 * (openPrices().costOf(model, once) ?? Number.NaN), 12);
  expect(finished.cost.usd).toBeGreaterThan(0);
  const files = ['attempt.json', 'output.log', 'prompt.md', 'report.json'];
  const evidence = await Promise.all(
    files.map((path) => readEvidence({ hub: rig.hub, ref: finished.evidence?.ref ?? '', path })),
  );
  expect(JSON.parse(evidence[0] ?? '{}')).toMatchObject({ runtime: 'openai', model, turns: 3, tool_calls: 3, usage });
  expect(evidence[1]).toContain('→ edit');
  expect(evidence.join('\n')).not.toContain(api?.key);
  expect(agents()).toEqual([]);
});

test('stopped in the middle keeps its work, and the next delivery goes on with the same conversation', async () => {
  let stop = (): void => undefined;
  const given = await settings(({ messages }, count) => {
    if (count === 1) return call('write', { path: 'half.txt', text: 'half' });
    if (count === 2) {
      setTimeout(stop, 0);
      return { hangs: true };
    }
    expect(messages.map(({ role }) => role).slice(0, 4)).toEqual(['system', 'user', 'assistant', 'tool']);
    return finish;
  });
  const first = rig.tools(given);
  stop = () => first.stop();
  const order = rig.order();
  const began = performance.now();
  expect((await handle(order, first)).is).toBe('give_back');
  expect(performance.now() - began).toBeLessThan(15_000);
  expect(agents()).toEqual([]);
  const finished = finishedOf(await handle(order, rig.tools(given)));
  expect(finished).toMatchObject({ outcome: 'finished', files: ['half.txt'] });
  expect(api?.requests).toHaveLength(3);
});
