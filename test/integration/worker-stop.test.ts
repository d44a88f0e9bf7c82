/** Stop as a worker sees it, with real processes: every agent's whole tree dies, its work is saved, and it goes on. */
import { expect, test } from 'vitest';
import { eventually } from '../tools/eventually.ts';
import { listProcesses } from '../tools/machine.ts';
import { openShop, type Shop, workspacesIn } from '../tools/worker-process.ts';

/** Others sleep on this machine, too: these numbers are nobody else's. */
const nap = (number: number): number => 10_000_000 + process.pid * 100 + number;

const subtasks = ['one', 'two', 'three'];

/** Agents that do not want to end, each in its own way. */
const stubborn: Record<string, string> = {
  'ignores TERM': `trap "" TERM; sleep ${nap(1)} & while :; do sleep 0.1; done`,
  'left its session': `setsid sleep ${nap(2)} &
    setsid sh -c "trap \\"\\" TERM; sleep ${nap(3)}; sleep ${nap(3)}" & sleep ${nap(4)}`,
  'lost its parent': `setsid -f setsid -f sleep ${nap(5)}; (setsid sleep ${nap(6)} &) ; sleep ${nap(7)}`,
  'emptied its environment': `env -i setsid -f /bin/sleep ${nap(8)};
    env -i setsid -f /bin/sh -c "trap \\"\\" TERM; /bin/sleep ${nap(9)}; /bin/sleep ${nap(9)}"; sleep ${nap(10)}`,
};
const ours = new RegExp(`\\bsleep ${Math.floor(nap(0) / 100)}\\d\\d$`);
const sleepers = (): string[] =>
  listProcesses()
    .filter(({ state, args }) => state !== 'Z' && ours.test(args))
    .map(({ args }) => args);

/** All that an agent starts sleeps, in three agents: what begins with the command is a shell that may be on its way. */
const allSleep = (command: string): boolean => {
  const asleep = sleepers().filter((args) => /^(?:\/bin\/)?sleep \d+$/.test(args));
  const naps = new Set(command.match(/\d{8,}/g));
  return [...naps].every((one) => asleep.filter((args) => args.endsWith(` ${one}`)).length === subtasks.length);
};

const settings = (command: string) => ({
  NEXUS_AGENT_COMMAND: `if [ -e half.txt ]; then echo whole > whole.txt; exit 0; fi; echo half > half.txt; ${command}`,
  NEXUS_RUNTIME: 'command',
  NEXUS_SLOTS: '3',
});

const confirmed = async (shop: Shop, instance: string): Promise<number> => {
  const text = await shop.fabric.redis.hget(`${shop.fabric.config.prefix}:presence`, instance);
  return JSON.parse(text ?? '{}').confirmed_epoch;
};

test.each(Object.entries(stubborn))(
  'rules 17, 20, 21: STOP ends the whole tree of an agent that %s, and saves its work',
  async (_, command) => {
    const shop = await openShop();
    const worker = await shop.start(shop.rig.home, settings(command));
    await shop.dispatch(subtasks.map((subtask_id) => ({ subtask_id })));
    await eventually('all agents are well under way', () => allSleep(command));
    const began = performance.now();
    const { epoch } = await shop.bus.control.command('STOP_ALL', null, 'test');
    await eventually('all of them are dead', () => sleepers().length === 0 && shop.agents().length === 0);
    const deadMs = performance.now() - began;
    await eventually('the worker has confirmed it', async () => (await confirmed(shop, worker.instanceId)) === epoch);
    const confirmedMs = performance.now() - began;
    // A busy machine is slow; what `bench:reliability` measures is tighter.
    expect(deadMs).toBeLessThan(10_000);
    expect(confirmedMs).toBeLessThan(12_000);
    await eventually('all work is saved', async () =>
      (await shop.pending()).every(({ consumer }) => consumer === 'nobody'),
    );
    expect(performance.now() - began).toBeLessThan(15_000);
    for (const subtask of subtasks) {
      const { checkpoint } = await shop.attempt(subtask);
      expect(shop.show(checkpoint?.commit, 'half.txt')).toBe('half');
    }
    expect(await shop.pending()).toEqual(Array(3).fill({ consumer: 'nobody', deliveries: 1 }));
    expect(workspacesIn(shop.rig.home)).toEqual([]);
  },
  60_000,
);

test('rule 17: RESUME_ALL goes on from the checkpoints', async () => {
  const shop = await openShop();
  const often = { ...settings('sleep 300'), NEXUS_CHECKPOINT_INTERVAL: '200ms' };
  await shop.start(shop.rig.home, often);
  await shop.dispatch([{ subtask_id: 'one' }]);
  await eventually('the agent has used a part of its box', async () => {
    const { checkpoint } = await shop.attempt('one');
    return (checkpoint?.spent_ms ?? 0) > 1000;
  });
  await shop.bus.control.command('STOP_ALL', null, 'test');
  const { checkpoint } = await eventually('its work is saved', async () => {
    const found = await shop.attempt('one');
    return found.checkpoint && (await shop.pending())[0]?.consumer === 'nobody' && found;
  });
  expect(checkpoint?.spent_ms).toBeGreaterThan(1000);
  await shop.bus.control.command('RESUME_ALL', null, 'test');
  const finished = await eventually('it ends', async () => (await shop.finished())[0]);
  expect(finished).toMatchObject({ outcome: 'finished', attempt: 1, files: ['half.txt', 'whole.txt'] });
});

test('rule 22: a time box is that of the attempt: what was used before a stop counts, the stop does not', async () => {
  const shop = await openShop();
  const command = 'while :; do sleep 0.1; done';
  await shop.start(shop.rig.home, {
    NEXUS_AGENT_COMMAND: command,
    NEXUS_RUNTIME: 'command',
    NEXUS_CHECKPOINT_INTERVAL: '200ms',
  });
  await shop.dispatch([{ subtask_id: 'one', time_box_minutes: 6 / 60 }]);
  await eventually('half of it is used', async () => /50 % of the time box/.test(await shop.journal()));
  await shop.bus.control.command('STOP_ALL', null, 'test');
  const given = await eventually(
    'it is given back',
    async () => (await shop.pending())[0]?.consumer === 'nobody' && shop.attempt('one'),
  );
  const spentMs = given.checkpoint?.spent_ms ?? 0;
  expect(spentMs).toBeGreaterThanOrEqual(3000);
  // Longer than what is left of the box: counted, it would be used up at once.
  await new Promise((resolve) => setTimeout(resolve, 3500));
  await shop.bus.control.command('RESUME_ALL', null, 'test');
  const resumedAt = performance.now();
  const finished = await eventually('it ends', async () => (await shop.finished())[0]);
  expect(finished).toMatchObject({ outcome: 'timed_out', code: 'AGENT_TIMED_OUT' });
  const ranMs = performance.now() - resumedAt;
  expect(ranMs).toBeGreaterThan(6000 - spentMs - 300);
  expect(ranMs).toBeLessThan(6000);
  const told = [...(await shop.journal()).matchAll(/(\d+) % of the time box/g)].map(([, percent]) => percent);
  expect(told).toEqual(['50', '80', '100']);
}, 60_000);

test('SIGTERM saves what agents have and gives it back, before the worker ends', async () => {
  const shop = await openShop();
  const worker = await shop.start(shop.rig.home, settings('sleep 300'));
  await shop.dispatch([{ subtask_id: 'one' }]);
  await eventually('the agent works', () => shop.agents().length > 1);
  worker.child.kill('SIGTERM');
  await eventually('the worker has ended', () => worker.child.exitCode === 0);
  expect(shop.agents()).toEqual([]);
  const { checkpoint } = await shop.attempt('one');
  expect(shop.show(checkpoint?.commit, 'half.txt')).toBe('half');
  expect(await shop.pending()).toEqual([{ consumer: 'nobody', deliveries: 1 }]);
});

test('rules 17, 21: a worker that is killed while it ends its agents leaves none behind', async () => {
  const shop = await openShop();
  const rest = `sh -c 'trap "" TERM; while :; do sleep 0.1; done; sleep ${nap(11)}' & exec sleep ${nap(12)}`;
  const worker = await shop.start(shop.rig.home, settings(rest));
  await shop.dispatch([{ subtask_id: 'one' }]);
  await eventually('the agent works', () => sleepers().includes(`sleep ${nap(12)}`));
  await shop.bus.control.command('STOP_ALL', null, 'test');
  await eventually('its first process has ended', () => !sleepers().includes(`sleep ${nap(12)}`));
  worker.child.kill('SIGKILL');
  await eventually('nothing of it is left', () => shop.agents().length === 0);
  expect((await shop.bus.control.read()).state).toBe('stopped');
}, 60_000);

test.each([
  ['the next worker that starts', 'off'],
  ['a worker that lives', 'on'],
])('rule 21: under STOP what a dead worker and its dead leash left is ended by %s', async (_, other) => {
  const shop = await openShop();
  const often = { ...settings(`exec sleep ${nap(13)}`), NEXUS_ORPHANS_EVERY: '200ms' };
  const dead = await shop.start(shop.rig.home, often);
  await shop.dispatch([{ subtask_id: 'one' }]);
  const agent = await eventually('the agent works', () =>
    listProcesses().find(({ args }) => args === `sleep ${nap(13)}`),
  );
  if (other === 'on') await shop.start(shop.rig.home, often);
  const leash = await eventually('its leash is there', () =>
    listProcesses().find(({ args }) => args.includes('leash.mjs') && args.includes(`.${dead.instanceId}.`)),
  );
  for (const pid of [dead.child.pid, leash.pid]) process.kill(pid ?? 0, 'SIGSTOP');
  await shop.bus.control.command('STOP_ALL', null, 'test');
  for (const pid of [leash.pid, dead.child.pid]) process.kill(pid ?? 0, 'SIGKILL');
  expect(listProcesses().some(({ pid }) => pid === agent.pid)).toBe(true);
  if (other === 'off') await shop.start(shop.rig.home, often);
  await eventually('nothing of it is left', () => shop.agents().length === 0);
  expect((await shop.bus.control.read()).state).toBe('stopped');
});
