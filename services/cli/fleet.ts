/**
 * The launcher: every service as a process of its own, on this machine.
 *
 * `launchFleet` starts them, waits until each says that it is ready, and gives a `Fleet`. A fleet is
 * starting → up → stopping → down. Detached (`nexus up`) it outlives this process and is found again by
 * fleet.json; attached (demo, dev) it ends with this process, even with a killed one. Nothing is restarted by itself:
 * a service that died is told, with its last log lines, and the next `nexus up` starts it (`only`). Logs go to
 * NEXUS_HOME/logs/<service>.log.
 *
 * Push credentials reach the finalizer and the gateway only (which looks before it takes a task), API tokens the
 * gateway only.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import type { Client } from '@nexus/shared/client';
import { demandApart, inheritedEnvironment } from '@nexus/shared/config';
import { fail } from '@nexus/shared/errors';
import { serviceName } from '@nexus/shared/messages/domain';
import { demandFreePort, freePort } from '@nexus/shared/process';
import { codeCache, fillCodeCache } from './code-cache.ts';
import { projectRoot } from './config.ts';
import { CommandFailure } from './exit-codes.ts';
import { type FleetProcess, type FleetState, lives } from './fleet-state.ts';
import { lastLines, lastWords } from './log-lines.ts';
import { nodeEnvironment, nodeFlags } from './node-settings.ts';
import { identityOf } from './process-identity.ts';

export type LaunchOptions = {
  /** NEXUS_HOME, absolute. */
  home: string;
  prefix: string;
  workers: number;
  /** The gateway's port; 0 takes a free one. */
  port: number;
  /** The address that the gateway listens on; default loopback. */
  host?: string;
  /** Only the processes of these names: those that a fleet lacks. Left out, all. */
  only?: readonly string[];
  /** The fleet ends when this process ends. */
  attached: boolean;
  /** Wins over what is inherited. */
  environment?: Readonly<Record<string, string>>;
  readyWithinMs?: number;
  /** Where `<service>/main.ts` lie; a test has its own. */
  servicesFolder?: string;
  signal?: AbortSignal | undefined;
};

export type EndedService = { name: string; code: number | null; signal: string | null; log: string; lines: string[] };

export type Fleet = {
  state: FleetState;
  /** Told once for every service that ends without having been asked to. */
  onDeath(listener: (ended: EndedService) => void): void;
  /** SIGTERM, drain; after `graceMs` SIGKILL. Returns the names of those that had to be killed. */
  stop(graceMs?: number): Promise<string[]>;
};

/**
 * Starts a fleet and resolves when all of it is ready; if a part does not get there, all of it is ended again. Throws
 * `HOME_BELOW_MODULES` before anything is started.
 */
export const launchFleet = async (options: LaunchOptions): Promise<Fleet> => {
  demandApart(options.home);
  if (options.port !== 0 && (options.only?.includes('gateway') ?? true)) await demandFree(options.port);
  const logs = join(options.home, 'logs');
  mkdirSync(logs, { recursive: true });
  const plans = await planProcesses(options, logs);
  const scripts = new Set(plans.map((plan) => scriptOf(plan, options)));
  if (options.servicesFolder === undefined) await fillCodeCache(cacheOf(options), [...scripts], nodeFlags);
  const started = plans.map((plan) => start(plan, options));
  const fleet = fleetOf(started, options);
  try {
    const deadline = Date.now() + (options.readyWithinMs ?? 30_000);
    await Promise.all(started.map((one) => waitReady(one, hostOf(one.process, options), deadline, options.signal)));
    return fleet;
  } catch (error) {
    await fleet.stop(5000);
    throw error;
  }
};

/**
 * Waits until the workers have told with their beats what they can run; a task that is submitted earlier would be
 * refused for want of a runtime. Returns quietly after `patienceMs`: then the refusal says it better.
 */
export const waitForWorkers = async (client: Pick<Client, 'agents'>, patienceMs = 10_000): Promise<void> => {
  for (const until = Date.now() + patienceMs; Date.now() < until; await sleep(50)) {
    const { workers } = await client.agents();
    if (workers.length > 0 && workers.every(({ runtimes }) => runtimes.length > 0)) return;
  }
};

/** Ends processes that may not be our children: SIGTERM, and SIGKILL after `graceMs`. Returns who was killed. */
export const endProcesses = async (processes: readonly FleetProcess[], graceMs: number): Promise<string[]> => {
  for (const one of processes) signalIf(one, 'SIGTERM');
  const deadline = Date.now() + graceMs;
  while (Date.now() < deadline && processes.some(lives)) await sleep(25);
  const stubborn = processes.filter(lives);
  for (const one of stubborn) signalIf(one, 'SIGKILL');
  while (stubborn.some(lives)) await sleep(25);
  return stubborn.map(({ name }) => name);
};

/** Somebody else's server on the gateway's port might answer `/ready` for it. */
const demandFree = async (port: number): Promise<void> => {
  await demandFreePort(port).catch((cause: unknown) => {
    throw new CommandFailure('config', fail('PORT_TAKEN', { port, host: loopback, setting: 'NEXUS_PORT' }).message, {
      code: 'PORT_TAKEN',
      advice: ['Or: nexus up --port 0, which takes a free one.'],
      cause,
    });
  });
};

// --- starting ----------------------------------------------------------------------------------

type Plan = { name: string; service: string; port: number; log: string };
type Started = { process: FleetProcess; child: ChildProcess; ended: EndedService | null };

/** Everything but the gateway listens on free ports; what they are stands in fleet.json and in the presence. */
const planProcesses = async ({ workers, port, only }: LaunchOptions, logs: string): Promise<Plan[]> => {
  const all = serviceName.options.flatMap((service): { name: string; service: string }[] =>
    service !== 'worker-agent'
      ? [{ name: service, service }]
      : Array.from({ length: workers }, (_, at) => ({ name: at === 0 ? service : `${service}-${at + 1}`, service })),
  );
  const names = all.filter(({ name }) => only === undefined || only.includes(name));
  return Promise.all(
    names.map(async ({ name, service }) => ({
      name,
      service,
      port: service === 'gateway' && port !== 0 ? port : await freePort(),
      log: join(logs, `${name}.log`),
    })),
  );
};

const start = (plan: Plan, options: LaunchOptions): Started => {
  const leash = options.attached
    ? ['--import', pathToFileURL(join(import.meta.dirname, 'follow-parent.mjs')).href]
    : [];
  const log = openSync(plan.log, 'a');
  // A session of its own: Ctrl-C on the terminal reaches us, and we end the services in order.
  const child = spawn(process.execPath, [...nodeFlags, ...leash, scriptOf(plan, options)], {
    detached: true,
    stdio: ['ignore', log, log, ...(options.attached ? (['pipe'] as const) : [])],
    env: environmentOf(plan, options),
    cwd: projectRoot,
  });
  closeSync(log);
  const process_ = { name: plan.name, pid: child.pid ?? 0, identity: '', port: plan.port, log: plan.log };
  process_.identity = identityOf(process_.pid) ?? '';
  return { process: process_, child, ended: null };
};

const scriptOf = ({ service }: Plan, { servicesFolder = join(projectRoot, 'services') }: LaunchOptions): string =>
  join(servicesFolder, service, 'main.ts');

const cacheOf = ({ environment = {} }: LaunchOptions): string =>
  environment.NODE_COMPILE_CACHE ?? inheritedEnvironment(['NODE_COMPILE_CACHE']).NODE_COMPILE_CACHE ?? codeCache;

const forFinalizer = ['NEXUS_GIT_CREDENTIALS', 'NEXUS_GIT_CREDENTIALS_FILE'];
const forGateway = ['NEXUS_TOKEN', 'NEXUS_TOKEN_OPERATE', 'NEXUS_TOKEN_READ'].flatMap((name) => [name, `${name}_FILE`]);

const environmentOf = ({ service, port }: Plan, options: LaunchOptions) => {
  const { home, prefix, environment } = options;
  const merged: Record<string, string> = {
    ...nodeEnvironment,
    ...inheritedEnvironment(['*']),
    NEXUS_PREFIX: prefix,
    NODE_COMPILE_CACHE: cacheOf(options),
    ...environment,
  };
  const denied = [
    ...(service === 'gateway' ? [] : forGateway),
    ...(service === 'gateway' || service === 'finalizer' ? [] : forFinalizer),
  ];
  for (const name of denied) delete merged[name];
  return { ...merged, NEXUS_HOME: home, [service === 'gateway' ? 'NEXUS_PORT' : 'NEXUS_HEALTH_PORT']: String(port) };
};

// --- ready, or dead ----------------------------------------------------------------------------

const waitReady = async (
  one: Started,
  host: string,
  deadline: number,
  signal: AbortSignal | undefined,
): Promise<void> => {
  const { name, port, log } = one.process;
  while (!(await answersReady(`http://${host}:${port}/ready`))) {
    signal?.throwIfAborted();
    if (one.ended) throw notUp(`${name} ended ${howEnded(one.ended)} before it was ready.`, log, one.ended.code);
    if (Date.now() > deadline) throw notUp(`${name} was not ready in time.`, log, null);
    await sleep(30);
  }
};

/** Where a process of the fleet is reached from this machine. */
const hostOf = ({ name }: FleetProcess, { host = loopback }: LaunchOptions): string => {
  if (name !== 'gateway' || everywhere.includes(host)) return loopback;
  return host.includes(':') ? `[${host}]` : host;
};
const loopback = '127.0.0.1';
const everywhere = ['0.0.0.0', '::', 'localhost'];

const answersReady = async (url: string): Promise<boolean> => {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(2000) });
    await response.body?.cancel();
    return response.ok;
  } catch {
    return false;
  }
};

/** Where it said why, that alone: before it stands only what earlier starts have logged. */
const notUp = (message: string, log: string, code: number | null): CommandFailure => {
  const why = code === null ? [] : lastWords(log);
  const [head, lines] = why.length > 0 ? ['It said', why] : ['Its last log lines', lastLines(log, 12)];
  return new CommandFailure(code === 78 ? 'config' : 'unavailable', message, {
    code: 'SERVICE_NOT_READY',
    advice: [`${head} (${log}):`, ...lines.map((line) => `  ${line}`)],
  });
};

/** `with exit code 1`, `by SIGKILL` */
export const howEnded = ({ code, signal }: Pick<EndedService, 'code' | 'signal'>): string =>
  signal === null ? `with exit code ${code}` : `by ${signal}`;

// --- up ----------------------------------------------------------------------------------------

const fleetOf = (started: Started[], options: LaunchOptions): Fleet => {
  const listeners: ((ended: EndedService) => void)[] = [];
  let stopping = false;
  for (const one of started) {
    one.child.on('error', (error) => ended(one, null, error.message));
    one.child.on('exit', (code, signal) => ended(one, code, signal));
    if (!options.attached) one.child.unref();
  }
  const ended = (one: Started, code: number | null, signal: string | null) => {
    if (one.ended) return;
    const { name, log } = one.process;
    one.ended = { name, code, signal, log, lines: lastLines(log, 12) };
    if (!stopping) for (const listener of listeners) listener(one.ended);
  };
  const gateway = started.find(({ process: { name } }) => name === 'gateway');
  return {
    state: {
      version: 1,
      started_at: new Date().toISOString(),
      url: gateway ? `http://${hostOf(gateway.process, options)}:${gateway.process.port}` : '',
      prefix: options.prefix,
      processes: started.map(({ process: { ...one } }) => one),
    },
    onDeath: (listener) => {
      listeners.push(listener);
    },
    stop: async (graceMs = 20_000) => {
      stopping = true;
      return endProcesses(
        started.map((one) => one.process),
        graceMs,
      );
    },
  };
};

const signalIf = (one: FleetProcess, signal: NodeJS.Signals): void => {
  if (!lives(one)) return;
  try {
    process.kill(one.pid, signal);
  } catch {
    // It ended between the two looks.
  }
};
