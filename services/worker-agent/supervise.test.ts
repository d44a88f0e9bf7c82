import type { LiveEvent, Message, Outcome } from '@nexus/shared/bus';
import { fail } from '@nexus/shared/errors';
import { readEvidence } from '@nexus/shared/git';
import { catalog as kinds, type PayloadOf } from '@nexus/shared/messages';
import { afterAll, afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import { closeTemplates, openRig, type Rig } from '../../test/tools/worker.ts';
import type { Order } from './attempt.ts';
import { onSubtaskDispatched } from './on-subtask-dispatched.ts';
import { defineRuntime } from './runtimes.ts';
import { supervise } from './supervise.ts';

let rig: Rig;
beforeEach(async () => {
  rig = await openRig();
});
afterEach(() => rig.close());
afterAll(closeTemplates);

type Delivery = ReturnType<Rig['tools']>;
const start = (delivery: Delivery, changes: Partial<Order> = {}): Promise<Outcome> =>
  Promise.resolve(
    onSubtaskDispatched({ payload: rig.order(changes) } as Message<'subtask.dispatched'>, delivery.tools),
  );
const finishedOf = (outcome: Outcome): PayloadOf<'attempt.finished'> => {
  if (outcome.is !== 'done') throw new Error(`the outcome is ${JSON.stringify(outcome)}`);
  return kinds['attempt.finished'].payload.parse(outcome.publish[0]?.payload);
};
const play = async (steps: object[], settings: Record<string, string> = {}, changes: Partial<Order> = {}) => {
  rig.setTask({ scenario: JSON.stringify({ name: 'Watched', subtasks: { storage: [steps] } }) });
  const delivery = rig.tools({ NEXUS_REHEARSAL: 'on', NEXUS_WATCH_EVERY: '100ms', ...settings });
  return { ...delivery, finished: finishedOf(await start(delivery, changes)) };
};
const notices = (events: LiveEvent[]) => events.filter(({ event }) => event === 'attempt.notice');
const checkpoint = () => JSON.parse(rig.ledger.get('{test}:attempt:a-task:storage')?.checkpoint ?? 'null');

describe('a stuck agent', () => {
  test('is nudged where its runtime can, and goes on', async () => {
    const steps = [{ write: { 'a.txt': 'a' } }, { until_told: true }, { write: { 'b.txt': 'b' } }];
    const { finished, seen } = await play(steps, { NEXUS_STUCK_AFTER: '3s' });
    expect(finished).toMatchObject({ outcome: 'finished', files: ['a.txt', 'b.txt'] });
    expect(notices(seen.events)).toMatchObject([{ text: expect.stringContaining('was nudged: no new commit') }]);
    expect(finished.log_tail).toContain('was told: You seem to be stuck');
  });

  test('AGENT_STUCK: that stays so is ended, and its work is kept for the next attempt', async () => {
    const steps = [{ write: { 'a.txt': 'a' } }, { hang: true }];
    const { finished, seen } = await play(steps, { NEXUS_STUCK_AFTER: '2s' });
    expect(finished).toMatchObject({ outcome: 'stuck', code: 'AGENT_STUCK', files: ['a.txt'] });
    expect(finished.says).toContain('no new commit, changed file or new output');
    expect(rig.git('show', `${finished.wip}:a.txt`)).toBe('a');
    expect(notices(seen.events).map(({ text }) => text)).toEqual([
      expect.stringContaining('was nudged'),
      expect.stringContaining('is ended'),
    ]);
  });

  test('that says the same again and again is ended, at once where its runtime cannot be told', async () => {
    const command = 'echo half > half.txt; while :; do echo I run the tests again; sleep 0.02; done';
    const settings = { NEXUS_AGENT_COMMAND: command, NEXUS_STUCK_REPEATS: '30', NEXUS_WATCH_EVERY: '100ms' };
    const finished = finishedOf(await start(rig.tools(settings)));
    expect(finished).toMatchObject({ outcome: 'stuck', code: 'AGENT_STUCK' });
    expect(finished.says).toContain('I run the tests again');
  });

  test('is none that changes files without a word', async () => {
    const command = 'for n in 1 2 3 4 5 6; do echo $n > a.txt; sleep 1; done';
    const settings = { NEXUS_AGENT_COMMAND: command, NEXUS_STUCK_AFTER: '4s', NEXUS_WATCH_EVERY: '100ms' };
    expect(finishedOf(await start(rig.tools(settings)))).toMatchObject({ outcome: 'finished', files: ['a.txt'] });
  });
});

test('who was nudged has the whole time again before it is ended', () => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] });
  onTestFinished(() => void vi.useRealTimers());
  const nudges: string[] = [];
  const watched = supervise({
    ...{ boxMs: 3_600_000, spentMs: 0, watchEveryMs: 1000, quietMs: 1000, saveEveryMs: 1000 },
    stuck: { afterMs: 10_000, silentMs: 0, repeats: 0 },
    signal: new AbortController().signal,
    look: async () => 'as it was',
    save: async () => undefined,
    nudge: async (text) => void nudges.push(text),
    notice: () => undefined,
    onTrouble: () => undefined,
  });
  onTestFinished(() => watched.close());
  vi.advanceTimersByTime(10_000);
  expect(nudges).toHaveLength(1);
  vi.advanceTimersByTime(9000);
  expect(watched.signal.aborted).toBe(false);
  vi.advanceTimersByTime(1000);
  expect(watched.signal.reason).toMatchObject({ code: 'AGENT_STUCK' });
  expect(nudges).toHaveLength(1);
});

describe('a time box', () => {
  test('gives notice at 50, 80 and 100 percent, to observers and to an agent that can be told', async () => {
    const steps = [{ until_told: true }, { write: { 'a.txt': 'a' } }, { hang: true }];
    const { finished, seen } = await play(steps, {}, { time_box_minutes: 3 / 60 });
    expect(finished).toMatchObject({ outcome: 'timed_out', code: 'AGENT_TIMED_OUT', files: ['a.txt'] });
    expect(notices(seen.events).map(({ data }) => data)).toEqual([{ percent: 50 }, { percent: 80 }, { percent: 100 }]);
    expect(finished.log_tail).toContain('was told: 50 % of the time box');
    expect(finished.says).toContain('0.05 minutes');
  });
});

describe('a checkpoint in between', () => {
  const settings = {
    NEXUS_CHECKPOINT_INTERVAL: '1h',
    NEXUS_CHECKPOINT_QUIET: '100ms',
    NEXUS_CHECKPOINT_THROTTLE: '100ms',
    NEXUS_WATCH_EVERY: '50ms',
  };

  test('is made when the agent changed something and is quiet', async () => {
    const command = 'echo wrote; sleep 2; echo one > a.txt; sleep 300';
    const delivery = rig.tools({ NEXUS_AGENT_COMMAND: command, ...settings });
    const outcome = start(delivery).catch((thrown) => thrown);
    await expect.poll(() => checkpoint()?.commit, { timeout: 10_000 }).toBeTruthy();
    expect(rig.git('show', `${checkpoint().commit}:a.txt`)).toBe('one');
    expect(checkpoint()).toMatchObject({ attempt: 1, step: 'wrote', left: [] });
    delivery.stop(fail('CLAIM_LOST', { id: 'x' }));
    await outcome;
  });

  test('is not made again and again: the throttle holds however much changes', async () => {
    const command = 'sleep 0.5; for n in $(seq 20); do echo $n > a.txt; sleep 0.1; done';
    const throttled = { ...settings, NEXUS_CHECKPOINT_THROTTLE: '1h', NEXUS_CHECKPOINT_QUIET: '0' };
    const delivery = rig.tools({ NEXUS_AGENT_COMMAND: command, ...throttled });
    const saves: unknown[] = [];
    const { checkpoint: write } = delivery.tools;
    delivery.tools.checkpoint = async (writes) => {
      if (writes.some((one) => one.op === 'patch' && 'checkpoint' in one.set)) saves.push(writes);
      await write(writes);
    };
    finishedOf(await start(delivery));
    expect(saves).toHaveLength(1);
  });
});

describe('the next delivery of an attempt', () => {
  const interrupted = async (command: string) => {
    const delivery = rig.tools({ NEXUS_AGENT_COMMAND: command });
    const outcome = start(delivery);
    await delivery.until('written');
    delivery.stop();
    expect(await outcome).toEqual({ is: 'give_back', why: 'stopped' });
  };

  test('is told the last step and what could not be saved; nothing is assumed to have happened', async () => {
    const big = 'head -c 3000000 /dev/zero > big.bin';
    const first = rig.tools({
      NEXUS_AGENT_COMMAND: `${big}; echo half > half.txt; echo written; echo deploying; sleep 300`,
      NEXUS_CHECKPOINT_FILE_MAX: '1MB',
    });
    const outcome = start(first);
    await first.until('deploying');
    first.stop();
    await outcome;
    const finished = finishedOf(await start(rig.tools({ NEXUS_AGENT_COMMAND: 'cp half.txt whole.txt' })));
    expect(finished).toMatchObject({ outcome: 'finished', files: ['half.txt', 'whole.txt'] });
    const prompt = await readEvidence({ hub: rig.hub, ref: finished.evidence?.ref ?? '', path: 'prompt.md' });
    expect(prompt).toMatch(/The operation that was running is not\s+assumed to have happened/);
    expect(prompt).toMatch(/last step" id="\w+">\ndeploying\n/);
    expect(prompt).toMatch(/could not be saved[\s\S]*big\.bin \(3 MB/);
  });

  test('goes on with the same conversation where the runtime can', async () => {
    const asked: (string | null)[] = [];
    const talks = defineRuntime({
      name: 'talks',
      capabilities: { resume: true, cost: false },
      usable: async () => ({ usable: true, looked: '', mend: '' }),
      run: async (request) => {
        asked.push(request.session);
        request.onSession?.('conversation-1');
        const command = rig.runtimes.get('command');
        if (!command) throw new Error('there is a runtime `command`');
        return command.run(request);
      },
      resume: (session, request) => {
        asked.push(`resumed ${session}`);
        return talks.run(request);
      },
    });
    rig.runtimes.set('talks', talks);
    rig.setTask({ runtime: 'talks' });
    await interrupted('echo half > half.txt; echo written; sleep 300');
    expect(checkpoint()).toMatchObject({ session: 'conversation-1' });
    const finished = finishedOf(await start(rig.tools({ NEXUS_AGENT_COMMAND: 'cp half.txt whole.txt' })));
    expect(finished.outcome).toBe('finished');
    expect(asked).toEqual([null, 'resumed conversation-1', 'conversation-1']);
  });
});
