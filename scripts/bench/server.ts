/**
 * A redis-server of the benchmark's own, as the figures ask for: AOF everysec, no snapshots, its own folder and
 * a free port; and what it says of the time that it spent. It rewrites its AOF at no time: that takes a core for
 * seconds, in whichever round it happens to fall.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '@nexus/shared/process';
import { Redis } from 'ioredis';

/** What a command has cost since the counters were last set to zero. */
export type CommandCost = { calls: number; us: number };

export type Server = {
  url: string;
  /** CPU time of the server so far, in ms. */
  cpuMs(): Promise<number>;
  /** Cost by command. A script's time holds that of the commands that it calls, which are listed too. */
  commands(): Promise<Map<string, CommandCost>>;
  /** Empties it, and sets its counters to zero. */
  flush(): Promise<void>;
  stop(): Promise<void>;
};

export const openServer = async (appendfsync = 'everysec'): Promise<Server> => {
  const port = await freePort();
  const folder = mkdtempSync(join(tmpdir(), 'nexus-bench-'));
  const place = ['--port', String(port), '--bind', '127.0.0.1', '--dir', folder];
  const durability = ['--save', '', '--appendonly', 'yes', '--appendfsync', appendfsync];
  const steady = ['--auto-aof-rewrite-percentage', '0', '--maxmemory-policy', 'noeviction'];
  // A session of its own: Ctrl-C reaches us, and we end it when nobody needs it any more.
  const child = spawn('redis-server', [...place, ...durability, ...steady], {
    stdio: ['ignore', 'pipe', 'inherit'],
    detached: true,
  });
  await new Promise<void>((resolve, reject) => {
    child.once('error', (error) => reject(new Error('redis-server cannot be started', { cause: error })));
    child.once('exit', (code) => reject(new Error(`redis-server ended with ${code}`)));
    child.stdout.on('data', (chunk: Buffer) => {
      if (chunk.includes('Ready to accept')) resolve();
    });
  });
  const url = `redis://127.0.0.1:${port}`;
  const redis = new Redis(url);
  return {
    url,
    cpuMs: async () => {
      const info = await redis.info('cpu');
      const seconds = (name: string): number => Number(new RegExp(`${name}:([\\d.]+)`).exec(info)?.[1] ?? 0);
      return (seconds('used_cpu_sys') + seconds('used_cpu_user')) * 1000;
    },
    commands: async () => commandCosts(await redis.info('commandstats')),
    flush: async () => {
      await redis.flushall();
      await redis.config('RESETSTAT');
    },
    stop: async () => {
      redis.disconnect();
      if (child.exitCode === null && child.signalCode === null) {
        const ended = once(child, 'exit');
        child.kill('SIGTERM');
        await ended;
      }
      rmSync(folder, { recursive: true, force: true });
    },
  };
};

/** Reads `INFO commandstats`. */
export const commandCosts = (info: string): Map<string, CommandCost> =>
  new Map(
    [...info.matchAll(/cmdstat_([\w|]+):calls=(\d+),usec=(\d+)/g)].map(([, name = '', calls, us]) => [
      name,
      { calls: Number(calls), us: Number(us) },
    ]),
  );
