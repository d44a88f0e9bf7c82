/**
 * The checker itself: a task as a fleet leaves it, in a real Redis and a real hub, and each violation planted in it by
 * hand. A checker that cannot find these would find nothing.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { testFabric } from '../tools/redis.ts';
import { git } from './check-git.ts';
import { type Asked, check, type Findings, type Look } from './checker.ts';

const task = 'one-abc123';
const text = "export const first = 'first';\n";
const person = ['-c', 'user.name=P', '-c', 'user.email=p@p'];

type Ground = Omit<Look, 'asked'> & {
  asked: Map<string, Asked extends ReadonlyMap<string, infer Work> ? Work : never>;
  redis: Redis;
  hub: string;
  work: string;
  base: string;
  merged: string;
  key(name: string): string;
  look(): Promise<Findings>;
};

/** A task of one code subtask that was completed, and nothing wrong with it. */
const openGround = async (): Promise<Ground> => {
  const { config, redis } = testFabric();
  const home = mkdtempSync(join(tmpdir(), 'nexus-checker-'));
  onTestFinished(() => rmSync(home, { recursive: true, force: true }));
  const key = (name: string): string => `${config.prefix}:${name}`;
  cpSync(made.home, home, { recursive: true });
  const { base, merged } = made;
  await writeLedger(redis, key, merged, join(home, 'repositories', task));
  const asked: Ground['asked'] = new Map([[task, { files: { 'src/first.js': text }, code: ['first'] }]]);
  const look = {
    redisUrl: config.redisUrl,
    prefix: config.prefix,
    home,
    asked,
    counts: {},
  };
  const hub = join(home, 'hubs', `${task}.git`);
  return { ...look, base, merged, hub, work: join(home, 'work'), redis, key, look: () => check(look) };
};

/** Made once, copied for each test. */
let made: { home: string; base: string; merged: string };
beforeAll(() => {
  const home = mkdtempSync(join(tmpdir(), 'nexus-checker-'));
  made = { home, ...makeHub(home) };
});
afterAll(() => rmSync(made.home, { recursive: true, force: true }));

const makeHub = (home: string) => {
  const [hub, work] = [join(home, 'hubs', `${task}.git`), join(home, 'work')];
  const repository = join(home, 'repositories', task);
  for (const folder of [hub, work, repository]) mkdirSync(folder, { recursive: true });
  git(hub, 'init', '-q', '--bare');
  git(work, 'init', '-q', '-b', 'main');
  git(work, ...person, 'commit', '-q', '--allow-empty', '-m', 'Begin');
  const base = git(work, 'rev-parse', 'HEAD');
  mkdirSync(join(work, 'src'));
  writeFileSync(join(work, 'src/first.js'), text);
  const merged = mergeOf(work, base, 'first');
  writeFileSync(join(hub, 'nexus.json'), JSON.stringify({ baseCommit: base }));
  push(work, hub, merged, 'integration', 'merged/first', 'tested/first/1');
  evidence(work, hub, 'first', merged, { verdict: 'passed', checks: [{ state: 'passed', exit_code: 0 }] });
  git(repository, 'init', '-q', '-b', 'main');
  git(work, 'push', '-q', repository, `${merged}:refs/heads/nexus/${task}`);
  return { base, merged };
};

/** Commits what lies there, and merges it onto `onto` as the gate does. */
const mergeOf = (work: string, onto: string, subtask: string): string => {
  git(work, 'checkout', '-q', '--detach', onto);
  git(work, 'add', '-A');
  git(work, ...person, 'commit', '-q', '--allow-empty', '-m', subtask);
  const side = git(work, 'rev-parse', 'HEAD');
  return git(work, ...person, 'commit-tree', `${side}^{tree}`, '-p', onto, '-p', side, '-m', `Merge ${subtask}`);
};

const push = (work: string, hub: string, commit: string, ...names: string[]): void => {
  for (const name of names) git(work, 'push', '-q', '-f', hub, `${commit}:refs/nexus/${task}/${name}`);
};

const evidence = (work: string, hub: string, subtask: string, commit: string, verdict: object): void => {
  const folder = mkdtempSync(join(work, 'evidence-'));
  mkdirSync(join(folder, 'token'));
  writeFileSync(join(folder, 'token/verdict.json'), JSON.stringify({ tested_commit: commit, ...verdict }));
  git(folder, 'init', '-q');
  git(folder, 'add', '-A');
  git(folder, ...person, 'commit', '-q', '-m', 'Gate');
  git(folder, 'push', '-q', '-f', hub, `HEAD:refs/nexus/${task}/evidence/gate-${subtask}-1`);
  rmSync(folder, { recursive: true });
};

const subtaskOf = (merged: string) => ({
  state: 'merged',
  attempt: 1,
  merged_commit: merged,
  history: [{ outcome: 'gate_passed', commit: merged }],
});

const writeLedger = async (
  redis: Redis,
  key: (name: string) => string,
  merged: string,
  repository: string,
): Promise<void> => {
  const result = JSON.stringify({ branch: `nexus/${task}`, commit: merged, repository });
  const head = JSON.stringify({ integration: merged });
  await redis.zadd(key('tasks'), 1, task);
  await redis.hset(key(`task:${task}`), { status: 'completed', head: '{"reason":null}', result });
  await redis.hset(key(`board:${task}`), { head, 's:first': JSON.stringify(subtaskOf(merged)) });
  await redis.hset(key(`report:${task}`), 'markdown', 'fine');
  await redis.set(key('seen:a'), 'x', 'EX', 60);
  await redis.hset(key('history'), 'agent:code:code:ok', 1);
  await redis.hset(key(`spend:budget:task:${task}`), 'usd_held', 0);
  await redis.expire(key(`spend:budget:task:${task}`), 60);
  await redis.hset(key('control'), 'state', 'running');
  await redis.xgroup('CREATE', key('inbox:worker-agent:NORMAL'), 'worker-agent', '0', 'MKSTREAM');
};

const patch = (redis: Redis, key: string, field: string, change: object): Promise<unknown> =>
  redis
    .hget(key, field)
    .then((old) => redis.hset(key, field, JSON.stringify({ ...JSON.parse(old ?? '{}'), ...change })));

test('a fleet that kept its word shows no violation', async () => {
  const ground = await openGround();
  expect(await ground.look()).toEqual({
    ...{ completed: 1, failed: 0, cancelled: 0, waiting: 0, dead_letters: 0 },
    violations: [],
  });
});

const subtasks: [string, (ground: Ground) => unknown, RegExp][] = [
  [
    'an accepted task that is lost',
    ({ asked }) => asked.set('other-1', { files: {}, code: [] }),
    /accepted and is lost/,
  ],
  ['a task that nobody asked for', ({ asked }) => asked.delete(task), /nobody asked for it/],
  [
    'a task that has not ended',
    ({ redis, key }) => redis.hset(key(`task:${task}`), 'status', 'in_progress'),
    /has not ended: in_progress/,
  ],
  [
    'a task that failed without a reason that the faults explain',
    ({ redis, key }) => redis.hset(key(`task:${task}`), { status: 'failed', head: '{"reason":"DISK_FULL: full"}' }),
    /is failed, and no fault explains it: DISK_FULL/,
  ],
  [
    'a merge that was never tested',
    ({ hub }) => git(hub, 'update-ref', '-d', `refs/nexus/${task}/tested/first/1`),
    /which is no tested commit/,
  ],
  [
    'a merge whose gate did not pass',
    ({ work, hub, merged }) =>
      evidence(work, hub, 'first', merged, { verdict: 'failed', checks: [{ state: 'failed', exit_code: 1 }] }),
    /without a gate that passed/,
  ],
  [
    'a gate that ran nothing',
    ({ work, hub, merged }) =>
      evidence(work, hub, 'first', merged, { verdict: 'passed', checks: [{ state: 'skipped', exit_code: null }] }),
    /without a gate that passed/,
  ],
  [
    'a gate of which the ledger knows nothing',
    ({ redis, key }) => patch(redis, key(`board:${task}`), 's:first', { history: [] }),
    /the ledger knows no gate that passed first/,
  ],
  [
    'a commit in integration that nobody gated',
    ({ work, hub, merged }) => push(work, hub, mergeOf(work, merged, 'stray'), 'integration'),
    /of integration has 0 markers/,
  ],
  [
    'one commit merged for two subtasks',
    ({ work, hub, merged }) => push(work, hub, merged, 'merged/again', 'tested/again/1'),
    /of integration has 2 markers/,
  ],
  [
    'a marker whose commit is not in integration',
    ({ hub, base }) => git(hub, 'update-ref', `refs/nexus/${task}/integration`, base),
    /marked as merged, but not in integration/,
  ],
  [
    'a subtask that the ledger believes merged and git does not',
    ({ hub }) => git(hub, 'update-ref', '-d', `refs/nexus/${task}/merged/first`),
    /its marker says null/,
  ],
  [
    'a subtask that git merged and the ledger does not know',
    ({ redis, key }) => patch(redis, key(`board:${task}`), 's:first', { state: 'working' }),
    /has a marker, and is working/,
  ],
  [
    'a result that is not integration',
    ({ redis, key, base }) => patch(redis, key(`task:${task}`), 'result', { commit: base }),
    /its result is/,
  ],
  [
    'a result branch that stands elsewhere',
    ({ home, base }) => git(join(home, 'repositories', task), 'update-ref', `refs/heads/nexus/${task}`, base),
    /its branch is/,
  ],
  [
    'work that was lost on the way',
    ({ asked }) => asked.set(task, { files: { 'src/second.js': 'x\n' }, code: ['first'] }),
    /src\/second.js is missing/,
  ],
  [
    'a damaged hub',
    ({ hub, work, merged }) => {
      const tree = git(work, 'rev-parse', `${merged}^{tree}`);
      rmSync(join(hub, 'objects', tree.slice(0, 2), tree.slice(2)));
    },
    /its hub is damaged/,
  ],
];

test.each(subtasks)('the checker finds %s', async (_title, plant, says) => {
  const ground = await openGround();
  await plant(ground);
  const { violations } = await ground.look();
  expect(violations.join('\n')).toMatch(says);
});

const envelope = (of: string): string => `inbox {"conversation_thread":"${of}"}`;

const fabric: [string, (ground: Ground) => unknown, RegExp][] = [
  [
    'a message that nobody took',
    ({ redis, key }) => redis.xadd(key('inbox:worker-agent:NORMAL'), '*', 'm', '{}'),
    /1 messages left in/,
  ],
  [
    'an entry that is held by nobody who lives',
    async ({ redis, key }) => {
      await redis.xadd(key('inbox:worker-agent:NORMAL'), '*', 'm', '{}');
      await redis.xreadgroup('GROUP', 'worker-agent', 'gone', 'STREAMS', key('inbox:worker-agent:NORMAL'), '>');
    },
    /1 entries pending/,
  ],
  [
    'a message that is parked though its task has ended',
    async ({ redis, key }) => {
      await redis.hset(key('parked'), 'a', envelope(task));
      await redis.zadd(key('due'), 1, 'a');
    },
    /still parked/,
  ],
  ['an alarm for nothing', ({ redis, key }) => redis.zadd(key('due'), 1, 'a'), /due, but not parked/],
  [
    'a message that is parked for ever',
    ({ redis, key }) => redis.hset(key('parked'), 'a', envelope(task)),
    /parked without a time/,
  ],
  [
    'a dead letter that no fault explains',
    async ({ redis, key }) => {
      await redis.hset(key('dead'), 'a', '{"code":"BUG"}');
      await redis.zadd(key('dead:order'), 1, 'a');
    },
    /dead letter a is not explained/,
  ],
  ['a listed letter that is gone', ({ redis, key }) => redis.zadd(key('dead:order'), 1, 'a'), /listed, but no letter/],
  ['a key without an owner', ({ redis, key }) => redis.set(key('stray'), 'x'), /key without an owner: .*:stray/],
  [
    'a word that leads to no memory',
    ({ redis, key }) => redis.zadd(key('memory:word:shared:csv'), 1, 'maaaaaaaaaaaa'),
    /key of a memory that is not there: .*:memory:word:shared:csv/,
  ],
  [
    'a memory that nothing leads to',
    ({ redis, key }) => redis.hset(key('memory:item:maaaaaaaaaaaa'), 'scope', 'shared'),
    /key of a memory that is not there: .*:memory:item:maaaaaaaaaaaa/,
  ],
  [
    'a key of a task that is gone',
    ({ redis, key }) => redis.set(key('board:gone-1'), 'x'),
    /a task that is not listed/,
  ],
  ['a key without an expiry', ({ redis, key }) => redis.set(key('seen:b'), 'x'), /key without an expiry/],
  [
    'money that a dead process still has reserved',
    ({ redis, key }) => redis.hset(key('spend:reservations'), 'worker.1-0.1/1', '{"usd":1}'),
    /reserved by nobody who lives: .*worker.1-0.1/,
  ],
  [
    'a budget that is kept for ever',
    ({ redis, key }) => redis.hset(key('spend:budget:day:2026-01-01'), 'usd_used', 1),
    /key without an expiry: .*:spend:budget/,
  ],
  ['a job that nobody runs', ({ redis, key }) => redis.hset(key('alarms:77'), 'data', '{}'), /a job that nobody runs/],
  ['a task listed as open', ({ redis, key }) => redis.zadd(key('tasks:open'), 1, task), /listed as open/],
  [
    'a task listed as waiting for a person',
    ({ redis, key }) => redis.zadd(key('tasks:waiting'), 1, task),
    /listed as waiting for a person, and is completed/,
  ],
  ['slots that nobody gave back', ({ redis, key }) => redis.hset(key('load'), task, 1), /still holds 1 slots/],
  ['a fleet left stopped', ({ redis, key }) => redis.hset(key('control'), 'state', 'stopped'), /is left stopped/],
];

test.each(fabric)('the checker finds %s', async (_title, plant, says) => {
  const ground = await openGround();
  await plant(ground);
  const { violations } = await ground.look();
  expect(violations.join('\n')).toMatch(says);
});

test('a letter and an end that the faults explain are no violation', async () => {
  const ground = await openGround();
  await ground.redis.hset(ground.key('dead'), 'a', '{"code":"POISON"}');
  await ground.redis.zadd(ground.key('dead:order'), 1, 'a');
  await ground.redis.hset(ground.key(`task:${task}`), { status: 'failed', head: '{"reason":"DISK_FULL: no room"}' });
  const found = await check({ ...ground, counts: { kill: 3, disk: 1 } });
  expect(found).toMatchObject({ dead_letters: 1, failed: 1, violations: [] });
});

test('a fault in the history of a letter or a subtask explains no other end', async () => {
  const ground = await openGround();
  const envelope = { history: [{ code: 'REDIS_UNREACHABLE', says: 'LOADING' }] };
  await ground.redis.hset(ground.key('dead'), 'a', JSON.stringify({ code: 'BUG', says: 'it broke', envelope }));
  await ground.redis.zadd(ground.key('dead:order'), 1, 'a');
  const history = [
    { outcome: 'failed', says: 'DISK_FULL' },
    { outcome: 'failed', says: 'it broke' },
  ];
  await ground.redis.hset(ground.key(`board:${task}`), 's:next', JSON.stringify({ state: 'failed', history }));
  await ground.redis.hset(ground.key(`task:${task}`), { status: 'failed', head: '{"reason":"next failed"}' });
  const { violations } = await check({ ...ground, counts: { redis: 3, disk: 1 } });
  expect(violations.join('\n')).toMatch(/dead letter a is not explained/);
  expect(violations.join('\n')).toMatch(/is failed, and no fault explains it: next failed/);
});

test('ends that faults explain are few', async () => {
  const ground = await openGround();
  for (const other of ['two-abc123', 'three-abc123']) {
    ground.asked.set(other, { files: {}, code: [] });
    await ground.redis.zadd(ground.key('tasks'), 1, other);
    await ground.redis.hset(ground.key(`task:${other}`), { status: 'failed', head: '{"reason":"DISK_FULL"}' });
  }
  const { violations } = await check({ ...ground, counts: { disk: 1 } });
  expect(violations).toEqual(['1 of 3 tasks are completed; at least 2 have to be']);
});

const left: [string, string, RegExp][] = [
  ['a clone of an attempt', 'workspaces/one-abc123/first-1-token', /leftover clone workspaces/],
  ['a folder of a gate', 'gates/token', /leftover clone gates/],
  ['a hub that is half made', 'hubs/x.git.making-1', /half-made hub/],
];

test.each(left)('the checker finds %s that was left behind', async (_title, folder, says) => {
  const ground = await openGround();
  mkdirSync(join(ground.home, folder), { recursive: true });
  expect((await ground.look()).violations.join('\n')).toMatch(says);
});

test('the checker finds a process of an agent, and one of the fleet, that outlived it', async () => {
  const ground = await openGround();
  for (const env of [{ NEXUS_MARK: `${ground.prefix}.x.y` }, { NEXUS_HOME: ground.home }]) {
    const child = spawn('sleep', ['60'], { env: { ...process.env, ...env }, stdio: 'ignore' });
    await once(child, 'spawn');
    const { violations } = await ground.look();
    child.kill('SIGKILL');
    await once(child, 'exit');
    expect(violations).toEqual([expect.stringMatching(new RegExp(`process ${child.pid}.*sleep 60`))]);
  }
});
