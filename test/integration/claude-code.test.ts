/**
 * Agents of Claude Code in real workers on a real Redis, with a model that is scripted: killed, stopped, put aside, and
 * gone on with in the conversation that they had.
 */
import { refs } from '@nexus/shared/git';
import { listSessions, type Session } from '@nexus/shared/ledger';
import { expect, onTestFinished, test } from 'vitest';
import { claudeProgram } from '../tools/claude.ts';
import { eventually } from '../tools/eventually.ts';
import { consumeAll } from '../tools/messages.ts';
import { type Ask, openMessagesApi, type Reply, refuse, use } from '../tools/messages-api/messages-api.ts';
import { taskId } from '../tools/worker.ts';
import { openShop, type Shop } from '../tools/worker-process.ts';

const key = 'sk-ant-api03-of-the-operator-0123456789abcdef';

const openFleet = async (script: (ask: Ask) => Reply) => {
  const api = await openMessagesApi();
  onTestFinished(() => api.close());
  const shop = await openShop();
  const settings = {
    NEXUS_RUNTIME: 'claude-code',
    NEXUS_CLAUDE_PROGRAM: claudeProgram(),
    NEXUS_CLAUDE_LOGIN: 'api_key',
    NEXUS_CLAUDE_RETRIES: '1',
    NEXUS_CHECKPOINT_INTERVAL: '500ms',
    NEXUS_CHECKPOINT_THROTTLE: '300ms',
    NEXUS_CHECKPOINT_QUIET: '100ms',
    NEXUS_WATCH_EVERY: '100ms',
    ANTHROPIC_API_KEY: key,
    ANTHROPIC_BASE_URL: api.script('fleet', script),
  };
  return { api, shop, settings, asks: () => api.asks('fleet') };
};

/** The one that something happened in last comes last. */
const sessionsOf = async ({ bus }: Shop): Promise<Session[]> =>
  (await listSessions(bus.store, bus.keys)).map(({ session }) => session).reverse();
const carried = (shop: Shop) =>
  eventually(
    'its session is carried to the hub',
    async () => {
      const [one] = await sessionsOf(shop);
      const { checkpoint } = await shop.attempt('storage');
      return one?.transcript && checkpoint?.commit ? one : undefined;
    },
    30_000,
  );
const onlyFinished = (shop: Shop) =>
  eventually('the attempt is told to have ended', async () => (await shop.finished())[0], 60_000);

const isGoingOn = ({ said }: Ask): boolean =>
  said.some((text) => text.includes('interrupted before it could tell its end'));
const goesOn = (ask: Ask): Reply =>
  JSON.stringify(ask.body.messages).includes('I go on.')
    ? use('StructuredOutput', { summary: 'All of it is done.' })
    : use('Write', { file_path: 'whole.txt', content: 'whole' }, 'I go on.');
/** Writes a file, and then runs for ever; an agent that goes on writes another one, and ends. */
const worksTwice = (ask: Ask): Reply => {
  if (isGoingOn(ask)) return goesOn(ask);
  if (ask.turn === 0) return use('Write', { file_path: 'begun.txt', content: 'begun' }, 'The word is plum.');
  return use('Bash', { command: 'setsid sleep 300 & sleep 300' });
};

test('an agent whose worker is killed in the middle of a turn goes on elsewhere, in its conversation', async () => {
  const { shop, settings, asks } = await openFleet(worksTwice);
  const dead = await shop.start(shop.newHome(), settings);
  await shop.dispatch([{}]);
  const before = await carried(shop);
  expect(before).toMatchObject({ status: 'active', instance_id: dead.instanceId, runtime: 'claude-code' });
  const next = await shop.start(shop.newHome(), settings);
  dead.child.kill('SIGKILL');
  const finished = await onlyFinished(shop);
  expect(finished).toMatchObject({ outcome: 'finished', attempt: 1, instance_id: next.instanceId });
  expect(finished.files.sort()).toEqual(['begun.txt', 'whole.txt']);
  expect(finished.report?.summary).toBe('All of it is done.');
  // The model was shown what it had said before, on another machine.
  expect(JSON.stringify(asks().findLast(isGoingOn)?.body.messages)).toContain('The word is plum.');
  await eventually('no process of the dead worker is left', () => shop.agents().length === 0);
  const sessions = await sessionsOf(shop);
  expect(sessions.at(-1)).toMatchObject({
    status: 'idle',
    holder: null,
    login: 'api_key',
    instance_id: next.instanceId,
  });
  const evidence = (name: string) => shop.show(refs(taskId).evidence('storage-1'), name);
  expect(JSON.parse(evidence('attempt.json'))).toMatchObject({
    runtime: 'claude-code',
    login: 'api_key',
    model: expect.stringMatching(/^claude-/),
    files_written: [expect.stringContaining('whole.txt')],
    session_id: sessions.at(-1)?.session_id,
  });
  expect(evidence('transcript.jsonl')).toContain('I go on.');
  const journal = await shop.journal();
  expect(journal).toMatch(/goes on with the conversation/);
  expect(journal).toContain('agent.tool_call');
  for (const text of [journal, evidence('attempt.json'), evidence('transcript.jsonl'), evidence('output.log')]) {
    expect(text).not.toContain(key);
  }
}, 120_000);

test('an agent whose worker is killed before anything was saved goes on there in its conversation', async () => {
  const { shop, settings, asks } = await openFleet(worksTwice);
  const home = shop.newHome();
  const late = { ...settings, NEXUS_CHECKPOINT_INTERVAL: '1h', NEXUS_CHECKPOINT_THROTTLE: '1h' };
  const dead = await shop.start(home, late);
  await shop.dispatch([{}]);
  const [begun] = await eventually(
    'it is in the middle of a turn',
    async () => {
      const { checkpoint } = await shop.attempt('storage');
      return asks().length === 2 && checkpoint?.session ? sessionsOf(shop) : undefined;
    },
    30_000,
  );
  expect(begun).toMatchObject({ status: 'active', transcript: null });
  await shop.start(home, settings);
  dead.child.kill('SIGKILL');
  expect(await onlyFinished(shop)).toMatchObject({ outcome: 'finished', attempt: 1 });
  expect((await sessionsOf(shop)).map(({ session_id }) => session_id)).toEqual([begun?.session_id]);
  expect(JSON.stringify(asks().findLast(isGoingOn)?.body.messages)).toContain('The word is plum.');
}, 120_000);

test('where the end of the old process cannot be confirmed, a copy of the conversation goes on', async () => {
  const { shop, settings } = await openFleet(worksTwice);
  const dead = await shop.start(shop.newHome(), settings);
  await shop.dispatch([{}]);
  const before = await carried(shop);
  dead.child.kill('SIGKILL');
  await eventually('no process of the dead worker is left', () => shop.agents().length === 0);
  // As if it had been on another machine, which cannot be looked at.
  const id = `${shop.fabric.config.prefix}:session:${before.session_id}`;
  const doc = JSON.parse((await shop.fabric.redis.hget(id, 'doc')) ?? '');
  await shop.fabric.redis.hset(id, 'doc', JSON.stringify({ ...doc, host: 'another-machine' }));
  await shop.start(shop.newHome(), settings);
  expect(await onlyFinished(shop)).toMatchObject({ outcome: 'finished', attempt: 1 });
  const sessions = await sessionsOf(shop);
  const copy = sessions.find(({ forked_from }) => forked_from === before.session_id);
  expect(copy).toMatchObject({ status: 'idle', holder: null });
  expect(sessions.find(({ session_id }) => session_id === before.session_id)).toMatchObject({
    status: 'ended',
    why: `it went on as ${copy?.session_id}`,
  });
  expect(await shop.journal()).toMatch(/brought from another-machine\), as a copy/);
}, 120_000);

test('a provider that takes nothing more puts the attempt aside; it goes on later in its conversation', async () => {
  let limited = true;
  const { shop, settings, asks } = await openFleet((ask) => {
    if (!limited) return goesOn(ask);
    if (ask.turn === 0) return use('Write', { file_path: 'begun.txt', content: 'begun' }, 'The word is plum.');
    return refuse(429, 'rate_limit_error', 'Not now.', { 'x-should-retry': 'false' });
  });
  // Whoever consumes a stream rings the alarms of what is put aside.
  consumeAll(await shop.fabric.open('orchestrator'), 'orchestrator');
  await shop.start(shop.newHome(), { ...settings, NEXUS_CLAUDE_PARK: '3s' });
  await shop.dispatch([{}]);
  await eventually('it is put aside', async () => /is put aside until/.test(await shop.journal()), 30_000);
  const [aside] = await sessionsOf(shop);
  expect(aside).toMatchObject({
    status: 'idle',
    holder: null,
    ended_at: null,
    why: expect.stringContaining('Not now'),
  });
  limited = false;
  const finished = await onlyFinished(shop);
  expect(finished).toMatchObject({ outcome: 'finished', attempt: 1 });
  expect(finished.files.sort()).toEqual(['begun.txt', 'whole.txt']);
  expect((await sessionsOf(shop)).map(({ session_id }) => session_id)).toEqual([aside?.session_id]);
  expect(JSON.stringify(asks().at(-1)?.body.messages)).toContain('The word is plum.');
}, 120_000);
