import { afterAll, afterEach, beforeEach, expect, test } from 'vitest';
import { closeTemplates, openRig, type Rig } from '../../test/tools/worker.ts';
import { type AttemptRecord, takeAttempt } from './record.ts';

let rig: Rig;
beforeEach(async () => {
  rig = await openRig();
});
afterEach(() => rig.close());
afterAll(closeTemplates);

const taken = (record: Awaited<ReturnType<typeof takeAttempt>>): AttemptRecord => {
  if ('refused' in record) throw new Error(record.refused);
  return record;
};
const saved = { commit: null, step: 'works', spent_ms: 5, left: [], session: null };

test('an attempt is taken once while the claim of whoever took it stands, and again when it is lost', async () => {
  const order = rig.order();
  const [first, second] = [rig.tools().tools, rig.tools().tools];
  await taken(await takeAttempt(order, first)).save(saved);
  rig.claimed.add(first.claim.token);
  expect(await takeAttempt(order, second)).toEqual({ refused: `it runs already, by ${first.claim.token}` });
  rig.claimed.clear();
  expect(taken(await takeAttempt(order, second)).before).toMatchObject({ ...saved, token: first.claim.token });
});

test('a conversation is named as soon as it begins, beside what was saved before, and waits no more', async () => {
  const order = rig.order();
  const [first, second, third] = [rig.tools().tools, rig.tools().tools, rig.tools().tools];
  await taken(await takeAttempt(order, first)).speaks('the-first');
  const next = taken(await takeAttempt(order, second));
  expect(next.before).toMatchObject({ session: 'the-first', commit: null, spent_ms: 0, token: first.claim.token });
  await next.save({ ...saved, commit: 'c'.repeat(40), waits: 'MODEL_LIMITED: Later.' });
  await next.speaks('the-second');
  const { before } = taken(await takeAttempt(order, third));
  expect(before).toMatchObject({ session: 'the-second', commit: 'c'.repeat(40), spent_ms: 5 });
  expect(before).not.toHaveProperty('waits');
});

test('of two that ask at the same moment one gets it', async () => {
  const order = rig.order();
  const all = Array.from({ length: 5 }, () => rig.tools().tools);
  for (const { claim } of all) rig.claimed.add(claim.token);
  const answers = await Promise.all(all.map((tools) => takeAttempt(order, tools)));
  expect(answers.filter((answer) => !('refused' in answer))).toHaveLength(1);
});

test('the same delivery may take it again: its handler runs anew when the ledger has moved', async () => {
  const { tools } = rig.tools();
  const order = rig.order();
  rig.claimed.add(tools.claim.token);
  taken(await takeAttempt(order, tools));
  taken(await takeAttempt(order, tools));
});

test('what the board is not at is refused: another attempt, an unknown subtask, no board, no slot', async () => {
  const { tools } = rig.tools();
  const order = rig.order({ attempt: 2 });
  expect(await takeAttempt({ ...order, attempt: 1 }, tools)).toEqual({ refused: 'its board is at attempt 2' });
  expect(await takeAttempt({ ...order, attempt: 3 }, tools)).toEqual({ refused: 'its board is at attempt 2' });
  const unknown = { refused: 'its board knows no such subtask (any more)' };
  expect(await takeAttempt({ ...order, subtask_id: 'other' }, tools)).toEqual(unknown);
  const board = rig.ledger.get('{test}:board:a-task') ?? {};
  const head = JSON.stringify({ ...JSON.parse(board.head ?? ''), dispatched: [] });
  rig.ledger.set('{test}:board:a-task', { ...board, head });
  expect(await takeAttempt(order, tools)).toEqual({ refused: 'its board has it as working' });
  rig.ledger.delete('{test}:board:a-task');
  expect(await takeAttempt(order, tools)).toEqual(unknown);
  expect(rig.ledger.has('{test}:attempt:a-task:storage')).toBe(false);
});

test('an attempt that has told its end is not run again, though the board has not heard of it yet', async () => {
  const { tools } = rig.tools();
  const order = rig.order();
  const record = taken(await takeAttempt(order, tools));
  await record.save(saved);
  await tools.checkpoint(await record.end());
  expect(await takeAttempt(order, rig.tools().tools)).toEqual({ refused: 'attempt 1 has told its end already' });
  const next = taken(await takeAttempt(rig.order({ attempt: 2 }), rig.tools().tools));
  expect(next.before).toBeNull();
});

test('a write whose answer got lost stops neither the next write nor the end of the attempt', async () => {
  const { tools } = rig.tools();
  const record = taken(await takeAttempt(rig.order(), tools));
  const { checkpoint } = tools;
  // It was carried out, and the same again is refused: what a resend after a lost answer meets.
  tools.checkpoint = async (writes) => {
    tools.checkpoint = checkpoint;
    await checkpoint(writes);
    await checkpoint(writes);
  };
  await record.save({ ...saved, step: 'one' });
  await record.save({ ...saved, step: 'two' });
  const seen = () => JSON.parse(rig.ledger.get('{test}:attempt:a-task:storage')?.checkpoint ?? 'null');
  expect(seen()).toMatchObject({ step: 'two' });
  tools.checkpoint = async (writes) => {
    await checkpoint(writes);
    throw new Error('Connection is closed.');
  };
  await expect(record.save({ ...saved, step: 'three' })).rejects.toThrow('closed');
  await checkpoint(await record.end());
  expect(seen()).toBeNull();
});

test('since when it waits for room is kept until there was room for new work', async () => {
  const order = rig.order();
  const take = async () => taken(await takeAttempt(order, rig.tools().tools));
  const commit = 'c'.repeat(40);
  const first = await take();
  await first.save({ ...saved, commit });
  await first.waits({ step: 'works', session: null, spent_ms: 5, waits: 'DISK_FULL: Full.', full_since: 7 });
  const second = await take();
  await second.save({ ...saved, commit });
  expect(second.fullSince).toBe(7);
  const third = await take();
  await third.save({ ...saved, commit: 'd'.repeat(40) });
  expect([third.fullSince, (await take()).fullSince]).toEqual([null, null]);
});
