/**
 * A hundred workers that get hardly any time, but live: none of them may be taken for dead. Each holds a message; what
 * is taken from it is delivered a second time, and counted.
 */
import { type ChildProcess, fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { cpus, setPriority, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Redis } from 'ioredis';
import { openRedisServer } from '../../test/chaos/redis-server.ts';
import { figure } from './figures.ts';
import { windowed } from './pace.ts';
import { openProduct } from './product.ts';
import { type ReliabilityPart, until } from './reliability-part.ts';
import type { ConsumerOptions } from './reliability-role.ts';

const prefix = '{bench}';
const inbox = `${prefix}:inbox:finalizer:NORMAL`;
/** Longer than a beat may be late, shorter than a paused process keeps what it holds. */
const pulseMs = 5000;

export const starved: ReliabilityPart = async (bench) => {
  const [workers, seconds] = bench.full ? [100, 60] : [10, 20];
  const folder = mkdtempSync(join(tmpdir(), 'nexus-reliability-'));
  const server = await openRedisServer(folder);
  const children: ChildProcess[] = [];
  try {
    const given: ConsumerOptions = {
      ...{ redisUrl: server.url, prefix, service: 'finalizer', mode: 'take' },
      ...{ slots: 1, workMs: 3_600_000 },
    };
    await openWorkers(workers, given, children);
    const bus = await openProduct(given, 'gateway', true);
    const draft = (n: number) => ({ payload: { task_id: `task-${n}` }, thread: `task-${n}`, actor: 'bench' });
    await windowed(workers, 64, (n) => bus.publish({ type: 'hub.discarded' as const, ...draft(n) }));
    await until('every worker holds one', async () => (await heldBy(server.redis)).length === workers, bench);
    const before = new Map((await heldBy(server.redis)).map(({ id, owner }) => [id, owner]));
    bench.say(`starved: ${workers} workers hold a message each; ${seconds} s of hardly any time`);
    const late = await starve(server.redis, children.slice(0, workers), children, seconds, bench.signal);
    const taken = (await heldBy(server.redis)).filter(({ id, owner }) => before.get(id) !== owner).length;
    await bus.close();
    return {
      figures: [figure(`starved but alive, of ${workers} workers taken for dead`, 'ratio', [taken], { atMost: 0 })],
      where: [
        `${seconds} s at the lowest priority beside ${2 * cpus().length} busy processes`,
        `meanwhile one after the other is stopped for ${pulseMs / 1000} s`,
        `the longest a beat stood still: ${(late / 1000).toFixed(1)} s`,
      ],
      data: { taken, longest_beat_ms: late },
    };
  } finally {
    const ended = children
      .filter((one) => one.exitCode === null && one.signalCode === null)
      .map((one) => once(one, 'exit'));
    for (const child of children) child.kill('SIGKILL');
    await Promise.all(ended);
    await server.stop();
    rmSync(folder, { recursive: true, force: true });
  }
};

/** Ten at a time: all at once they would only wait for each other. */
const openWorkers = async (workers: number, given: ConsumerOptions, children: ChildProcess[]): Promise<void> => {
  const script = fileURLToPath(new URL('./reliability-role.ts', import.meta.url));
  await windowed(workers, 10, async () => {
    const child = fork(script, [JSON.stringify(given)], { execArgv: ['--max-semi-space-size=1'] });
    children.push(child);
    await once(child, 'message');
  });
};

/** Returns for how long a worker's beat stood still at most, in ms. */
const starve = async (
  redis: Redis,
  workers: ChildProcess[],
  children: ChildProcess[],
  seconds: number,
  signal: AbortSignal,
): Promise<number> => {
  for (const { pid } of workers) if (pid !== undefined) setPriority(pid, 19);
  for (let n = 0; n < 2 * cpus().length; n += 1) {
    children.push(spawn(process.execPath, ['-e', 'for (;;) {}'], { stdio: 'ignore' }));
  }
  const until = performance.now() + seconds * 1000;
  const beats = new Map<string, { beat: string; at: number }>();
  let longest = 0;
  for (let turn = 0; performance.now() < until; turn += 1) {
    const paused = workers[(turn * 7) % workers.length];
    if (turn % 4 === 0) pulse(paused);
    for (const [name, beat] of Object.entries(await redis.hgetall(`${prefix}:beats:finalizer`))) {
      const last = beats.get(name);
      if (last?.beat !== beat) beats.set(name, { beat, at: performance.now() });
      else longest = Math.max(longest, performance.now() - last.at);
    }
    await sleep(500, undefined, { signal });
  }
  return longest;
};

const pulse = (child: ChildProcess | undefined): void => {
  child?.kill('SIGSTOP');
  setTimeout(() => child?.kill('SIGCONT'), pulseMs).unref();
};

const heldBy = async (redis: Redis): Promise<{ id: string; owner: string }[]> => {
  const rows = (await redis.xpending(inbox, 'finalizer', '-', '+', 1000)) as [string, string, number, number][];
  return rows.map(([id, owner]) => ({ id, owner }));
};
