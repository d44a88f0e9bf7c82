/** The gate as real processes on a real fabric: killed, stopped and resumed in the middle of a check. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { done, type Message } from '@nexus/shared/bus';
import { createHub, hubPath, pushRef, refs } from '@nexus/shared/git';
import { writeTask } from '@nexus/shared/ledger/write';
import type { PayloadOf } from '@nexus/shared/messages';
import { listMarked } from '@nexus/shared/process';
import { expect, test } from 'vitest';
import { eventually } from '../tools/eventually.ts';
import { consumeAll } from '../tools/messages.ts';
import { testFabric } from '../tools/redis.ts';
import { change } from '../tools/repositories.ts';
import { startService, testHome } from '../tools/service-process.ts';
import { taskHeadOf } from '../tools/task-head.ts';

const task = 'try-it-abc123';
const names = refs(task);

/** A candidate, and a project manager that hears its verdicts. */
const openStage = async () => {
  const fabric = testFabric();
  const home = testHome();
  const hub = hubPath(home, task);
  const { baseCommit: base } = await createHub({ hub, repository: null, base: null });
  const { folder, commit } = await change(hub, base, { 'a.txt': 'a' });
  await pushRef({ folder, hub, commit, ref: names.attempt('part', 1, 'token'), lease: null });
  const verdicts: PayloadOf<'verdict.reached'>[] = [];
  const bus = await fabric.open('project-manager');
  const work = ({ payload }: Message) => {
    verdicts.push(payload as PayloadOf<'verdict.reached'>);
    return done();
  };
  consumeAll(bus, 'project-manager', { work: work as never });
  const head = taskHeadOf(task, { base_commit: base });
  for (const write of writeTask(bus.keys, task, 0, { head, request: { request: 'Try it' } })) {
    if (write.op === 'patch') await fabric.redis.hset(write.key, { revision: '1', ...write.set });
  }
  const runs = join(home, 'runs');
  const submit = (command: string) =>
    bus.publish({
      type: 'candidate.submitted',
      payload: {
        ...{ task_id: task, subtask_id: 'part', attempt: 1, title: 'A part', kind: 'code', commit, integration: base },
        ...{ setup: [], checks: [{ name: 'slow', command }], before: null, allowed_red: [] },
      },
      ...{ thread: task, actor: 'test' },
    });
  return {
    ...{ fabric, bus, verdicts, submit },
    start: () => startService('quality-checker', fabric, { NEXUS_HOME: home }),
    /** A check that runs for ever, with a child that left its session, until the file `pass` is there. */
    slow: `echo run >> ${runs}; [ -e ${home}/pass ] || { touch ${home}/pass; setsid sleep 600 & sleep 600; }`,
    runs: () => (existsSync(runs) ? readFileSync(runs, 'utf8').trim().split('\n').length : 0),
    gates: () => readdirSync(join(home, 'gates')).filter((name) => name !== 'package.json'),
    /** Processes of gates of this fabric. */
    running: () => listMarked().filter(({ mark }) => mark.startsWith(`${fabric.config.prefix}.`)),
  };
};

test('rule 21: a killed checker takes its checks along; the gate runs again, once, and leaves nothing', async () => {
  const { start, submit, slow, verdicts, runs, running, gates } = await openStage();
  const first = await start();
  await submit(slow);
  await eventually('the check runs, and its child, too', () => running().length >= 3);
  const theirs = running().map(({ pid }) => pid);
  const [left] = gates();
  const killedAt = performance.now();
  await first.signal('SIGKILL');
  await eventually('its processes have ended', () => !running().some(({ pid }) => theirs.includes(pid)), 5000);
  expect(performance.now() - killedAt).toBeLessThan(5000);
  expect(gates()).toEqual([left]);
  await start();
  await eventually('there is a verdict', () => verdicts.length > 0);
  expect(verdicts).toMatchObject([{ verdict: 'passed', gate_runs: 1, checks: [{ name: 'slow', state: 'passed' }] }]);
  // At most 2 N, and one for each crash.
  expect(runs()).toBe(2);
  await eventually('what the killed one left is gone', () => gates().length === 0);
  expect(running()).toEqual([]);
});

test('rules 17, 20: STOP_ALL ends a gate within two seconds and gives it back; RESUME_ALL runs it again', async () => {
  const { fabric, bus, start, submit, slow, verdicts, runs, running, gates } = await openStage();
  await start();
  await submit(slow);
  await eventually('the check runs, and its child, too', () => running().length >= 3);
  const stoppedAt = performance.now();
  await fabric.redis.publish(fabric.config.controlChannel, 'STOP_ALL');
  await eventually('its processes have ended', () => running().length === 0, 5000);
  expect(performance.now() - stoppedAt).toBeLessThan(2000);
  const inbox = bus.keys.inbox('quality-checker', 'NORMAL');
  const held = async () => (await fabric.redis.xpending(inbox, 'quality-checker', '-', '+', 10)) as [string, string][];
  await eventually('it is given back', async () => (await held())[0]?.[1] === 'nobody');
  expect([verdicts.length, runs(), gates()]).toEqual([0, 1, []]);
  await bus.control.command('RESUME_ALL', null, 'test');
  await eventually('there is a verdict', () => verdicts.length > 0);
  expect(verdicts).toMatchObject([{ verdict: 'passed', checks: [{ state: 'passed' }] }]);
  expect([runs(), running(), gates()]).toEqual([2, [], []]);
});
