/**
 * Whether a fleet that was hurt has kept its word. It shares no code with the services: plain Redis commands, plain
 * git, /proc. It looks when every service has ended and Redis still runs.
 *
 *   check-ledger.ts    accepted tasks have ended, each once, as git says
 *   check-git.ts       every merge was gated, none came twice
 *   check-fabric.ts    nothing waits, nothing is held, no letter unexplained, no key without owner or expiry
 *   check-machine.ts   no process, no clone
 */
import { Redis } from 'ioredis';
import { checkFabric } from './check-fabric.ts';
import { checkLedger, readTasks } from './check-ledger.ts';
import { checkMachine } from './check-machine.ts';
import type { Counts } from './explained.ts';

/** What was asked for, by the id that the edge answered. */
export type Asked = ReadonlyMap<
  string,
  { repository?: string; files: Record<string, string>; code: readonly string[] }
>;

export type Look = { redisUrl: string; prefix: string; home: string; asked: Asked; counts: Counts };

export type Findings = {
  completed: number;
  failed: number;
  cancelled: number;
  waiting: number;
  dead_letters: number;
  violations: string[];
};

export const check = async (look: Look): Promise<Findings> => {
  const redis = new Redis(look.redisUrl, { connectionName: 'checker' });
  try {
    const tasks = await readTasks(redis, look.prefix);
    const count = (status: string): number => tasks.filter((task) => task.status === status).length;
    const waiting = new Set(tasks.filter(({ status }) => status === 'waiting_for_person').map(({ id }) => id));
    const fabric = await checkFabric(redis, { ...look, waiting });
    return {
      completed: count('completed'),
      failed: count('failed'),
      cancelled: count('cancelled'),
      waiting: waiting.size,
      dead_letters: fabric.deadLetters,
      violations: [...(await checkLedger(redis, look, tasks)), ...fabric.violations, ...checkMachine(look)],
    };
  } finally {
    redis.disconnect();
  }
};
