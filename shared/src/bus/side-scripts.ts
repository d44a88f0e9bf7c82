/**
 * Scripts of other modules on this fabric's Redis: what lies beside the journey of messages, such as budgets and
 * memories, and has to be atomic too. Only the bus knows ioredis; whoever has a script hands its folder over.
 *
 *   bus.side.register('spend', new URL('./scripts/', import.meta.url));   // <verb>-<number of keys>.lua
 *   await bus.side.run('spend/reserve', [keys.…], ['1', …]);
 *   await bus.side.command('HGETALL', keys.…);
 *   await bus.side.read([['HGETALL', keys.…], ['ZRANGE', keys.…, 0, 9]]);
 *
 * What it promises: one call is one script, whole or not at all; nothing is sent twice by itself, so a call that lost
 * its connection fails (`isConnectionError`) and may have had its effect: a script that is asked again must be able
 * to tell. What it does not: a guard by claim, epoch or revision. Documents of the ledger are none of its business.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { fail } from '@nexus/shared/errors';
import type { Redis } from './redis.ts';

/** Commands that change nothing, and that a caller may send by themselves. */
const readCommands = [
  'EXISTS',
  'GET',
  'HEXISTS',
  'HGET',
  'HGETALL',
  'HLEN',
  'HMGET',
  'HSCAN',
  'MGET',
  'PTTL',
  'SCARD',
  'SINTER',
  'SISMEMBER',
  'SMEMBERS',
  'SSCAN',
  'TYPE',
  'VCARD',
  'VGETATTR',
  'VSIM',
  'XLEN',
  'XRANGE',
  'XREVRANGE',
  'ZCARD',
  'ZCOUNT',
  'ZMSCORE',
  'ZRANGE',
  'ZSCAN',
  'ZSCORE',
] as const;
export type ReadCommand = (typeof readCommands)[number];
export type Read = [command: ReadCommand, key: string, ...values: (string | number)[]];

export type Side = {
  /** Makes the scripts of a folder known as `<module>/<verb>`. The same folder twice is fine. */
  register(module: string, folder: URL): void;
  /** Runs a script. Each key has to be one of this fabric. Throws what Redis says, and BUG for a name nobody knows. */
  run(name: string, keys: readonly string[], values: readonly (string | number)[]): Promise<unknown>;
  /** Sends one command that only reads. */
  command(command: ReadCommand, key: string, ...values: (string | number)[]): Promise<unknown>;
  /** Many of these in one round trip, each by itself: the server serves others in between. Throws if one fails. */
  read(commands: readonly Read[]): Promise<unknown[]>;
};

/** The side door on a connection, for keys that begin with `prefix`. */
export const makeSide = (redis: Redis, prefix: string): Side => {
  const counts = new Map<string, number>();
  const own = (key: string): string => {
    if (!key.startsWith(`${prefix}:`)) throw fail('BUG', { message: `${key} is no key of the fabric ${prefix}` });
    return key;
  };
  return {
    register: (module, folder) => {
      for (const file of readdirSync(folder)) {
        const [, verb, keyCount] = /^([a-z]+(?:-[a-z]+)*)-(\d+)\.lua$/.exec(file) ?? [];
        const name = `${module}/${verb}`;
        if (verb === undefined || counts.has(name)) continue;
        counts.set(name, Number(keyCount));
        const lua = readFileSync(new URL(file, folder), 'utf8');
        redis.defineCommand(name, { numberOfKeys: Number(keyCount), lua });
      }
    },
    run: async (name, keys, values) => {
      const wanted = counts.get(name);
      const call = (redis as unknown as Record<string, (...parts: (string | number)[]) => Promise<unknown>>)[name];
      if (wanted === undefined || !call) throw fail('BUG', { message: `no script is registered as ${name}` });
      if (keys.length !== wanted) throw fail('BUG', { message: `${name} takes ${wanted} keys, not ${keys.length}` });
      return await call.call(redis, ...keys.map(own), ...values);
    },
    command: async (command, key, ...values) => await redis.call(onlyRead(command), own(key), ...values),
    read: async (commands) => {
      if (commands.length === 0) return [];
      const pipeline = redis.pipeline();
      for (const [command, key, ...values] of commands) pipeline.call(onlyRead(command), own(key), ...values);
      return ((await pipeline.exec()) ?? []).map(([error, answer]) => {
        if (error) throw error;
        return answer;
      });
    },
  };
};

const onlyRead = (command: ReadCommand): ReadCommand => {
  if (readCommands.includes(command)) return command;
  throw fail('BUG', { message: `${command} is not a command that only reads` });
};
