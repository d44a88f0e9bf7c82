/**
 * A primary, its replica and three Sentinels on loopback: a failover that is real.
 */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort } from '@nexus/shared/process';
import { Redis } from 'ioredis';
import { onTestFinished } from 'vitest';
import { eventually } from './eventually.ts';
import { startRedis, type TestServer } from './redis.ts';

export type Sentinels = {
  /** As REDIS_URL. */
  url: string;
  primary: TestServer;
  replica: TestServer;
  /** Resolves once the Sentinels name the replica as the primary, and it takes that role. */
  failedOver(): Promise<void>;
};

/** Starts them all; `extra` are settings of the primary alone. */
export const startSentinels = async (extra: string[] = []): Promise<Sentinels> => {
  const primary = await startRedis({ extra: ['--appendfsync', 'everysec', ...extra] });
  const replica = await startRedis({
    extra: ['--replicaof', '127.0.0.1', String(primary.port), '--repl-diskless-sync-delay', '0'],
  });
  const look = new Redis(replica.url);
  look.on('error', () => undefined);
  onTestFinished(() => look.disconnect());
  await eventually('the replica follows', async () =>
    (await look.info('replication')).includes('master_link_status:up'),
  );
  const ports = await Promise.all([startSentinel(primary), startSentinel(primary), startSentinel(primary)]);
  const asked = new Redis({ port: ports[0], host: '127.0.0.1' });
  asked.on('error', () => undefined);
  onTestFinished(() => asked.disconnect());
  await eventually('the Sentinels know each other and the replica', async () => {
    const [known] = (await asked.call('SENTINEL', 'MASTERS')) as string[][];
    const field = (name: string): string => known?.[known.indexOf(name) + 1] ?? '';
    return field('num-other-sentinels') === '2' && field('num-slaves') === '1';
  });
  return {
    url: `redis+sentinel://${ports.map((port) => `127.0.0.1:${port}`).join(',')}/main`,
    primary,
    replica,
    failedOver: async () => {
      await eventually('a new primary is named', async () => {
        const address = (await asked.call('SENTINEL', 'get-master-addr-by-name', 'main')) as string[];
        return address[1] === String(replica.port) && (await look.info('replication')).includes('role:master');
      });
    },
  };
};

const startSentinel = async (primary: TestServer): Promise<number> => {
  const port = await freePort();
  const file = join(primary.folder, `sentinel-${port}.conf`);
  const lines = [
    `port ${port}`,
    'bind 127.0.0.1',
    `dir ${primary.folder}`,
    `sentinel monitor main 127.0.0.1 ${primary.port} 2`,
    'sentinel down-after-milliseconds main 1000',
    'sentinel failover-timeout main 5000',
    'sentinel parallel-syncs main 1',
  ];
  writeFileSync(file, `${lines.join('\n')}\n`);
  const child = spawn('redis-server', [file, '--sentinel'], { stdio: ['ignore', 'pipe', 'inherit'] });
  onTestFinished(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
  });
  await new Promise<void>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code) => reject(new Error(`a Sentinel ended with ${code}`)));
    child.stdout.on('data', (chunk: Buffer) => {
      if (String(chunk).includes('+monitor master')) resolve();
    });
  });
  return port;
};
