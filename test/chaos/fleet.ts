/**
 * A fleet as it runs for people: a process for every service, a Redis of its own, and a supervisor that starts again
 * what ends. For whoever wants to hurt it, or to measure it while it is hurt.
 */

import { randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Client, openClient } from '@nexus/shared/client';
import { freePort } from '@nexus/shared/process';
import { codeCache, fillCodeCache } from '../../services/cli/code-cache.ts';
import { nodeEnvironment, nodeFlags } from '../../services/cli/node-settings.ts';
import { openRedisServer, type RedisServer } from './redis-server.ts';
import { openSupervisor, type Service, type Supervisor } from './supervisor.ts';

export type RealFleet = {
  folder: string;
  home: string;
  prefix: string;
  channel: string;
  server: RedisServer;
  supervisor: Supervisor;
  client: Client;
  /** Until every worker has told what it can run. */
  ready(signal: AbortSignal): Promise<void>;
  /** Returns who had to be killed because it did not drain. */
  stop(graceMs?: number): Promise<string[]>;
};

export type FleetOptions = {
  /** Where home, logs, scratch and Redis' files lie; whoever made it removes it. */
  folder: string;
  /** Service → how many of it; 1 where it is not named. */
  counts: Partial<Record<string, number>>;
  settings?: Record<string, string>;
  redisSettings?: string[];
};

const services = ['gateway', 'orchestrator', 'project-manager', 'worker-agent', 'quality-checker', 'finalizer'];
const root = join(import.meta.dirname, '../..');
const inherited = ['PATH', 'HOME', 'LANG'];

export const openRealFleet = async (options: FleetOptions): Promise<RealFleet> => {
  const { folder, counts } = options;
  const name = `chaos-${randomBytes(3).toString('hex')}`;
  const [home, scratch] = [join(folder, 'home'), join(folder, 'scratch')];
  for (const one of [home, scratch]) mkdirSync(one, { recursive: true });
  const server = await openRedisServer(join(folder, 'redis'), options.redisSettings);
  const [token, port] = [randomBytes(16).toString('hex'), await freePort()];
  const env = {
    ...nodeEnvironment,
    ...Object.fromEntries(inherited.map((variable) => [variable, process.env[variable] ?? ''])),
    REDIS_URL: server.url,
    NEXUS_PREFIX: `{${name}}`,
    NEXUS_CONTROL_CHANNEL: `control-${name}`,
    NEXUS_HOME: home,
    NEXUS_REHEARSAL: 'on',
    // Its agents leave word outside of their clones.
    NEXUS_SANDBOX: 'off',
    NODE_COMPILE_CACHE: codeCache,
    TMPDIR: scratch,
    ...options.settings,
  };
  const planned = services.flatMap((service) => {
    const count = counts[service] ?? 1;
    const own: Record<string, string> = service === 'gateway' ? { NEXUS_PORT: String(port), NEXUS_TOKEN: token } : {};
    return Array.from({ length: count }, (_, at): Service => {
      return { name: count === 1 ? service : `${service}-${at + 1}`, service, env: { ...env, ...own } };
    });
  });
  const scripts = services.map((service) => join(root, 'services', service, 'main.ts'));
  await fillCodeCache(codeCache, scripts, nodeFlags);
  const supervisor = openSupervisor(planned, join(folder, 'logs'));
  const client = openClient({ url: `http://127.0.0.1:${port}`, token, timeoutMs: 10_000 });
  return {
    ...{ folder, home, server, supervisor, client },
    prefix: `{${name}}`,
    channel: `control-${name}`,
    ready: (signal) => ready(client, counts['worker-agent'] ?? 1, signal),
    stop: async (graceMs) => {
      const killed = await supervisor.stop(graceMs);
      await server.stop();
      return killed;
    },
  };
};

const ready = async (client: Client, count: number, signal: AbortSignal): Promise<void> => {
  for (const until = Date.now() + 90_000; Date.now() < until; await sleep(100)) {
    signal.throwIfAborted();
    const agents = await client.agents().catch(() => null);
    const workers = agents?.workers ?? [];
    if (workers.length >= count && workers.every(({ runtimes }) => runtimes.length > 0)) return;
  }
  throw new Error('the fleet did not come up within a minute and a half');
};
