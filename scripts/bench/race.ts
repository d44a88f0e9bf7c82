/**
 * Runs the sides of one benchmark as processes against a redis-server of its own, and says what they reported.
 */
import { type ChildProcess, fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Redis } from 'ioredis';
import type { RoleOptions } from './player.ts';

export type Server = {
  url: string;
  stop(): Promise<void>;
  cpuMs(): Promise<number>;
  flush(): Promise<void>;
  commandUs(name: string): Promise<number>;
};

/** A redis-server as the figures ask for: AOF everysec, no snapshots, a folder of its own. */
export const openServer = async (appendfsync = 'everysec'): Promise<Server> => {
  const listening = createServer().listen(0, '127.0.0.1');
  await once(listening, 'listening');
  const address = listening.address();
  const port = typeof address === 'object' && address ? address.port : 0;
  listening.close();
  const folder = mkdtempSync(join(tmpdir(), 'nexus-bench-'));
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
  const child = spawn('redis-server', [...settings, '--appendfsync', appendfsync], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await new Promise<void>((resolve) => {
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
    commandUs: async (name) =>
      Number(new RegExp(`cmdstat_${name}:.*usec_per_call=([\\d.]+)`).exec(await redis.info('commandstats'))?.[1] ?? 0),
    flush: async () => {
      await redis.flushall();
      await redis.config('RESETSTAT');
    },
    stop: async () => {
      redis.disconnect();
      child.kill('SIGTERM');
      await once(child, 'exit');
      rmSync(folder, { recursive: true, force: true });
    },
  };
};

export type Side = { role: string; stations?: number[] };
export type Report = { per_second: number; p50_ms: number; p99_ms: number; cpu_ms: Record<string, number> };

/**
 * Starts all sides, lets receivers go first, waits for the one that reports a rate, ends the rest. CPU time is in ms,
 * per side and for the server.
 */
export const race = async (
  server: Server,
  sides: Side[],
  options: Omit<RoleOptions, 'redisUrl' | 'stations' | 'prefix'>,
): Promise<Report> => {
  await server.flush();
  const serverBegan = await server.cpuMs();
  const running = sides.map((side) => {
    const given: RoleOptions = { ...options, redisUrl: server.url, prefix: '{bench}', stations: side.stations ?? [] };
    const child = fork(fileURLToPath(new URL('./player.ts', import.meta.url)), [side.role, JSON.stringify(given)]);
    return { side, child, ready: once(child, 'message'), report: reportOf(child) };
  });
  for (const { ready } of running) await ready;
  for (const { child } of running) child.send('go');
  const counting = running.filter(({ side }) => !/-(send|feed)$/.test(side.role) && (side.stations ?? [4]).includes(4));
  const result = await Promise.race(counting.map(({ report }) => report));
  const cpu: Record<string, number> = { server: (await server.cpuMs()) - serverBegan };
  for (const { side, child, report } of running) {
    if (child.connected) child.send('end');
    const done = await report;
    const name = side.role.replace(/^\w+-/, '');
    cpu[name] = (cpu[name] ?? 0) + Number(done.cpu_ms ?? 0);
  }
  return { ...(result as unknown as Report), cpu_ms: cpu };
};

/** The last message that a side sends is its report. */
const reportOf = (child: ChildProcess): Promise<Record<string, unknown>> =>
  new Promise((resolve, reject) => {
    child.on('message', (message) => {
      if (typeof message === 'object' && message !== null) resolve(message as Record<string, unknown>);
    });
    child.once('exit', (code) =>
      code === 0 ? resolve({}) : reject(new Error(`a side of the race ended with ${code}`)),
    );
  });

export const median = (values: number[]): number => {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
};
