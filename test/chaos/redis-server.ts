/** A redis-server that is killed, ended and started again on the same port and the same files: AOF at every write. */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '@nexus/shared/process';
import { Redis } from 'ioredis';

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

/** A shell between us and the server ends it when our end of its input closes, even because we were killed. */
const leash = 'redis-server "$@" > /dev/null 2>&1 & echo $!; read -r _; kill $! 2> /dev/null; wait $!';

export const openRedisServer = async (folder: string, settings: string[] = []): Promise<RedisServer> => {
  const port = await freePort();
  mkdirSync(folder, { recursive: true });
  const url = `redis://127.0.0.1:${port}`;
  const redis = new Redis(url, { connectionName: 'chaos', maxRetriesPerRequest: null, retryStrategy: () => 100 });
  redis.on('error', () => undefined);
  let child: ChildProcess;
  let pid = 0;
  let up = false;
  const start = async (): Promise<void> => {
    const place = ['--port', String(port), '--bind', '127.0.0.1', '--dir', folder, '--save', ''];
    const durable = ['--appendonly', 'yes', '--appendfsync', 'always', '--maxmemory-policy', 'noeviction'];
    // A session of its own: Ctrl-C reaches us, and we end it last.
    const words = ['-c', leash, 'leash', ...place, ...durable, ...settings];
    child = spawn('sh', words, { stdio: ['pipe', 'pipe', 'ignore'], detached: true });
    if (!child.stdout) throw new Error('the shell has no output');
    for await (const line of createInterface({ input: child.stdout })) {
      pid = Number(line);
      break;
    }
    await redis.ping();
    up = true;
  };
  const end = async (how: NodeJS.Signals): Promise<void> => {
    up = false;
    if (child.exitCode !== null) return;
    const ended = once(child, 'exit');
    process.kill(pid, how);
    child.stdin?.end();
    await ended;
  };
  await start();
  return {
    url,
    port,
    redis,
    isUp: () => up,
    pid: () => pid,
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
