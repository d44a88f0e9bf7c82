/** A fleet for a benchmark: on the benchmark's own Redis, with a fabric and a home of its own, gone afterwards. */
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Client, openClient, type TaskDetail } from '@nexus/shared/client';
import { type Fleet, launchFleet, waitForWorkers } from '../../services/cli/fleet.ts';
import { hasEnded } from '../../services/cli/follow.ts';
import type { Server } from './server.ts';

export type BenchFleet = {
  fleet: Fleet;
  client: Client;
  /** A folder for what agents tell, gone with the fleet. */
  folder: string;
  home: string;
  prefix: string;
  /** From the first spawn until every service said that it is ready. */
  readyMs: number;
  /** Starts one more worker in a home of its own, with other settings; its process is `state.processes[0]`. */
  join(home: string, settings: Settings): Promise<Fleet>;
  /** Ends it; returns how long that took, in ms. */
  stop(): Promise<number>;
};

/** Environment variables. */
export type Settings = Readonly<Record<string, string>>;

/** `settings` may ask for the folder of the fleet. */
export const openFleet = async (
  { url }: Server,
  workers = 1,
  settings: (folder: string) => Settings = () => ({}),
): Promise<BenchFleet> => {
  const name = `bench-${randomBytes(3).toString('hex')}`;
  const folder = mkdtempSync(join(tmpdir(), 'nexus-bench-fleet-'));
  const token = randomBytes(24).toString('base64url');
  const environment = {
    REDIS_URL: url,
    REDIS_PASSWORD: '',
    NEXUS_TOKEN: token,
    NEXUS_REHEARSAL: 'on',
    // Its agents leave word outside of their clones.
    NEXUS_SANDBOX: 'off',
    NEXUS_CONTROL_CHANNEL: `control-${name}`,
    ...settings(folder),
  };
  const [home, prefix] = [join(folder, 'home'), `{${name}}`];
  const launch = { prefix, port: 0, attached: true };
  const began = performance.now();
  const fleet = await launchFleet({ ...launch, home, workers, environment });
  const readyMs = performance.now() - began;
  fleet.onDeath((ended) => process.stderr.write(`${ended.name} ended:\n${ended.lines.join('\n')}\n`));
  const joined: Fleet[] = [];
  const opened: BenchFleet = {
    fleet,
    client: openClient({ url: fleet.state.url, token }),
    ...{ folder, home, prefix, readyMs },
    join: async (at, more) => {
      const own = { home: at, workers: 1, only: ['worker-agent'] };
      joined.push(await launchFleet({ ...launch, ...own, environment: { ...environment, ...more } }));
      return joined.at(-1) as Fleet;
    },
    stop: async () => {
      running.delete(opened);
      const stopping = performance.now();
      const killed = (await Promise.all([fleet, ...joined].map((one) => one.stop()))).flat();
      const took = performance.now() - stopping;
      rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
      if (killed.length > 0) throw new Error(`these did not drain and were killed: ${killed.join(', ')}`);
      return took;
    },
  };
  running.add(opened);
  return opened;
};

const running = new Set<BenchFleet>();
/** Ends what still runs: a benchmark that is interrupted leaves nothing behind. */
export const endFleets = async (): Promise<void> => {
  await Promise.allSettled([...running].map((one) => one.stop()));
};

/** Opens a fleet, waits until its workers have told what they can run, uses it, and ends it whatever happens. */
export const withFleet = async <T>(
  server: Server,
  workers: number,
  use: (fleet: BenchFleet) => Promise<T>,
  settings?: (folder: string) => Settings,
): Promise<T> => {
  const opened = await openFleet(server, workers, settings);
  try {
    await waitForWorkers(opened.client);
    return await use(opened);
  } finally {
    await opened.stop();
  }
};

const patienceMs = 600_000;

/** Waits until a task has ended; throws if it did not end well, or not within ten minutes. */
export const completed = async (client: Client, taskId: string, everyMs = 500): Promise<TaskDetail> => {
  for (const began = performance.now(); ; ) {
    const task = await client.task(taskId);
    if (performance.now() - began > patienceMs) throw new Error(`${taskId} does not end: ${task.current_phase}`);
    if (hasEnded(task)) {
      if (task.status === 'completed') return task;
      throw new Error(`${taskId} is ${task.status}: ${task.reason}`);
    }
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
};
