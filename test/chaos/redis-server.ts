/** A redis-server that is killed, ended and started again on the same port and the same files: AOF at every write. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { freePort } from '../tools/redis.ts';

export type RedisServer = {
  url: string;
  port: number;
  /** A connection of our own that reconnects for ever and waits for answers. */
  redis: Redis;
  /** False from the signal until it answers again. */
  isUp(): boolean;
  pid(): number;
  restart(how: 'SIGKILL' | 'SIGTERM', downMs: number): Promise<void>;
  stop(): Promise<void>;
};

export const openRedisServer = async (folder: string, settings: string[] = []): Promise<RedisServer> => {
  const port = await freePort();
  mkdirSync(folder, { recursive: true });
  const url = `redis://127.0.0.1:${port}`;
  const redis = new Redis(url, { connectionName: 'chaos', maxRetriesPerRequest: null, retryStrategy: () => 100 });
  redis.on('error', () => undefined);
  let child: ChildProcess;
  let up = false;
  const start = async (): Promise<void> => {
    const place = ['--port', String(port), '--bind', '127.0.0.1', '--dir', folder, '--save', ''];
    const durable = ['--appendonly', 'yes', '--appendfsync', 'always', '--maxmemory-policy', 'noeviction'];
    // A session of its own: Ctrl-C reaches us, and we end it last.
    child = spawn('redis-server', [...place, ...durable, ...settings], { stdio: 'ignore', detached: true });
    child.on('error', () => undefined);
    await redis.ping();
    up = true;
  };
  const end = async (how: NodeJS.Signals): Promise<void> => {
    up = false;
    if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
    const ended = once(child, 'exit');
    child.kill(how);
    await ended;
  };
  await start();
  return {
    url,
    port,
    redis,
    isUp: () => up,
    pid: () => child.pid ?? 0,
    restart: async (how, downMs) => {
      await end(how);
      await sleep(downMs);
      await start();
    },
    stop: async () => {
      redis.disconnect();
      await end('SIGTERM');
    },
  };
};
