/**
 * Starts services as processes of their own and starts them again when they end, as Docker does under
 * `restart: unless-stopped`: at once, then ever later while they do not live for ten seconds.
 *
 *   running ──ends──▶ waiting ──▶ running          until `stop`, which drains all and kills what does not
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdirSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { nodeFlags } from '../../services/cli/node-settings.ts';

const root = join(import.meta.dirname, '../..');
const backoffMs = { least: 100, most: 5000 };
const livedMs = 10_000;

export type Service = { name: string; service: string; env: Record<string, string> };

export type Supervised = Service & {
  /** 0 while it is not running. */
  pid(): number;
  isPaused(): boolean;
  signal(signal: NodeJS.Signals): void;
  /** How often it was started again. */
  restarts(): number;
  /** Exit codes of endings that were no signal of ours. */
  endings(): number[];
};

export type Supervisor = {
  all: Supervised[];
  /** SIGTERM to every one; each is started again. Resolves when all of them have ended once. */
  restartAll(): Promise<void>;
  /** SIGTERM, and SIGKILL after `graceMs`; returns who was killed. */
  stop(graceMs?: number): Promise<string[]>;
};

export const openSupervisor = (services: readonly Service[], logs: string): Supervisor => {
  mkdirSync(logs, { recursive: true });
  const ending = new AbortController();
  const all = services.map((service) => supervise(service, join(logs, `${service.name}.log`), ending.signal));
  return {
    all: all.map(({ supervised }) => supervised),
    restartAll: async () => {
      await Promise.all(all.map((one) => one.end('SIGTERM', 20_000)));
    },
    stop: async (graceMs = 20_000) => {
      ending.abort();
      const killed = await Promise.all(all.map((one) => one.end('SIGTERM', graceMs)));
      return services.filter((_, at) => killed[at]).map(({ name }) => name);
    },
  };
};

const supervise = (service: Service, log: string, ending: AbortSignal) => {
  let child: ChildProcess | null = null;
  let [paused, asked, starts, pauseMs] = [false, false, 0, backoffMs.least];
  const endings: number[] = [];
  const start = (): void => {
    if (ending.aborted) return;
    const startedAt = Date.now();
    starts += 1;
    asked = false;
    child = launch(service, log);
    child.once('exit', async (code) => {
      child = null;
      paused = false;
      if (code !== null && code !== 0) endings.push(code);
      pauseMs = Date.now() - startedAt > livedMs ? backoffMs.least : Math.min(backoffMs.most, pauseMs * 2);
      await sleep(pauseMs, undefined, { signal: ending }).catch(() => undefined);
      start();
    });
  };
  start();
  /** Asked twice to end, a service ends at once and with 130: whoever drains is not asked again. */
  const send = (to: ChildProcess, signal: NodeJS.Signals): boolean => {
    if (signal === 'SIGTERM' && asked) return true;
    asked ||= signal === 'SIGTERM';
    return to.kill(signal);
  };
  /** True if it had to be killed. */
  const end = async (how: NodeJS.Signals, graceMs: number): Promise<boolean> => {
    const ours = child;
    if (ours === null || ours.exitCode !== null || ours.signalCode !== null) return false;
    const ended = once(ours, 'exit');
    ours.kill('SIGCONT');
    send(ours, how);
    const late = AbortSignal.timeout(graceMs);
    const drained = await Promise.race([ended.then(() => true), once(late, 'abort').then(() => false)]);
    if (!drained) ours.kill('SIGKILL');
    await ended;
    return !drained;
  };
  const supervised: Supervised = {
    ...service,
    pid: () => child?.pid ?? 0,
    isPaused: () => paused,
    signal: (signal) => {
      if (child && send(child, signal)) paused = signal === 'SIGSTOP' || (paused && signal !== 'SIGCONT');
    },
    restarts: () => starts - 1,
    endings: () => endings,
  };
  return { supervised, end };
};

const launch = ({ service, env }: Service, log: string): ChildProcess => {
  const out = openSync(log, 'a');
  const leash = pathToFileURL(join(root, 'services/cli/follow-parent.mjs')).href;
  const script = join(root, 'services', service, 'main.ts');
  // The pipe on descriptor 3 ends the service should this process be killed.
  const child = spawn(process.execPath, [...nodeFlags, '--import', leash, script], {
    detached: true,
    stdio: ['ignore', out, out, 'pipe'],
    cwd: root,
    env,
  });
  child.on('error', () => undefined);
  // A service that ends leaves its pipe broken, which is no news.
  child.stdio[3]?.on('error', () => undefined);
  closeSync(out);
  return child;
};
