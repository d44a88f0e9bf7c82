/**
 * Takeover as a worker sees it, with real processes: what is killed, paused or sent twice ends once, its agents end,
 * and whoever takes over goes on from the checkpoint.
 */
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { refs } from '@nexus/shared/git';
import { expect, onTestFinished, test } from 'vitest';
import { eventually } from '../tools/eventually.ts';
import { taskId } from '../tools/worker.ts';
import { openShop, type Shop, type WorkerProcess, workspacesIn } from '../tools/worker-process.ts';

/** Works for ever the first time, and ends the second, when it finds what the first has left. */
const agent = `
  if [ -e begun.txt ]; then cat begun.txt > whole.txt; cp "$0" /dev/null; echo going on; exit 0; fi
  echo one > begun.txt; echo begun; setsid sleep 300 & sleep 300`;
const settings = {
  NEXUS_AGENT_COMMAND: agent,
  NEXUS_CHECKPOINT_INTERVAL: '300ms',
  NEXUS_WATCH_EVERY: '100ms',
  NEXUS_RUNTIME: 'command',
};

const saved = (shop: Shop, subtask = 'storage') =>
  eventually('its work is saved', async () => (await shop.attempt(subtask)).checkpoint?.commit);
const agentsOf = (shop: Shop, { instanceId }: WorkerProcess) =>
  shop.agents().filter(({ mark }) => mark.includes(`.${instanceId}.`));
const onlyFinished = (shop: Shop) =>
  eventually(
    'the attempt is told to have ended',
    async () => {
      const [one] = await shop.finished();
      return one;
    },
    60_000,
  );
/** Nothing that anybody holds is left, so nothing more can be settled. */
const isQuiet = (shop: Shop) => eventually('nothing is held', async () => (await shop.pending()).length === 0);

test('rule 1: an attempt that is dispatched twice runs once, also where the second goes elsewhere', async () => {
  const shop = await openShop();
  const wait =
    'echo started >> log.txt; while [ ! -e "$NEXUS_MARK_HOME/go" ]; do sleep 0.05; done; echo ended >> log.txt';
  const workers = [
    await shop.start(shop.rig.home, { ...settings, NEXUS_AGENT_COMMAND: wait, NEXUS_SLOTS: '2' }),
    await shop.start(shop.rig.home, { ...settings, NEXUS_AGENT_COMMAND: wait, NEXUS_SLOTS: '2' }),
  ];
  const [order] = await shop.dispatch([{}]);
  if (!order) throw new Error('there is an order');
  await eventually('the agent runs', () => shop.agents().length > 0);
  await saved(shop);
  for (let copy = 0; copy < 4; copy += 1) await shop.send(order);
  const told = async () => (await shop.journal()).match(/changes nothing: it runs already/g)?.length;
  await eventually('all copies were told to change nothing', async () => (await told()) === 4);
  expect(shop.agents()).not.toEqual([]);
  shop.go();
  const finished = await onlyFinished(shop);
  await isQuiet(shop);
  expect(finished).toMatchObject({ outcome: 'finished', attempt: 1 });
  expect(shop.show(finished.commit, 'log.txt')).toBe('started\nended');
  expect(await shop.finished()).toHaveLength(1);
  expect(workers.map(({ child }) => child.exitCode)).toEqual([null, null]);
  // Also when it has ended, before the board has heard of it.
  await shop.send(order);
  await eventually('it is told', async () => /has told its end already/.test(await shop.journal()));
  await isQuiet(shop);
  expect(await shop.finished()).toHaveLength(1);
});

test('a consumer group that somebody destroys costs no attempt: the work ends once, as it would have', async () => {
  const shop = await openShop();
  const wait = 'echo one >> begun.txt; while [ ! -e "$NEXUS_MARK_HOME/go" ]; do sleep 0.05; done';
  const worker = await shop.start(shop.rig.home, { ...settings, NEXUS_AGENT_COMMAND: wait });
  await shop.dispatch([{}]);
  await eventually('its agent works', () => agentsOf(shop, worker).length > 0);
  await saved(shop);
  const { redis, config } = shop.fabric;
  expect(await redis.xgroup('DESTROY', `${config.prefix}:inbox:worker-agent:NORMAL`, 'worker-agent')).toBe(1);
  // The new group counts from one: the same worker holds the same entry under the same token.
  await eventually('the entry is held again', async () => (await shop.pending().catch(() => [])).length === 1);
  shop.go();
  const finished = await onlyFinished(shop);
  await isQuiet(shop);
  expect(finished).toMatchObject({ outcome: 'finished', attempt: 1, instance_id: worker.instanceId });
  expect(shop.show(finished.commit, 'begun.txt')).toMatch(/^one/);
  expect(await shop.finished()).toHaveLength(1);
  expect(await shop.journal()).not.toContain('"outcome":"retry"');
});

test('rule 13: a letter of an earlier attempt that is replayed while the next one runs changes nothing', async () => {
  const shop = await openShop();
  const worker = await shop.start(shop.rig.home, settings);
  const [order] = await shop.dispatch([{ attempt: 2 }]);
  if (!order) throw new Error('there is an order');
  await saved(shop);
  const before = agentsOf(shop, worker).map(({ pid }) => pid);
  await shop.send({ ...order, attempt: 1 });
  await eventually('it is told', async () => /its board is at attempt 2/.test(await shop.journal()));
  expect(agentsOf(shop, worker).map(({ pid }) => pid)).toEqual(expect.arrayContaining(before));
  expect(await shop.finished()).toEqual([]);
});

test('rules 2, 4, 21: after kill -9 its agents end, and another machine goes on from the checkpoint', async () => {
  const shop = await openShop();
  const dead = await shop.start(shop.newHome(), settings);
  await shop.dispatch([{}]);
  const commit = await saved(shop);
  await eventually('its grandchild is there', () => agentsOf(shop, dead).length >= 3);
  const next = await shop.start(shop.newHome(), settings);
  dead.child.kill('SIGKILL');
  const finished = await onlyFinished(shop);
  await eventually('no process of the dead worker is left', () => agentsOf(shop, dead).length === 0);
  expect(finished).toMatchObject({ outcome: 'finished', attempt: 1, instance_id: next.instanceId });
  expect(finished.files.sort()).toEqual(['begun.txt', 'whole.txt']);
  expect(shop.show(finished.commit, 'whole.txt')).toBe('one');
  shop.rig.git('merge-base', '--is-ancestor', commit, finished.commit ?? '');
  const prompt = shop.show(refs(taskId).evidence('storage-1'), 'prompt.md');
  expect(prompt).toMatch(/interrupted before it could tell its end\. Its work was saved last at 20/);
  expect(prompt).toMatch(/operation that was running is not\s+assumed to have happened/);
  expect(prompt).toMatch(/last step[\s\S]*begun/);
  await isQuiet(shop);
  expect(await shop.finished()).toHaveLength(1);
});

test('rule 26: on the same machine also what was never saved is found, and nothing of it is adopted', async () => {
  const shop = await openShop();
  const unsaved = {
    ...settings,
    NEXUS_CHECKPOINT_INTERVAL: '1h',
    NEXUS_CHECKPOINT_THROTTLE: '1h',
    NEXUS_WATCH_EVERY: '1h',
  };
  const dead = await shop.start(shop.rig.home, unsaved);
  await shop.dispatch([{}]);
  const file = await eventually('the agent has written', () => {
    const [folder = ''] = workspacesIn(shop.rig.home);
    return readFileSync(join(folder, 'begun.txt'), 'utf8').includes('one') && folder;
  });
  const next = await shop.start(shop.rig.home, unsaved);
  dead.child.kill('SIGKILL');
  const finished = await onlyFinished(shop);
  expect(finished).toMatchObject({ outcome: 'finished', instance_id: next.instanceId });
  expect(shop.show(finished.commit, 'whole.txt')).toBe('one');
  const folders = workspacesIn(shop.rig.home);
  expect(folders).toEqual([file]);
  await eventually('no process is left', () => shop.agents().length === 0);
});

test('rules 4, 21, 26: killed again before it has a checkpoint of its own, its work goes on as it was', async () => {
  const shop = await openShop();
  const { home } = shop.rig;
  // Each line stands on the ones before: two states of the file that are merged as equals conflict.
  const command = `touch work.txt; n=$(wc -l < work.txt)
    while [ ! -e "$NEXUS_MARK_HOME/go" ]; do n=$((n + 1)); echo "line $n" >> work.txt; sleep 0.1; done`;
  const rarely = { NEXUS_CHECKPOINT_INTERVAL: '1h', NEXUS_CHECKPOINT_THROTTLE: '1h', NEXUS_WATCH_EVERY: '1h' };
  const lines = (folder = ''): number => readFileSync(join(folder, 'work.txt'), 'utf8').split('\n').length - 1;
  const first = await shop.start(home, { ...settings, NEXUS_AGENT_COMMAND: command });
  await shop.dispatch([{}]);
  await saved(shop);
  const [old = ''] = workspacesIn(home);
  const known = lines(old);
  await eventually('it has gone on since its checkpoint', () => lines(old) > known + 2);
  const second = await shop.start(home, { ...settings, ...rarely, NEXUS_AGENT_COMMAND: command });
  first.child.kill('SIGKILL');
  await eventually('the second goes on', () =>
    workspacesIn(home).some((folder) => folder !== old && lines(folder) > lines(old) + 2),
  );
  const third = await shop.start(home, { ...settings, ...rarely, NEXUS_AGENT_COMMAND: command });
  second.child.kill('SIGKILL');
  await eventually('the third goes on', () => agentsOf(shop, third).length > 0);
  shop.go();
  const finished = await onlyFinished(shop);
  expect(finished).toMatchObject({ outcome: 'finished', instance_id: third.instanceId });
  const work = shop.show(finished.commit, 'work.txt').split('\n');
  expect(work).toEqual(work.map((_, at) => `line ${at + 1}`));
  expect(work.length).toBeGreaterThan(lines(old));
});

/** A way to Redis that can be cut: whoever goes by it hears nothing more, and nobody hears of him. */
const openWay = async (url: string) => {
  const target = new URL(url);
  const sockets = new Set<Socket>();
  let open = true;
  const server = createServer((client) => {
    if (!open) {
      client.destroy();
      return;
    }
    const redis = connect(Number(target.port), target.hostname);
    for (const [one, other] of [
      [client, redis],
      [redis, client],
    ] as const) {
      sockets.add(one);
      one.on('error', () => undefined).on('close', () => other.destroy());
      one.pipe(other);
    }
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const cut = () => {
    open = false;
    for (const socket of sockets) socket.destroy();
    sockets.clear();
  };
  onTestFinished(() => {
    cut();
    server.close();
  });
  return {
    url: `redis://127.0.0.1:${(server.address() as AddressInfo).port}`,
    cut,
    mend: () => {
      open = true;
    },
  };
};

/** Its event loop stands still from SIGUSR2 on, until the file is there. */
const blockable = (file: string) => {
  const code = `import fs from 'node:fs'; process.on('SIGUSR2', () => { while (!fs.existsSync('${file}'));  });`;
  return { NODE_OPTIONS: `--import data:text/javascript,${encodeURIComponent(code)}` };
};

test.each(['paused', 'blocked', 'cut off'] as const)(
  'rules 1, 2, 4: a worker that is %s is taken over; when it comes back it settles nothing and ends its agents',
  async (how) => {
    const shop = await openShop();
    const way = await openWay(shop.fabric.config.redisUrl);
    const over = join(shop.rig.home, 'over');
    const env = how === 'blocked' ? blockable(over) : how === 'cut off' ? { REDIS_URL: way.url } : {};
    const lost = await shop.start(shop.newHome(), { ...settings, ...env });
    await shop.dispatch([{}]);
    await saved(shop);
    const next = await shop.start(shop.newHome(), settings);
    if (how === 'cut off') way.cut();
    else lost.child.kill(how === 'paused' ? 'SIGSTOP' : 'SIGUSR2');
    const finished = await onlyFinished(shop);
    expect(finished).toMatchObject({ outcome: 'finished', instance_id: next.instanceId });
    // On another machine nobody could end them; they have no say in anything.
    expect(agentsOf(shop, lost).length).toBeGreaterThan(0);
    const before = shop.rig.git('for-each-ref', 'refs/nexus/a-task/attempt', 'refs/nexus/a-task/evidence');
    const record = await shop.attempt('storage');
    way.mend();
    writeFileSync(over, '');
    lost.child.kill('SIGCONT');
    await eventually('its agents end', () => agentsOf(shop, lost).length === 0);
    await isQuiet(shop);
    expect(shop.rig.git('for-each-ref', 'refs/nexus/a-task/attempt', 'refs/nexus/a-task/evidence')).toBe(before);
    expect(await shop.attempt('storage')).toEqual(record);
    expect(await shop.finished()).toEqual([finished]);
    expect(lost.child.exitCode).toBeNull();
  },
  90_000,
);

test('rule 21: a worker that is cut off for too long saves and ends its agents, and goes on later', async () => {
  const shop = await openShop();
  const way = await openWay(shop.fabric.config.redisUrl);
  const unsaved = { NEXUS_CHECKPOINT_INTERVAL: '1h', NEXUS_CHECKPOINT_THROTTLE: '1h', NEXUS_WATCH_EVERY: '1h' };
  const env = { ...settings, ...unsaved, REDIS_URL: way.url, NEXUS_CUT_OFF: '2s' };
  const worker = await shop.start(shop.newHome(), env);
  await shop.dispatch([{}]);
  await eventually('its agent works', () => agentsOf(shop, worker).length >= 3);
  way.cut();
  await eventually('its agents end', () => agentsOf(shop, worker).length === 0);
  const wip = await eventually(
    'its work is pushed',
    () => shop.rig.git('for-each-ref', '--format=%(objectname)', `refs/nexus/${taskId}/wip/storage`) || null,
  );
  expect(shop.show(wip, 'begun.txt')).toBe('one');
  expect(await shop.finished()).toEqual([]);
  way.mend();
  const finished = await onlyFinished(shop);
  expect(finished).toMatchObject({ outcome: 'finished', files: ['begun.txt', 'whole.txt'] });
  await isQuiet(shop);
  expect(await shop.finished()).toHaveLength(1);
}, 60_000);

test('rule 6: an agent that costs its worker its life each time runs alone at last, and then no more', async () => {
  const shop = await openShop();
  const hang = { ...settings, NEXUS_AGENT_COMMAND: 'echo here I am; sleep 300' };
  const workers: WorkerProcess[] = [];
  for (let at = 0; at < 4; at += 1) workers.push(await shop.start(shop.newHome(), hang));
  await shop.dispatch([{}]);
  const killed = new Set<WorkerProcess>();
  while (killed.size < 3) {
    const holder = await eventually(
      'somebody runs it',
      () => workers.find((worker) => !killed.has(worker) && agentsOf(shop, worker).length > 0),
      60_000,
    );
    holder.child.kill('SIGKILL');
    killed.add(holder);
    await eventually('its agent ended with it', () => agentsOf(shop, holder).length === 0);
  }
  const finished = await onlyFinished(shop);
  expect(finished).toMatchObject({ outcome: 'lost', code: 'POISON' });
  expect(finished.says).toContain('3 processes');
  expect(shop.agents()).toEqual([]);
});

test('what a killed worker had reserved is given back by the others, though no budget asks for it', async () => {
  const shop = await openShop();
  const wait = 'echo started; sleep 300';
  const env = { ...settings, NEXUS_AGENT_COMMAND: wait, NEXUS_ORPHANS_EVERY: '200ms' };
  const killed = await shop.start(shop.rig.home, env);
  await shop.dispatch([{}]);
  const reserved = async (): Promise<string[]> =>
    shop.fabric.redis.hkeys(`${shop.fabric.config.prefix}:spend:reservations`);
  await eventually('something is reserved', async () => (await reserved()).length > 0);
  const [before = ''] = await reserved();
  await shop.start(shop.newHome(), env);
  killed.child.kill('SIGKILL');
  await eventually('it is nobody’s any more', async () => !(await reserved()).includes(before), 60_000);
  const others = await reserved();
  expect(others.every((one) => !one.startsWith(killed.instanceId))).toBe(true);
});
