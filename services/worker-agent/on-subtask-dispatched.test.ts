/** What a delivery meets before its attempt begins. */
import type { Message, Outcome } from '@nexus/shared/bus';
import { fail } from '@nexus/shared/errors';
import { afterAll, afterEach, beforeEach, expect, test } from 'vitest';
import { closeTemplates, openRig, type Rig } from '../../test/tools/worker.ts';
import type { Order } from './attempt.ts';
import { onSubtaskDispatched } from './on-subtask-dispatched.ts';
import { openTokens } from './tokens.ts';

let rig: Rig;
beforeEach(async () => {
  rig = await openRig();
});
afterEach(() => rig.close());
afterAll(closeTemplates);

const handle = (order: Order, { tools }: ReturnType<Rig['tools']>): Promise<Outcome> =>
  Promise.resolve(onSubtaskDispatched({ payload: order } as Message<'subtask.dispatched'>, tools));
const finishedOf = (outcome: Outcome) =>
  outcome.is === 'done' ? outcome.publish.find(({ type }) => type === 'attempt.finished')?.payload : outcome;

test('a claim with the token of an earlier one is parked uncounted, and its work is gone on with', async () => {
  const isRepeated = openTokens();
  const order = rig.order();
  const command = 'echo early > early.txt; echo written; while :; do sleep 0.1; done';
  const first = rig.tools({ NEXUS_AGENT_COMMAND: command });
  Object.assign(first.tools, { isRepeated });
  const running = handle(order, first);
  await first.until('written');
  first.stop(fail('CLAIM_LOST', { id: 'it' }));
  await expect(running).rejects.toMatchObject({ code: 'CLAIM_LOST' });

  const again = rig.tools({ NEXUS_AGENT_COMMAND: 'echo late > late.txt' });
  Object.assign(again.tools, { isRepeated, claim: first.tools.claim });
  expect(await handle(order, again)).toMatchObject({ is: 'postpone', why: expect.stringContaining('repeats') });
  expect(again.seen).toMatchObject({ begun: [], writes: [] });

  const next = rig.tools({ NEXUS_AGENT_COMMAND: 'echo late > late.txt' });
  Object.assign(next.tools, { isRepeated });
  const finished = finishedOf(await handle(order, next));
  expect(finished).toMatchObject({ outcome: 'finished', attempt: 1, files: ['early.txt', 'late.txt'] });
});

test('only as many tokens are remembered as could come again', () => {
  const isRepeated = openTokens();
  expect(['a', 'a', 'b'].map(isRepeated)).toEqual([false, true, false]);
  for (let at = 0; at < 1000; at += 1) isRepeated(`of-others-${at}`);
  expect(isRepeated('a')).toBe(false);
});

test('a command that came with the task is what runs, and what is looked for, whatever else could run', async () => {
  const other = { ...rig.runtimes.get('command'), name: 'another', usable: async () => ({ usable: true }) };
  const runtimes = new Map([['another', other as never], ...rig.runtimes]);
  for (const [agent_command, expected] of [
    ['echo a > a.txt', { outcome: 'finished', runtime: 'command' }],
    ['no-such-agent', { outcome: 'failed', code: 'NO_RUNTIME', says: expect.not.stringContaining('another') }],
  ] as const) {
    rig.setTask({ agent_command });
    const delivery = rig.tools();
    Object.assign(delivery.tools, { runtimes });
    expect(finishedOf(await handle(rig.order(), delivery))).toMatchObject(expected);
  }
});

test('a worker gives an attempt back where every seat is taken, and frees its seat at the end', async () => {
  const order = rig.order();
  const late = rig.tools({ NEXUS_AGENT_COMMAND: 'true' });
  Object.assign(late.tools, { seat: async () => null });
  expect(await handle(order, late)).toMatchObject({ is: 'give_back' });
  expect(late.seen).toMatchObject({ begun: [], writes: [] });

  const seats: string[] = [];
  const seated = rig.tools({ NEXUS_AGENT_COMMAND: 'echo a > a.txt' });
  const seat = async (token: string) => {
    seats.push(`takes ${token}`);
    return () => seats.push('frees it');
  };
  Object.assign(seated.tools, { seat });
  expect(finishedOf(await handle(order, seated))).toMatchObject({ outcome: 'finished' });
  expect(seats).toEqual([`takes ${seated.tools.claim.token}`, 'frees it']);
});
