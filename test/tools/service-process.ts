/**
 * A service as its own process on a test's fabric, and a home that those of one test share. What is started is killed
 * when the test ends.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ServiceName } from '@nexus/shared/messages/domain';
import { onTestFinished } from 'vitest';
import { eventually } from './eventually.ts';
import type { TestFabric } from './redis.ts';

export type ServiceProcess = {
  pid: number;
  child: ChildProcess;
  /** All that it has written to standard error. */
  said(): string;
  /** Sends a signal; for KILL and TERM waits for the end. */
  signal(name: NodeJS.Signals): Promise<void>;
  /** Resolves when it has ended, with the signal that ended it. */
  ended: Promise<NodeJS.Signals | null>;
};

/** A folder that is gone when the test ends. */
export const testHome = (): string => {
  const home = mkdtempSync(join(tmpdir(), 'nexus-home-'));
  onTestFinished(() => rmSync(home, { recursive: true, force: true, maxRetries: 3 }));
  return home;
};

/** Starts a service on the fabric of a test, with these settings and nothing else; what it says is kept. */
export const spawnService = (
  service: ServiceName,
  fabric: TestFabric,
  env: Record<string, string>,
): { child: ChildProcess; said(): string } => {
  const main = fileURLToPath(new URL(`../../services/${service}/main.ts`, import.meta.url));
  let text = '';
  const child = spawn(process.execPath, [main], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: {
      PATH: process.env.PATH,
      REDIS_URL: fabric.config.redisUrl,
      NEXUS_PREFIX: fabric.config.prefix,
      NEXUS_CONTROL_CHANNEL: fabric.config.controlChannel,
      // Agents of tests leave word outside of their clones; tests of the sandbox ask for it.
      NEXUS_SANDBOX: 'off',
      ...env,
    },
  });
  child.stderr?.on('data', (chunk: Buffer) => {
    text += chunk.toString();
  });
  return { child, said: () => text };
};

/** Starts a service, and resolves when it reads its inbox. */
export const startService = async (
  service: ServiceName,
  fabric: TestFabric,
  env: Record<string, string>,
): Promise<ServiceProcess> => {
  const { child, said } = spawnService(service, fabric, { NEXUS_DISK_RESERVE: '0', ...env });
  const ended = once(child, 'exit').then(([, signal]) => signal as NodeJS.Signals | null);
  const signal = async (name: NodeJS.Signals): Promise<void> => {
    child.kill(name);
    if (name === 'SIGKILL' || name === 'SIGTERM') await ended;
  };
  onTestFinished(() => signal('SIGKILL'));
  await eventually(`${service} serves`, () => {
    if (child.exitCode !== null) throw new Error(said());
    return said().includes(`${service} serves`);
  });
  return { pid: child.pid ?? 0, child, said, signal, ended };
};
