/**
 * The finalizer as real processes on a real fabric, killed and paused by the repositories that they push to: a hook
 * runs after the refs have moved and before the push is answered, which is the worst moment there is.
 */
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { done, type Message } from '@nexus/shared/bus';
import { createHub, hubPath, pushRef, readRef, refs } from '@nexus/shared/git';
import { readReport } from '@nexus/shared/ledger';
import { writeTask } from '@nexus/shared/ledger/write';
import type { PayloadOf } from '@nexus/shared/messages';
import { expect, test } from 'vitest';
import { eventually } from '../tools/eventually.ts';
import { consumeAll } from '../tools/messages.ts';
import { testFabric } from '../tools/redis.ts';
import { change, personal, plain } from '../tools/repositories.ts';
import { type ServiceProcess, startService, testHome } from '../tools/service-process.ts';
import { taskHeadOf } from '../tools/task-head.ts';

const task = 'try-it-abc123';
const names = refs(task);

/** A hub with one tested candidate, a task at work, and everybody else played: `heard` is what the finalizer says. */
const openStage = async () => {
  const fabric = testFabric();
  const home = testHome();
  const { repository } = personal();
  const hub = hubPath(home, task);
  const { baseCommit: base } = await createHub({ hub, repository, base: null });
  const { folder, commit: tested } = await change(hub, base, { 'a.txt': 'a' });
  await pushRef({ folder, hub, commit: tested, ref: names.tested('part', 1), lease: null });
  const heard: Message[] = [];
  const [manager, orchestrator] = [await fabric.open('project-manager'), await fabric.open('orchestrator')];
  const work = (message: Message) => {
    heard.push(message);
    return done();
  };
  consumeAll(manager, 'project-manager', { work: work as never });
  consumeAll(orchestrator, 'orchestrator', { work: work as never });
  const head = taskHeadOf(task, { base_commit: base, repository });
  for (const write of writeTask(manager.keys, task, 0, { head, request: { request: 'Try it' } })) {
    if (write.op === 'patch') await fabric.redis.hset(write.key, { revision: '1', ...write.set });
  }
  const of = { thread: task, actor: 'test' };
  const payload = { task_id: task, subtask_id: 'part', attempt: 1, base, tested_commit: tested };
  const proof = { checks: { passed: 1, failed: 0, skipped: 0, broken: 0 }, proven: true };
  const ordered = { task_id: task, repository, commit: tested, base_commit: base, ...proof };
  return {
    ...{ fabric, home, hub, repository, base, tested, heard, bus: manager },
    start: () => startService('finalizer', fabric, { NEXUS_HOME: home }),
    merge: () => manager.publish({ type: 'merge.requested', payload, ...of }),
    release: () => orchestrator.publish({ type: 'release.requested', payload: ordered, ...of }),
    answers: <K extends 'merge.finished' | 'release.finished'>(kind: K) =>
      heard.filter(({ type }) => type === kind).map(({ payload }) => payload as PayloadOf<K>),
  };
};

/** A hook that does this to a process the first time that something was pushed, and counts all pushes. */
const afterPush = (repository: string, { pid }: ServiceProcess, signal: 'KILL' | 'STOP') => {
  const hooks = join(repository, 'the-hooks');
  const log = join(hooks, 'pushes');
  mkdirSync(hooks, { recursive: true });
  writeFileSync(join(hooks, 'post-receive'), `#!/bin/sh\n[ -e ${log} ] || kill -${signal} ${pid}\ncat >> ${log}\n`);
  chmodSync(join(hooks, 'post-receive'), 0o755);
  plain(repository, 'config', 'core.hooksPath', hooks);
  const lines = () => (existsSync(log) ? readFileSync(log, 'utf8').trim().split('\n') : []);
  return { refs: () => lines().map((line) => line.split(' ')[2]) };
};

test('rule 24: killed between the push of a merge and its settlement, the next one finds it merged', async () => {
  const { hub, tested, start, merge, answers } = await openStage();
  const first = await start();
  const pushed = afterPush(hub, first, 'KILL');
  await merge();
  expect(await first.ended).toBe('SIGKILL');
  expect(answers('merge.finished')).toEqual([]);
  await start();
  await eventually('the merge is told', () => answers('merge.finished').length > 0);
  expect(answers('merge.finished')).toMatchObject([{ outcome: 'merged', commit: tested }]);
  expect(await readRef(hub, names.integration)).toBe(tested);
  expect(await readRef(hub, names.merged('part'))).toBe(tested);
  expect(pushed.refs().sort()).toEqual([names.integration, names.merged('part')]);
});

test('killed between the push of a result and its settlement, the next one finds it released and reports', async () => {
  const { repository, tested, start, release, answers, bus } = await openStage();
  const first = await start();
  const pushed = afterPush(repository, first, 'KILL');
  await release();
  expect(await first.ended).toBe('SIGKILL');
  await start();
  await eventually('the release is told', () => answers('release.finished').length > 0);
  expect(answers('release.finished')).toMatchObject([
    { code: null, result: { commit: tested, branch: `nexus/${task}` } },
  ]);
  expect(plain(repository, 'rev-parse', `nexus/${task}`)).toBe(tested);
  expect(pushed.refs()).toEqual([names.result]);
  expect((await readReport(bus.store, bus.keys, task))?.markdown).toContain('completed');
});

test('rules 1, 24: a finalizer paused after its push is overtaken, and settles nothing when it goes on', async () => {
  const { fabric, hub, tested, start, merge, answers } = await openStage();
  const paused = await start();
  const pushed = afterPush(hub, paused, 'STOP');
  await merge();
  await eventually('the push has paused it', () => pushed.refs().length > 0 || isStopped(paused.pid));
  await start();
  await eventually('the other one tells the merge', () => answers('merge.finished').length > 0, 40_000);
  await paused.signal('SIGCONT');
  await eventually('the first one says that it lost', () => paused.said().includes('The claim was lost'), 30_000);
  expect(answers('merge.finished')).toMatchObject([{ outcome: 'merged', commit: tested }]);
  expect(pushed.refs().sort()).toEqual([names.integration, names.merged('part')]);
  expect(await readRef(hub, names.integration)).toBe(tested);
  const inbox = `${fabric.config.prefix}:inbox:finalizer:NORMAL`;
  expect(await fabric.redis.xlen(inbox)).toBe(0);
});

test('a task that has failed is reported on and not pushed; when its time is over, its hub goes', async () => {
  const { fabric, hub, repository, base, start, answers, bus, heard } = await openStage();
  await start();
  const head = taskHeadOf(task, { status: 'failed', reason: 'GATE_BROKEN: no room', base_commit: base, repository });
  await fabric.redis.hset(bus.keys.task(task), { status: 'failed', head: JSON.stringify(head) });
  const proof = { checks: { passed: 0, failed: 0, skipped: 0, broken: 0 }, proven: false };
  const ended = {
    outcome: 'failed',
    reason: head.reason,
    repository,
    commit: base,
    base_commit: base,
    ...proof,
  } as const;
  const of = { thread: task, actor: 'test' };
  await bus.publish({ type: 'release.requested', payload: { task_id: task, ...ended }, ...of });
  await eventually('the report is told', () => answers('release.finished').length > 0);
  const markdown = async () => (await readReport(bus.store, bus.keys, task))?.markdown ?? '';
  expect(await markdown()).toContain('GATE_BROKEN: no room');
  expect(plain(repository, 'branch', '--list', 'nexus/*')).toBe('');
  for (const _ of [1, 2]) await bus.publish({ type: 'hub.expired', payload: { task_id: task }, ...of });
  await eventually('the hub is gone', async () => !existsSync(hub) && (await markdown()).includes('has expired'));
  const inbox = bus.keys.inbox('finalizer', 'NORMAL');
  await eventually('both are settled', async () => (await fabric.redis.xlen(inbox)) === 0);
  expect([await fabric.redis.hlen(bus.keys.dead), heard.length]).toEqual([0, 1]);
});

const isStopped = (pid: number): boolean => /^\d+ \(.*\) T/.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
