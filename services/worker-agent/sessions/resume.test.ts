/** Which conversation an attempt goes on with, and in which way. */
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { type Keys, keysOf } from '@nexus/shared/bus';
import { commitEvidence, refs } from '@nexus/shared/git';
import type { Session } from '@nexus/shared/ledger';
import { writeSession } from '@nexus/shared/ledger/write';
import { noUsage } from '@nexus/shared/spend';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { closeTemplates, openRig, type Rig, taskId } from '../../../test/tools/worker.ts';
import type { Attempt } from '../attempt.ts';
import type { Runtime } from '../runtimes.ts';
import { findSession } from './resume.ts';

const id = 'a-conversation';
const keys: Keys = keysOf('{test}');
const context = { agentCommand: null, rehearsal: false, task: null };
const day = 24 * 3_600_000;

let rig: Rig;
beforeAll(async () => {
  rig = await openRig();
});
afterAll(async () => {
  rig.close();
  await closeTemplates();
});

const sessionOf = (changes: Partial<Session>): Session => {
  const at = '2026-11-20T10:00:00.000Z';
  return {
    ...{ session_id: id, runtime: 'talks', agent_id: 'builder', task_id: taskId, subtask_id: 'storage', attempt: 1 },
    ...{ status: 'idle', created_at: at, last_activity: at, holder: null, instance_id: 'worker-1' },
    ...{
      host: hostname(),
      model: null,
      login: null,
      notional: false,
      context: null,
      usd_total: 0.25,
      usd_booked: 0.25,
      usage_total: tokens(2500),
      usage_booked: tokens(1000),
    },
    ...{ cost: { usd: null, tokens: null }, turns: 1, tool_calls: 0, transcript: null, forked_from: null },
    ...{ ended_at: null, why: '' },
    ...changes,
  } as Session;
};

/** What the ledger has: of its attempt so much, and as much again of each of its neighbours. */
const booked = (usd: number) =>
  [
    { subtask_id: 'storage', attempt: 1 },
    { subtask_id: 'storage', attempt: 2 },
    { subtask_id: 'cli', attempt: 1 },
  ].map((place) => ({ ...place, usd, notional_usd: 0, ...tokens(4000 * usd) }));

const tokens = (input_tokens: number) => ({ ...noUsage, input_tokens });

/** Looks for the session of an attempt whose checkpoint names one. */
const look = async (
  changes: Partial<Session> | null,
  given: { here?: boolean; claimed?: string[]; booked?: number; order?: object; questions?: object[] } = {},
) => {
  const ledger = new Map<string, Record<string, string>>();
  if (changes !== null) {
    for (const write of writeSession(keys, 0, sessionOf(changes))) {
      if (write.op === 'patch') ledger.set(write.key, { ...write.set, revision: '1' });
    }
  }
  const notes: string[] = [];
  const readFields = async (key: string, names: string[]) => names.map((name) => ledger.get(key)?.[name] ?? null);
  const attempt = {
    record: { before: given.order ? null : { session: id } },
    order: { task_id: taskId, subtask_id: 'storage', attempt: 1, ...given.order },
    questions: given.questions ?? [],
    agent: { agent_id: 'builder' },
    hub: rig.hub,
    note: (says: string) => notes.push(says),
    tools: {
      keys,
      store: { readFields, readIndex: async () => (changes === null ? [] : [{ member: id, score: 1 }]) },
      claim: { token: 'mine' },
      isClaimed: async (token: string) => given.claimed?.includes(token) ?? false,
      now: () => Date.parse('2026-11-20T11:00:00.000Z'),
      config: { sessionKeep: day },
      spending: { book: { linesOf: async () => booked(given.booked ?? 0.25) } },
    },
  } as unknown as Attempt;
  const runtime = {
    name: 'talks',
    capabilities: { resume: true, cost: true },
    transcriptOf: async () => (given.here === false ? null : '/here/a-conversation.jsonl'),
  } as unknown as Runtime;
  const found = await findSession(attempt, runtime, context);
  return { ...found, notes };
};

test('one that was closed goes on under its own id, and its cost is told from where it stood', async () => {
  const found = await look({});
  expect(found).toMatchObject({ session: id, conversation: { transcript: null, fork: false, usdBefore: 0.25 } });
});

test('what was booked of one whose runtime was killed, before it told, is booked', async () => {
  const found = await look({ status: 'active', holder: 'worker-1.1.1' }, { booked: 0.33 });
  expect(found.conversation?.usdBefore).toBeCloseTo(0.33, 6);
  expect(found.conversation?.usageBefore).toEqual(tokens(2820));
});

test('one whose process ran here and is gone goes on under its own id; one of elsewhere as a copy', async () => {
  const here = await look({ status: 'active', holder: 'worker-1.1.1' });
  expect(here.conversation).toMatchObject({ fork: false });
  const there = await look({ status: 'active', holder: 'worker-1.1.1', host: 'another-machine' });
  expect(there.conversation).toMatchObject({ fork: true });
  expect(there.notes).toEqual([expect.stringMatching(/as a copy: whoever had it last may still run/)]);
});

test('a transcript that does not lie here is brought from the hub, and goes when the run is over', async () => {
  const ref = refs(taskId).evidence(`session-${id}`);
  await commitEvidence({ hub: rig.hub, ref, files: { 'transcript.jsonl': '{"said":"plum"}\n' }, message: 'One' });
  const found = await look({ transcript: { ref, path: 'transcript.jsonl' } }, { here: false });
  const file = found.conversation?.transcript ?? '';
  expect(readFileSync(file, 'utf8')).toBe('{"said":"plum"}\n');
  await found.close();
  expect(() => readFileSync(file)).toThrow(/ENOENT/);
});

test.each([
  ['another claim holds', { status: 'active', holder: 'theirs' }, /worker-1 holds it/],
  ['a person has ended', { status: 'ended', why: 'ended by somebody' }, /it is ended\. ended by somebody/],
  ['has expired', { ended_at: '2026-11-19T10:00:00.000Z' }, /it is expired/],
  ['another runtime had', { runtime: 'writes' }, /it is one of writes, and this is talks/],
  ['another agent had', { agent_id: 'tester' }, /it is tester's, and this is builder/],
] as const)('one that %s is not gone on with, and that is said', async (_what, changes, says) => {
  const found = await look(changes, { claimed: ['theirs'] });
  expect(found).toMatchObject({ session: null, conversation: null, notes: [expect.stringMatching(says)] });
});

const question = { subtask_id: 'storage', attempt: 1, answer: 'JSON' };

test('an attempt that gets the answer to a question goes on in the conversation that asked it', async () => {
  const order = { attempt: 2 };
  const asked = await look({}, { order, questions: [question] });
  expect(asked).toMatchObject({ session: id, conversation: { fork: false, usdBefore: 0.25 } });
  for (const other of [{ answer: null }, { attempt: 2 }, { subtask_id: 'cli' }]) {
    const found = await look({}, { order, questions: [{ ...question, ...other }] });
    expect(found, JSON.stringify(other)).toMatchObject({ session: null, notes: [] });
  }
  for (const session of [{ status: 'lost' as const }, { attempt: 2 }, { subtask_id: 'cli' }]) {
    const found = await look(session, { order, questions: [question] });
    expect(found, JSON.stringify(session)).toMatchObject({ session: null, notes: [] });
  }
});

test('an attempt goes on in the conversation of the one before where that was ended for want of money', async () => {
  const broke = await look({}, { order: { attempt: 2, hand_over: { why: 'stopped' } } });
  expect(broke).toMatchObject({ session: id, conversation: { fork: false, usdBefore: 0.25 } });
  const failed = await look({}, { order: { attempt: 2, hand_over: { why: 'agent_failed' } } });
  expect(failed).toMatchObject({ session: null, notes: [] });
});

test('one that the ledger does not know is left to its runtime to find', async () => {
  expect(await look(null)).toMatchObject({ session: id, conversation: null, notes: [] });
});
