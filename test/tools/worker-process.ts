/**
 * Real worker processes on a real Redis: what tests of takeover and stop stand on. The test is the project manager:
 * it writes task and board, dispatches, and reads what workers tell.
 */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Bus, prioritiesInOrder } from '@nexus/shared/bus';
import { catalog as kinds, type PayloadOf } from '@nexus/shared/messages';
import { endMarked, listMarked } from '@nexus/shared/process';
import { onTestFinished } from 'vitest';
import type { Order } from '../../services/worker-agent/attempt.ts';
import { eventually } from './eventually.ts';
import { type TestFabric, testFabric } from './redis.ts';
import { spawnService } from './service-process.ts';
import { openRig, type Rig, taskId } from './worker.ts';

export type WorkerProcess = { child: ChildProcess; home: string; instanceId: string; said(): string };
export type Shop = Awaited<ReturnType<typeof openShop>>;

/** A task with a hub on a volume that all workers see, in a fabric of the test's own. */
export const openShop = async (files?: Record<string, string>) => {
  const fabric = testFabric();
  const rig = await openRig(files);
  const bus = await fabric.open('gateway');
  const { prefix } = fabric.config;
  const folders: string[] = [];
  onTestFinished(async () => {
    for (const mark of new Set(marksOf(prefix).map(({ mark }) => mark))) await endMarked(mark, { graceMs: 0 });
    for (const folder of [rig.home, ...folders]) rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  });
  return {
    fabric,
    rig,
    bus,
    /** A machine of its own: another folder for clones. */
    newHome: (): string => {
      const folder = mkdtempSync(join(tmpdir(), 'nexus-host-'));
      folders.push(folder);
      return folder;
    },
    start: (home: string, env: Record<string, string> = {}) => startWorker({ fabric, rig, home, env }),
    /** Writes task and board for these orders, and dispatches each. */
    dispatch: (orders: Partial<Order>[]) => dispatch({ fabric, rig, bus }, orders),
    send: (order: Order) => send(bus, order),
    finished: () => readFinished(fabric),
    /** The document of the attempts at a subtask, its parts parsed. */
    attempt: async (subtask: string): Promise<Record<string, unknown> & { checkpoint?: CheckpointSeen }> => {
      const fields = await fabric.redis.hgetall(`${prefix}:attempt:${taskId}:${subtask}`);
      return Object.fromEntries(Object.entries(fields).map(([name, text]) => [name, JSON.parse(text)]));
    },
    /** Lets agents go on that wait for the file `go` in the home of the test. */
    go: () => writeFileSync(join(rig.home, 'go'), ''),
    /** Processes of agents of this fabric. */
    agents: () => marksOf(prefix),
    /** What stands in the work of an attempt that somebody saved. */
    show: (commit: string | null | undefined, path: string): string => rig.git('show', `${commit}:${path}`),
    pending: () => readPending(fabric),
    journal: () => readJournal(fabric),
  };
};

export type CheckpointSeen = {
  commit: string | null;
  token: string;
  step: string;
  spent_ms: number;
  session: string | null;
  at: string;
  waits?: string;
};

const marksOf = (prefix: string) => listMarked().filter(({ mark }) => mark.startsWith(`${prefix}.`));

const startWorker = async (options: {
  fabric: TestFabric;
  rig: Rig;
  home: string;
  env: Record<string, string>;
}): Promise<WorkerProcess> => {
  const { fabric, rig, home, env } = options;
  const { child, said } = spawnService('worker-agent', fabric, {
    NEXUS_HOME: home,
    NEXUS_HUBS: join(rig.home, 'hubs'),
    NEXUS_DISK_RESERVE: '0',
    NEXUS_DRAIN_GRACE: '0',
    ...env,
  });
  const ended = once(child, 'exit');
  onTestFinished(async () => {
    child.kill('SIGCONT');
    child.kill('SIGKILL');
    await ended;
  });
  const instanceId = await eventually('the worker serves', () => {
    if (child.exitCode !== null) throw new Error(said());
    return /"instance_id":"([^"]+)"[^\n]*worker-agent serves/.exec(said())?.[1];
  });
  return { child, home, instanceId, said };
};

const dispatch = async (
  { fabric, rig, bus }: { fabric: TestFabric; rig: Rig; bus: Bus },
  changes: Partial<Order>[],
): Promise<Order[]> => {
  const orders = changes.map((change) => rig.order(change));
  rig.setBoard(...orders);
  for (const [key, fields] of rig.ledger) {
    await fabric.redis.hset(key.replace('{test}', fabric.config.prefix), fields);
  }
  for (const order of orders) await send(bus, order);
  return orders;
};

const send = (bus: Bus, order: Order) =>
  bus.publish({ type: 'subtask.dispatched', payload: order, thread: taskId, actor: 'test' });

/** What workers told of attempts that ended, in order. */
const readFinished = async ({ redis, config }: TestFabric): Promise<PayloadOf<'attempt.finished'>[]> => {
  const found: PayloadOf<'attempt.finished'>[] = [];
  for (const priority of prioritiesInOrder) {
    const rows = await redis.xrange(inboxOf(config.prefix, 'project-manager', priority), '-', '+');
    for (const [, fields] of rows) {
      const envelope = JSON.parse(fields[1] ?? '{}');
      if (envelope.type === 'attempt.finished') found.push(kinds['attempt.finished'].payload.parse(envelope.payload));
    }
  }
  return found;
};

/** Deliveries to workers that are not settled: whose, and how often delivered. */
const readPending = async ({ redis, config }: TestFabric): Promise<{ consumer: string; deliveries: number }[]> => {
  const found: { consumer: string; deliveries: number }[] = [];
  for (const priority of prioritiesInOrder) {
    const inbox = inboxOf(config.prefix, 'worker-agent', priority);
    const rows = (await redis.xpending(inbox, 'worker-agent', '-', '+', 100).catch(() => [])) as [
      string,
      string,
      number,
      number,
    ][];
    found.push(...rows.map(([, consumer, , deliveries]) => ({ consumer, deliveries })));
  }
  return found;
};

const readJournal = async ({ redis, config }: TestFabric): Promise<string> =>
  JSON.stringify(await redis.xrange(`${config.prefix}:journal`, '-', '+'));

const inboxOf = (prefix: string, service: string, priority: string): string => `${prefix}:inbox:${service}:${priority}`;

/** The workspaces of a home, one path each. */
export const workspacesIn = (home: string): string[] => {
  try {
    const folder = join(home, 'workspaces', taskId);
    return readdirSync(folder).map((name) => join(folder, name));
  } catch {
    return [];
  }
};
