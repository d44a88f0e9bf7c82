/** Sessions of Claude Code in real workers: seen to live without a question to their model, and all recovered. */
import { listSessions, type Session } from '@nexus/shared/ledger';
import { expect, onTestFinished, test } from 'vitest';
import { claudeProgram } from '../tools/claude.ts';
import { eventually } from '../tools/eventually.ts';
import { type Ask, openMessagesApi, type Reply, use } from '../tools/messages-api/messages-api.ts';
import { openRig as openSpend } from '../tools/spending.ts';
import { taskId } from '../tools/worker.ts';
import { openShop } from '../tools/worker-process.ts';

const isGoingOn = ({ said }: Ask): boolean =>
  said.some((text) => text.includes('interrupted before it could tell its end'));
const subtaskOf = ({ prompt }: Ask): string => /You are the \w+ of subtask `([\w-]+)/.exec(prompt)?.[1] ?? '';

/** Says a word of its own, and runs a command that lasts; whoever goes on ends. */
const script = (ask: Ask): Reply => {
  if (isGoingOn(ask)) return use('StructuredOutput', { summary: 'All of it is done.' });
  const path = `${subtaskOf(ask)}.txt`;
  return ask.turn === 0
    ? use('Write', { file_path: path, content: path }, `The word is ${path}.`)
    : use('Bash', { command: 'sleep 600' });
};

test('all that lived in a killed worker is recovered by the next, and none was asked whether it lives', async () => {
  const api = await openMessagesApi();
  onTestFinished(() => api.close());
  const shop = await openShop();
  const settings = {
    ...{ NEXUS_RUNTIME: 'claude-code', NEXUS_CLAUDE_PROGRAM: claudeProgram(), NEXUS_CLAUDE_LOGIN: 'api_key' },
    ...{ ANTHROPIC_API_KEY: 'sk-ant-of-nobody', ANTHROPIC_BASE_URL: api.script('fleet', script), NEXUS_SLOTS: '3' },
    ...{ NEXUS_CHECKPOINT_INTERVAL: '300ms', NEXUS_CHECKPOINT_QUIET: '100ms', NEXUS_WATCH_EVERY: '100ms' },
  };
  const sessions = async (): Promise<Session[]> =>
    (await listSessions(shop.bus.store, shop.bus.keys)).map(({ session }) => session);
  const names = ['one', 'two', 'three'];
  const home = shop.newHome();
  const dead = await shop.start(home, settings);
  await shop.dispatch(names.map((subtask_id) => ({ subtask_id })));
  const before = await eventually(
    'all of them run their command, and are carried',
    async () => {
      const found = await sessions();
      return found.filter((one) => one.tool_calls === 2 && one.transcript !== null).length === 3 ? found : undefined;
    },
    60_000,
  );
  const asked = api.asks('fleet').length;
  expect(asked).toBe(6);
  // Each is looked at, and told of, again and again: by what it does, at the cost of nothing.
  const looked = await eventually('each was looked at three times since', async () => {
    const times = new Map(before.map((one) => [one.session_id, Date.parse(one.last_activity)]));
    const found = await sessions();
    const since = found.map((one) => Date.parse(one.last_activity) - (times.get(one.session_id) ?? 0));
    return since.every((ms) => ms > 900) ? found : undefined;
  });
  expect(looked.map(({ status }) => status)).toEqual(['active', 'active', 'active']);
  expect(api.asks('fleet')).toHaveLength(asked);

  dead.child.kill('SIGKILL');
  const next = await shop.start(home, settings);
  await eventually('all attempts have ended', async () => (await shop.finished()).length === 3, 60_000);
  expect((await shop.finished()).map(({ outcome, attempt }) => [outcome, attempt])).toEqual(
    names.map(() => ['finished', 1]),
  );
  const after = await sessions();
  const ids = (all: Session[]) => all.map(({ session_id }) => session_id).sort();
  expect(ids(after)).toEqual(ids(before));
  expect(after.map(({ status, instance_id }) => [status, instance_id])).toEqual(
    names.map(() => ['idle', next.instanceId]),
  );
  const resumed = api
    .asks('fleet')
    .slice(asked)
    .map((ask) => JSON.stringify(ask.body.messages));
  // Of a conversation that went on after a kill each answer is paid for once, as its CLI counts them in all.
  const lines = await (await openSpend(shop.fabric)).book.linesOf(taskId);
  for (const { subtask_id, usd_total } of after) {
    const own = lines.filter((line) => line.subtask_id === subtask_id);
    expect(usd_total).toBeGreaterThan(0);
    expect(own.reduce((sum, { usd }) => sum + usd, 0)).toBeCloseTo(usd_total, 5);
  }
  for (const name of names) expect(resumed.some((said) => said.includes(`The word is ${name}.txt.`))).toBe(true);
}, 150_000);
