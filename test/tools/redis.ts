/**
 * A real Redis for every integration test: one server a run, one namespace a test.
 *
 * `setup` (vitest's globalSetup) starts `redis-server` on a free port, or uses REDIS_URL, or what NEXUS_TEST_REDIS
 * names: another program (`valkey-server`), or an image (`docker:redis:8`); servers that a test starts for itself are
 * then the `redis-server` of the machine. `testFabric()` gives a test its own hash tag and control channel, and closes
 * what it opened: a loop that outlives its test poisons the next one.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Bus, type BusOptions, openBus } from '@nexus/shared/bus';
import { type FabricConfig, fabricConfig, loadConfig } from '@nexus/shared/config';
import type { ServiceName } from '@nexus/shared/messages/domain';
import { freePort } from '@nexus/shared/process';
import { openMeters, silentLog } from '@nexus/shared/telemetry';
import { Redis } from 'ioredis';
import { expect, inject, onTestFinished } from 'vitest';
import type { TestProject } from 'vitest/node';
import { openRedis } from '../../shared/src/bus/redis.ts';
import { startImage } from './redis-image.ts';

declare module 'vitest' {
  interface ProvidedContext {
    redisUrl: string;
  }
}

const wanted = process.env.NEXUS_TEST_REDIS ?? 'redis-server';
const program = wanted.startsWith('docker:') ? 'redis-server' : wanted;

export type TestServer = {
  url: string;
  pid: number | undefined;
  port: number;
  folder: string;
  stop(): Promise<void>;
  /** kill -9. */
  kill(): Promise<void>;
  /** SIGSTOP: its port is open, and nobody answers. */
  pause(): void;
  resume(): void;
  /** Starts it again, on the same port and files; resolves once it answers, or at once with `waits: false`. */
  start(options?: { extra?: string[]; waits?: boolean }): Promise<void>;
};

/** Starts a redis-server of one's own: for tests that stop, kill or pause it. */
export const startRedis = async (
  options: { port?: number; folder?: string; extra?: string[] } = {},
): Promise<TestServer> => {
  const port = options.port ?? (await freePort());
  const folder = options.folder ?? mkdtempSync(join(tmpdir(), 'nexus-redis-'));
  const settings = [
    '--port',
    String(port),
    '--bind',
    '127.0.0.1',
    '--dir',
    folder,
    '--save',
    '',
    '--appendonly',
    'yes',
  ];
  let child: ChildProcess;
  const start: TestServer['start'] = async ({ extra = [], waits = true } = {}) => {
    child = spawn(program, [...settings, ...(options.extra ?? []), ...extra], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const ready = new Promise<void>((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', (code) => reject(new Error(`redis-server ended with ${code}`)));
      child.stdout?.on('data', (chunk: Buffer) => {
        if (/Ready to accept connections|monitor master/.test(String(chunk))) resolve();
      });
    });
    if (waits) await ready;
    else ready.catch(() => undefined);
  };
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    // A paused one hears no other signal.
    child.kill('SIGCONT');
    child.kill(signal);
    await ended;
  };
  await start();
  if (insideTest()) {
    onTestFinished(async () => {
      await end('SIGKILL');
      if (options.folder === undefined) rmSync(folder, { recursive: true, force: true });
    });
  }
  return {
    url: `redis://127.0.0.1:${port}`,
    get pid() {
      return child.pid;
    },
    port,
    folder,
    stop: () => end('SIGTERM'),
    kill: () => end('SIGKILL'),
    pause: () => void child.kill('SIGSTOP'),
    resume: () => void child.kill('SIGCONT'),
    start,
  };
};

/** vitest's globalSetup starts a server, too, and ends it itself. */
const insideTest = (): boolean => {
  try {
    return expect.getState().currentTestName !== undefined;
  } catch {
    return false;
  }
};

/** vitest's globalSetup: provides `redisUrl`. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const given = process.env.REDIS_URL;
  if (given) {
    project.provide('redisUrl', given);
    return async () => undefined;
  }
  if (wanted.startsWith('docker:')) {
    const server = await startImage(wanted.slice('docker:'.length));
    if ('why' in server) throw new Error(`NEXUS_TEST_REDIS is ${wanted}, but: ${server.why}`);
    project.provide('redisUrl', server.url);
    return server.stop;
  }
  const server = await startRedis();
  project.provide('redisUrl', server.url);
  return async () => {
    await server.stop();
    rmSync(server.folder, { recursive: true, force: true });
  };
}

export type TestFabric = {
  config: FabricConfig;
  /** A connection of the test's own, to look and to meddle. */
  redis: Redis;
  open(service: ServiceName, options?: Partial<BusOptions>): Promise<Bus>;
};

/** A fabric of the test's own. What it opens is closed when the test ends, and its keys are removed. */
export const testFabric = (url: string = inject('redisUrl'), settings: Record<string, string> = {}): TestFabric => {
  const name = `t-${randomBytes(6).toString('hex')}`;
  const environment = {
    REDIS_URL: url,
    NEXUS_PREFIX: `{${name}}`,
    NEXUS_CONTROL_CHANNEL: `control-${name}`,
    NEXUS_REDIS_WAIT: '3s',
    ...settings,
  };
  const config = loadConfig(fabricConfig, environment);
  const redis = url.includes('+sentinel') ? openRedis({ url, name: 'test' }) : new Redis(url);
  redis.on('error', () => undefined);
  const open: Bus[] = [];
  onTestFinished(async () => {
    await Promise.all(open.map((bus) => bus.close(0)));
    // A test that ended its own server, or left it without the replicas it asks for, has nothing to clear away.
    const keys = redis.status === 'ready' ? await redis.keys(`{${name}}*`).catch(() => []) : [];
    if (keys.length > 0) await redis.unlink(...keys).catch(() => 0);
    redis.disconnect();
  });
  return {
    config,
    redis,
    open: async (service, options = {}) => {
      const bus = await openBus({
        config,
        service,
        log: silentLog(),
        meters: openMeters(service),
        ...options,
        limits: { retryBaseMs: 20, sweepMs: 500, ...options.limits },
      });
      open.push(bus);
      return bus;
    },
  };
};
