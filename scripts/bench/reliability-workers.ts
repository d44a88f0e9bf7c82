/** A worker is killed: how soon its work runs again, and how much of it is lost. */
import { existsSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Supervised } from '../../test/chaos/supervisor.ts';
import { figure, quantile, shown } from './figures.ts';
import { type MeasuredFleet, type ReliabilityPart, until, withRealFleet } from './reliability-part.ts';

/** Kills the worker of a running agent; the agent says when it runs again, by the clock on the wall. */
export const killed: ReliabilityPart = async (bench) => {
  const rounds = bench.full ? 30 : 3;
  const seconds: number[] = [];
  await withRealFleet(bench, { counts: { 'worker-agent': 3 }, settings: { NEXUS_SLOTS: '2' } }, async (fleet) => {
    const agent = `cat > /dev/null; echo "began $(date +%s%3N)" >> ${fleet.told}; exec sleep 600`;
    for (let round = 1; round <= rounds; round += 1) {
      const before = fleet.lines().length;
      const { task_id } = await fleet.client.submit({
        request: `Round ${round}`,
        roles: ['builder'],
        agent_command: agent,
      });
      await until('the agent runs', () => fleet.lines().length > before, bench);
      const worker = await holderOf(fleet, task_id, bench.signal);
      const at = Date.now();
      worker.signal('SIGKILL');
      const line = await until('it runs again', () => fleet.lines()[before + 1], bench);
      seconds.push((Number(line[1]) - at) / 1000);
      bench.say(`killed, round ${round} of ${rounds}: its work runs again after ${shown(seconds.at(-1) ?? 0, 's')}`);
      await fleet.client.cancel(task_id);
    }
  });
  return {
    figures: [
      figure('killed worker, its work runs again, p50', 's', [quantile(seconds, 0.5)], { atMost: 3 }),
      figure('killed worker, its work runs again, p99', 's', [quantile(seconds, 0.99)], { atMost: 5 }),
    ],
    where: [`${rounds} workers killed, ${shown(Math.min(...seconds), 's')} … ${shown(Math.max(...seconds), 's')}`],
    data: { seconds },
  };
};

/** The process that runs the task's agent, as it tells itself. */
const holderOf = (fleet: MeasuredFleet, task: string, signal: AbortSignal): Promise<Supervised> =>
  until(
    'a worker tells that it runs the task',
    async () => {
      const told = Object.values(await fleet.server.redis.hgetall(`${fleet.prefix}:presence`));
      const holder = told.map((text) => JSON.parse(text)).find((one) => one.running.some(ofTask(task)));
      return fleet.supervisor.all.find((one) => holder !== undefined && one.pid() === holder.pid);
    },
    { signal },
  );

const ofTask =
  (task: string) =>
  ({ task_id }: { task_id: string }): boolean =>
    task_id === task;

const intervalMs = 3000;

/**
 * An agent writes a line every tenth of a second; its worker is killed, and the agent that comes next tells the last
 * line that it finds. Once where the disk survives, and once where it is gone with the machine.
 */
export const lost: ReliabilityPart = async (bench) => {
  const rounds = bench.full ? 10 : 2;
  const [disk, machine]: [number[], number[]] = [[], []];
  const settings = { NEXUS_CHECKPOINT_INTERVAL: `${intervalMs}ms` };
  await withRealFleet(bench, { counts: { 'worker-agent': 2 }, settings }, async (fleet) => {
    for (let round = 1; round <= rounds; round += 1) {
      for (const [name, found] of [
        ['disk', disk],
        ['machine', machine],
      ] as const) {
        found.push(await loseWork(fleet, bench.signal, name === 'machine', 2 * intervalMs + 700 * round));
        bench.say(`lost, round ${round} of ${rounds}: ${name} ${shown(found.at(-1) ?? 0, 's')}`);
      }
    }
  });
  const most = (intervalMs + 1000) / 1000;
  return {
    figures: [
      figure('work lost by kill -9, the disk survives', 's', [Math.max(...disk)], { atMost: 0.5 }),
      figure(
        `work lost by kill -9 with its disk, checkpoints every ${intervalMs / 1000} s`,
        's',
        [Math.max(...machine)],
        {
          atMost: most,
        },
      ),
    ],
    where: [`the most of ${rounds} rounds each; a line every 0.1 s`],
    data: { disk, machine },
  };
};

const loseWork = async (
  fleet: MeasuredFleet,
  signal: AbortSignal,
  machineToo: boolean,
  afterMs: number,
): Promise<number> => {
  const before = fleet.lines().length;
  const last = '$(tail -n 1 work.txt 2>/dev/null || echo 0)';
  const write = 'while :; do date +%s%3N >> work.txt; sleep 0.1; done';
  const agent_command = `cat > /dev/null; echo "began ${last}" >> ${fleet.told}; ${write}`;
  const { task_id } = await fleet.client.submit({ request: 'Write', roles: ['builder'], agent_command });
  await until('the agent runs', () => fleet.lines().length > before, { signal });
  await sleep(afterMs, undefined, { signal });
  const worker = await holderOf(fleet, task_id, signal);
  const at = Date.now();
  worker.signal('SIGKILL');
  const work = join(fleet.home, 'workspaces', task_id);
  if (machineToo && existsSync(work)) renameSync(work, join(fleet.folder, `gone-${task_id}`));
  const [, found = '0'] = await until('it runs again', () => fleet.lines()[before + 1], { signal });
  await fleet.client.cancel(task_id);
  return (at - Number(found)) / 1000;
};
