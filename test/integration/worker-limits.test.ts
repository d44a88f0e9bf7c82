/** What a worker does where its machine is full: it takes nothing, says why, and a full disk fails one attempt. */
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { eventually } from '../tools/eventually.ts';
import { leaveOut, noMount } from '../tools/machine.ts';
import { consumeAll } from '../tools/messages.ts';
import { openShop, type Shop, type WorkerProcess, workspacesIn } from '../tools/worker-process.ts';

const presenceOf = async (shop: Shop, { instanceId }: WorkerProcess) =>
  JSON.parse((await shop.fabric.redis.hget(`${shop.fabric.config.prefix}:presence`, instanceId)) ?? '{}');
const ask = async (shop: Shop, worker: WorkerProcess, path: string) => {
  const { port } = await presenceOf(shop, worker);
  const response = await fetch(`http://127.0.0.1:${port}${path}`);
  return { status: response.status, body: (await response.json()) as Record<string, unknown> };
};

test('a worker without room takes nothing and says why, until there is room', async () => {
  const shop = await openShop();
  const full = await shop.start(shop.newHome(), {
    NEXUS_AGENT_COMMAND: 'echo a > a.txt',
    NEXUS_MEMORY_RESERVE: '9000GB',
  });
  await shop.dispatch([{}]);
  await eventually('the fleet is told', async () =>
    /NEXUS_MEMORY_RESERVE/.test((await presenceOf(shop, full)).refuses),
  );
  const ready = await ask(shop, full, '/ready');
  expect(ready).toMatchObject({
    status: 503,
    body: { missing: { admission: expect.stringContaining('MB of memory') } },
  });
  const health = await ask(shop, full, '/health');
  expect(health).toMatchObject({
    status: 200,
    body: { missing: { admission: expect.stringContaining('MB of memory') } },
  });
  expect(full.said().match(/No attempt is taken/g)).toHaveLength(1);
  expect(await shop.finished()).toEqual([]);
  expect(await shop.pending()).toEqual([]);
  const roomy = await shop.start(shop.newHome(), { NEXUS_AGENT_COMMAND: 'echo a > a.txt' });
  const finished = await eventually('it is done by another', async () => (await shop.finished())[0]);
  expect(finished).toMatchObject({ outcome: 'finished', instance_id: roomy.instanceId });
});

test('NEXUS_AGENTS_MAX holds for all workers of a machine together', async () => {
  const shop = await openShop();
  // Each agent notes how many there are, itself included.
  const note = 'cd "$NEXUS_MARK_HOME"; touch here-$NEXUS_SUBTASK; ls here-* | wc -l >> counts';
  const wait = 'while [ ! -e go ]; do sleep 0.1; done; rm here-$NEXUS_SUBTASK';
  const command = `(${note}; ${wait}); echo a > $NEXUS_SUBTASK.txt`;
  const settings = { NEXUS_AGENT_COMMAND: command, NEXUS_AGENTS_MAX: '2', NEXUS_SLOTS: '4' };
  await shop.dispatch(['one', 'two', 'three', 'four'].map((subtask_id) => ({ subtask_id })));
  // Both look for work at the same moment.
  const workers = await Promise.all([1, 2].map(() => shop.start(shop.rig.home, settings)));
  const marks = () => new Set(shop.agents().map(({ mark }) => mark)).size;
  await eventually('two agents work', () => marks() === 2);
  for (const worker of workers) {
    await eventually('it refuses', async () => /NEXUS_AGENTS_MAX is 2/.test((await presenceOf(shop, worker)).refuses));
  }
  expect(marks()).toBe(2);
  // Where both asked at the same moment, what one of them gave back is pending as well, held by nobody.
  const held = (await shop.pending()).filter(({ consumer }) => consumer !== 'nobody');
  expect(held).toHaveLength(2);
  shop.go();
  await eventually('all are done', async () => (await shop.finished()).length === 4);
  const counts = readFileSync(join(shop.rig.home, 'counts'), 'utf8').trim().split('\n').map(Number);
  expect(counts).toHaveLength(4);
  expect(Math.max(...counts)).toBe(2);
});

/** A small disk of its own; null where this user may not mount one. */
const smallDisk = (folder: string): string | null => {
  mkdirSync(folder, { recursive: true });
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=24m', 'tmpfs', folder]).status === 0;
  if (mounted) onTestFinished(() => void spawnSync('umount', ['-l', folder]));
  return mounted ? folder : null;
};
leaveOut('a full disk', noMount);

test.skipIf(noMount !== null)(
  'DISK_FULL: a full disk fails one attempt by that name, and its worker goes on',
  async () => {
    const shop = await openShop();
    const home = smallDisk(join(shop.newHome(), 'disk'));
    if (home === null) throw new Error('there is no small disk');
    // Outside of the clone, so that nobody takes it for work.
    const fill =
      'head -c 100M /dev/zero > "$NEXUS_MARK_HOME/filler"; echo half > half.txt; head -c 300k /dev/zero > more';
    const command = `if [ "$NEXUS_SUBTASK" = one ]; then ${fill}; else echo two > two.txt; fi`;
    const worker = await shop.start(home, {
      NEXUS_AGENT_COMMAND: command,
      NEXUS_DISK_RESERVE: '1MB',
      NEXUS_SLOTS: '1',
    });
    await shop.dispatch([{ subtask_id: 'one' }, { subtask_id: 'two' }]);
    const first = await eventually('the first has failed', async () => (await shop.finished())[0]);
    expect(first).toMatchObject({
      subtask_id: 'one',
      outcome: 'failed',
      code: 'DISK_FULL',
      instance_id: worker.instanceId,
    });
    expect(first.says).toMatch(/0 MB free; at least 1 are needed/);
    await eventually('it takes nothing more', async () =>
      /NEXUS_DISK_RESERVE/.test((await presenceOf(shop, worker)).refuses),
    );
    expect(await shop.finished()).toHaveLength(1);
    expect(workspacesIn(home)).toHaveLength(1);
    rmSync(join(home, 'filler'));
    const second = await eventually('the second is done by the same worker', async () => (await shop.finished())[1]);
    expect(second).toMatchObject({ subtask_id: 'two', outcome: 'finished', instance_id: worker.instanceId });
    expect(worker.child.exitCode).toBeNull();
  },
);

test.skipIf(noMount !== null)('a disk that an agent filled with what can be made again heals by itself', async () => {
  const shop = await openShop();
  const home = smallDisk(join(shop.newHome(), 'disk'));
  if (home === null) throw new Error('there is no small disk');
  const fill = 'echo half > half.txt; mkdir node_modules; head -c 100M /dev/zero > node_modules/filler';
  const command = `if [ "$NEXUS_SUBTASK" = one ]; then ${fill}; else echo two > two.txt; fi`;
  await shop.start(home, { NEXUS_AGENT_COMMAND: command, NEXUS_DISK_RESERVE: '1MB', NEXUS_SLOTS: '1' });
  await shop.dispatch([{ subtask_id: 'one' }, { subtask_id: 'two' }]);
  const [first, second] = await eventually('both have ended', async () => {
    const ended = await shop.finished();
    return ended.length === 2 && ended;
  });
  expect(first).toMatchObject({ subtask_id: 'one', outcome: 'failed', code: 'DISK_FULL' });
  expect(shop.show(first?.wip, 'half.txt')).toBe('half');
  expect(second).toMatchObject({ subtask_id: 'two', outcome: 'finished' });
  expect(workspacesIn(home)).toEqual([]);
});

test.skipIf(noMount !== null).each([
  { ends: 'fails itself', last: 'head -c 300k /dev/zero > more' },
  { ends: 'cannot be saved', last: 'true' },
])('a full disk fails who filled it, and its neighbour that $ends waits for room, uncounted', async ({ last }) => {
  const shop = await openShop();
  const home = smallDisk(join(shop.newHome(), 'disk'));
  if (home === null) throw new Error('there is no small disk');
  // Whoever consumes a stream rings the alarms of what waits.
  consumeAll(await shop.fabric.open('orchestrator'), 'orchestrator');
  const [here, full] = ['here', 'full'].map((name) => join(shop.rig.home, name));
  const until = (file: string | undefined) => `while [ ! -e ${file} ]; do sleep 0.05; done`;
  const fill = `${until(here)}; head -c 100M /dev/zero > filler; touch ${full}`;
  const work = `echo half > half.txt; touch ${here}; ${until(full)}; ${last}`;
  const worker = await shop.start(home, {
    NEXUS_AGENT_COMMAND: `if [ "$NEXUS_SUBTASK" = one ]; then ${fill}; else ${work}; fi`,
    NEXUS_DISK_RESERVE: '1MB',
    NEXUS_SLOTS: '2',
  });
  await shop.dispatch([{ subtask_id: 'one' }, { subtask_id: 'two' }]);
  await eventually('the neighbour waits', async () =>
    /DISK_FULL/.test((await shop.attempt('two')).checkpoint?.waits ?? ''),
  );
  await eventually('the other one has failed', async () => (await shop.finished()).length === 1);
  await eventually('it takes nothing more', async () =>
    /NEXUS_DISK_RESERVE/.test((await presenceOf(shop, worker)).refuses),
  );
  for (const folder of workspacesIn(home)) rmSync(join(folder, 'filler'), { force: true });
  const [first, second] = await eventually('both have ended', async () => {
    const ended = await shop.finished();
    return ended.length === 2 && ended;
  });
  expect(first).toMatchObject({ subtask_id: 'one', outcome: 'failed', code: 'DISK_FULL' });
  expect(second).toMatchObject({ subtask_id: 'two', outcome: 'finished', attempt: 1 });
  expect(second?.files).toContain('half.txt');
});

test('orphans of an earlier life are ended at start, by mark, and no other process of the machine', async () => {
  const shop = await openShop();
  const { prefix } = shop.fabric.config;
  const token = 'worker-agent-host-1a2b3c4d.1700000000000-0.1';
  const agent = (home: string, markPrefix: string) => {
    const env = {
      PATH: process.env.PATH,
      NEXUS_MARK: `${markPrefix}.a-task.storage.1.${token}`,
      NEXUS_MARK_HOME: home,
    };
    const child = spawn('sleep', ['60'], { stdio: 'ignore', env });
    onTestFinished(() => void child.kill('SIGKILL'));
    return child;
  };
  const orphan = agent(shop.rig.home, prefix);
  const others = [agent(`${shop.rig.home}-2`, prefix), agent(shop.rig.home, '{other}')];
  const worker = await shop.start(shop.rig.home);
  await eventually('the orphan is ended', () => orphan.signalCode !== null);
  await eventually('it is said', () => worker.said().includes('agents of an earlier life were ended'));
  expect(others.map(({ exitCode, signalCode }) => [exitCode, signalCode])).toEqual(Array(2).fill([null, null]));
});
