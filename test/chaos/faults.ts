/**
 * Makes the faults of a plan happen to a fleet: two lanes side by side, every fault told with its time, and `heal`,
 * after which nothing is paused, full, down or stopped.
 */
import { execFile } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { Client } from '@nexus/shared/client';
import { markedProcesses, originOf } from './check-machine.ts';
import type { SmallDisk } from './disk.ts';
import { type Fault, type FaultKind, faultKinds, kills, type PlanOptions, troubles } from './fault-plan.ts';
import type { RedisServer } from './redis-server.ts';
import type { Supervised } from './supervisor.ts';

export type Ground = {
  services: readonly Supervised[];
  server: RedisServer;
  disk: SmallDisk;
  client: Client;
  prefix: string;
  channel: string;
  /** Told for every fault, with what it met. */
  tell(line: string): void;
};

export type Faults = {
  counts: Record<FaultKind, number>;
  /** What a stop left running. */
  violations: string[];
  /** Until the signal aborts. */
  run(signal: AbortSignal): Promise<void>;
  heal(): Promise<void>;
};

/** How long agents may live on after STOP_ALL on a machine that is busy with everything else. */
const stopMsMax = 10_000;

export const openFaults = (ground: Ground, plan: PlanOptions): Faults => {
  const counts = Object.fromEntries(faultKinds.map((kind) => [kind, 0])) as Record<FaultKind, number>;
  const violations: string[] = [];
  /** Faults that last while others go on. */
  const lasting = new Set<Promise<void>>();
  const lane = async (faults: Generator<Fault, void>, signal: AbortSignal): Promise<void> => {
    for (const fault of faults) {
      await sleep(fault.afterMs, undefined, { signal }).catch(() => undefined);
      if (signal.aborted) return;
      const done = await inject(fault, signal);
      if (done) counts[fault.kind] += 1;
    }
  };
  const last = (work: Promise<void>): void => {
    lasting.add(work);
    void work.finally(() => lasting.delete(work));
  };
  const inject = async (fault: Fault, signal: AbortSignal): Promise<boolean> => {
    switch (fault.kind) {
      case 'kill':
        return kill(ground, fault.share);
      case 'pause':
        return pause(ground, fault, signal, last);
      case 'redis':
        ground.tell(`redis   ${fault.how}, and again after ${fault.downMs} ms`);
        await ground.server.restart(fault.how, fault.downMs);
        return true;
      case 'cut':
        return cut(ground, fault);
      case 'disk':
        return fillDisk(ground, fault.forMs, signal, last);
      case 'stop':
        return stopAndResume(ground, fault, signal, violations);
    }
  };
  return {
    counts,
    violations,
    run: async (signal) => {
      await Promise.all([lane(kills(plan), signal), lane(troubles(plan), signal)]);
    },
    heal: async () => {
      await Promise.all(lasting);
      ground.disk.empty();
      for (const one of ground.services) one.signal('SIGCONT');
      if (counts.stop > 0) await command(ground, 'RESUME_ALL', 'word');
    },
  };
};

const of = <T>(values: readonly T[], share: number): T | undefined => values[Math.floor(share * values.length)];

const kill = ({ services, tell }: Ground, share: number): boolean => {
  const one = of(
    services.filter((service) => service.pid() !== 0),
    share,
  );
  if (!one) return false;
  tell(`kill    ${one.name}${one.isPaused() ? ', while it was paused' : ''}`);
  one.signal('SIGKILL');
  return true;
};

const pause = (
  { services, tell }: Ground,
  { share, forMs }: { share: number; forMs: number },
  signal: AbortSignal,
  last: (work: Promise<void>) => void,
): boolean => {
  const one = of(
    services.filter((service) => service.pid() !== 0 && !service.isPaused()),
    share,
  );
  if (!one) return false;
  const pid = one.pid();
  tell(`pause   ${one.name} for ${forMs} ms`);
  one.signal('SIGSTOP');
  const goOn = async (): Promise<void> => {
    await sleep(forMs, undefined, { signal }).catch(() => undefined);
    if (one.pid() !== pid) return;
    tell(`pause   ${one.name} goes on`);
    one.signal('SIGCONT');
  };
  last(goOn());
  return true;
};

const cut = async ({ server, tell }: Ground, { share, all }: { share: number; all: boolean }): Promise<boolean> => {
  const list = (await server.redis.client('LIST')) as string;
  const rows = list.split('\n').flatMap((line) => {
    const [, id = '', name = ''] = /id=(\d+) .*? name=(\S*)/.exec(line) ?? [];
    return name === '' || name === 'chaos' ? [] : [{ id, name }];
  });
  const names = [...new Set(rows.map(({ name }) => name))].sort();
  const chosen = of(names, share);
  if (chosen === undefined) return false;
  const cutOff = rows.filter(({ name }) => all || name === chosen);
  tell(`cut     ${all ? 'every connection' : `the connections of ${chosen}`} (${cutOff.length})`);
  for (const { id } of cutOff) await server.redis.client('KILL', 'ID', id);
  return true;
};

/** What every worker keeps free of its small disk. */
export const diskReserve = '4MB';

/** Where no small disk can be mounted, one worker is told that its disk may not be used. */
const fillDisk = async (
  { disk, services, tell }: Ground,
  forMs: number,
  signal: AbortSignal,
  last: (work: Promise<void>) => void,
): Promise<boolean> => {
  const pausing = sleep(forMs, undefined, { signal }).catch(() => undefined);
  if (disk.fill()) {
    tell(`disk    full for ${forMs} ms`);
    last(pausing.then(() => disk.empty()));
    return true;
  }
  const worker = services.find(({ service, pid }) => service === 'worker-agent' && pid() !== 0);
  if (!worker) return false;
  tell(`disk    ${worker.name} may use nothing of it for ${forMs} ms`);
  worker.env.NEXUS_DISK_RESERVE = '9000000MB';
  worker.signal('SIGTERM');
  const back = async (): Promise<void> => {
    await pausing;
    worker.env.NEXUS_DISK_RESERVE = diskReserve;
    worker.signal('SIGTERM');
  };
  last(back());
  return true;
};

const stopAndResume = async (
  ground: Ground,
  fault: Extract<Fault, { kind: 'stop' }>,
  signal: AbortSignal,
  violations: string[],
): Promise<boolean> => {
  ground.tell(`stop    STOP_ALL by ${fault.by}`);
  await command(ground, 'STOP_ALL', fault.by);
  const began = Date.now();
  let left = markedProcesses(ground.prefix);
  while (left.length > 0 && Date.now() - began < stopMsMax) {
    await sleep(50);
    left = markedProcesses(ground.prefix);
  }
  const excused = ground.services.some((one) => one.isPaused());
  ground.tell(
    `stop    ${left.length === 0 ? `no agent lives after ${Date.now() - began} ms` : `${left.length} live on`}`,
  );
  if (left.length > 0 && !excused) {
    violations.push(`STOP_ALL left ${left.length} processes alive for ${stopMsMax} ms: ${left[0]?.command}`);
  }
  await sleep(fault.forMs, undefined, { signal }).catch(() => undefined);
  const begun = markedProcesses(ground.prefix);
  if (left.length === 0 && begun.length > 0) {
    const since = ((Date.now() - began) / 1000).toFixed(2);
    violations.push(`began under STOP_ALL, which was said ${since} s ago: ${begun.map(originOf).join(' | ')}`);
  }
  ground.tell(`stop    RESUME_ALL by ${fault.resumeBy}`);
  await command(ground, 'RESUME_ALL', fault.resumeBy);
  return true;
};

/** Says the word until it is the state: a bare word that nobody heard is said again, as a person would. */
const command = async (ground: Ground, word: 'STOP_ALL' | 'RESUME_ALL', by: 'word' | 'rest'): Promise<void> => {
  const wanted = word === 'STOP_ALL' ? 'stopped' : 'running';
  const { client, server, channel, prefix } = ground;
  for (;;) {
    if (by === 'rest') await client.command(word).catch(() => undefined);
    else
      await promisify(execFile)('redis-cli', ['-p', String(server.port), 'PUBLISH', channel, word]).catch(() => null);
    for (let looks = 0; looks < 10; looks += 1) {
      if ((await server.redis.hget(`${prefix}:control`, 'state')) === wanted) return;
      await sleep(100);
    }
  }
};
