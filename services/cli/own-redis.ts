/**
 * A Redis for the fleet on this machine, where none answers and nobody named another: `redis-server` or
 * `valkey-server` from the path, on the usual port, its data in NEXUS_HOME/redis. `nexus down` ends it.
 */
import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isFailure } from '@nexus/shared/errors';
import { findProgram } from '@nexus/shared/process';
import type { CliConfig } from './config.ts';
import { CommandFailure } from './exit-codes.ts';
import type { FleetProcess } from './fleet-state.ts';
import { lastLines } from './log-lines.ts';
import { identityOf } from './process-identity.ts';
import { knock } from './tools.ts';

const usual = 'redis://127.0.0.1:6379';

/** Null if a Redis answers already; else the one that was started. Throws with the line to type if there is none. */
export const provideRedis = async ({ fabric, home }: CliConfig): Promise<FleetProcess | null> => {
  try {
    await knock(fabric.redisUrl);
    return null;
  } catch (error) {
    if (!isFailure(error, 'REDIS_UNREACHABLE') || fabric.redisUrl !== usual) throw error;
    const server = (await findProgram('redis-server')) ?? (await findProgram('valkey-server'));
    if (!server) throw noRedis(error);
    return startRedis({ server, home, password: fabric.redisPassword });
  }
};

const noRedis = (cause: unknown): CommandFailure =>
  new CommandFailure('unavailable', 'There is no Redis: none answers at 127.0.0.1:6379, and none is installed.', {
    code: 'REDIS_UNREACHABLE',
    advice: [
      'Install redis-server (then `nexus up` starts it), or: docker run -d -p 127.0.0.1:6379:6379 redis:8',
      'Or set REDIS_URL to one that runs.',
    ],
    cause,
  });

type Own = { server: string; home: string; password?: string | undefined; port?: number };

/** `password` is what it wants of everybody. Told on its standard input: arguments are there for all to see. */
export const startRedis = async ({ server, home, password, port = 6379 }: Own): Promise<FleetProcess> => {
  const [data, log] = [join(home, 'redis'), join(home, 'logs', 'redis.log')];
  mkdirSync(data, { recursive: true });
  mkdirSync(join(home, 'logs'), { recursive: true });
  const out = openSync(log, 'a');
  const settings = [
    '--appendonly',
    'yes',
    '--appendfsync',
    'everysec',
    '--save',
    '',
    '--maxmemory-policy',
    'noeviction',
  ];
  const child = spawn(server, ['--port', String(port), '--bind', '127.0.0.1', '--dir', data, ...settings, '-'], {
    detached: true,
    stdio: ['pipe', out, out],
  });
  // One that cannot start closes it; why, its log says.
  child.stdin?.on('error', () => undefined);
  child.stdin?.end(password ? `requirepass ${JSON.stringify(password)}\n` : '');
  closeSync(out);
  child.unref();
  const pid = child.pid ?? 0;
  const started = { name: 'redis', pid, identity: identityOf(pid) ?? '', port, log };
  for (let tries = 0; tries < 100 && child.exitCode === null; tries += 1) {
    const answers = await knock(`redis://127.0.0.1:${port}`).then(
      () => true,
      () => false,
    );
    if (answers) return started;
    await sleep(50);
  }
  throw new CommandFailure('unavailable', `${server} did not start.`, {
    code: 'REDIS_UNREACHABLE',
    advice: [`Its last log lines (${log}):`, ...lastLines(log, 8).map((line) => `  ${line}`)],
  });
};
