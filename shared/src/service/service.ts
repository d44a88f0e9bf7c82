/**
 * One way to run a service: `serve(defineService({ … }))`.
 *
 * Boot, in this order: settings (all problems together, exit 78) → log and meters → Redis (exit 69 without) →
 * health server → the service's own `open()` → the loop that reads. End, on SIGTERM or SIGINT: not ready any
 * more → drain (what runs may end within the grace, then it is checkpointed and given back) → the service's
 * own `close()` → goodbye. A second signal ends at once.
 *
 * To write a service: `npm run new-service <name>`.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { type Bus, type HandlersOf, openBus, type Schedule } from '@nexus/shared/bus';
import {
  type ConfigDefinition,
  type ConfigOf,
  defineConfig,
  demandApart,
  type FabricConfig,
  fabricConfig,
  is,
  loadConfig,
  makeshiftWarning,
  secretValues,
  setting,
} from '@nexus/shared/config';
import { type AppError, causesOf, fail, toAppError } from '@nexus/shared/errors';
import type { ServiceName } from '@nexus/shared/messages/domain';
import { type Log, type Meters, openLog, openMeters } from '@nexus/shared/telemetry';
import { answersReady, openHealthServer, type ReadyCheck } from './health.ts';
import { limitsOf, rhythmConfig, rhythmProblems } from './rhythm.ts';

/** Settings that every service has beside its own. */
export const serviceConfig = defineConfig({
  healthHost: setting('NEXUS_HEALTH_HOST', is.text, 'The address that health and metrics are served on.', {
    default: '127.0.0.1',
  }),
  healthPort: setting(
    'NEXUS_HEALTH_PORT',
    is.port,
    'The port for /health, /ready and /metrics; 0 takes any free one.',
    {
      default: '0',
    },
  ),
  drainGrace: setting('NEXUS_DRAIN_GRACE', is.duration, 'How long running work may take to end after SIGTERM.', {
    default: '5s',
  }),
  journalMax: setting('NEXUS_JOURNAL_MAX', is.count(1000, 10_000_000), 'Entries that the journal keeps.', {
    default: '100000',
  }),
  retryBase: setting(
    'NEXUS_RETRY_BASE',
    is.duration,
    'The first pause before a retry; each further one is twice as long.',
    {
      default: '1s',
    },
  ),
  cutOff: setting(
    'NEXUS_CUT_OFF',
    is.duration,
    'Without Redis for so long, running agents are checkpointed and ended.',
    {
      default: '15m',
    },
  ),
  ...rhythmConfig,
  sweepEvery: setting('NEXUS_SWEEP_EVERY', is.duration, 'How often parked messages are swept for lost alarms.', {
    default: '5s',
  }),
});

type Shared = typeof fabricConfig & typeof serviceConfig;

export type ServiceContext<C extends ConfigDefinition> = {
  config: ConfigOf<C & Shared>;
  bus: Bus;
  log: Log;
  meters: Meters;
  /** Adds a condition to `/ready`: null if it holds, else what is missing. */
  ready(name: string, check: ReadyCheck): void;
};

/** What `open()` makes is handed to every handler; `close` is called after the drain. */
export type ServiceTools = {
  close?: () => Promise<void>;
  /** How many deliveries more this process can hold just now, asked before each read. */
  room?: () => number;
  /** True when no process of what is held lives any more, though it may still be saved. */
  ended?: () => boolean;
};

export type ServiceDefinition<S extends ServiceName, C extends ConfigDefinition, T extends ServiceTools> = {
  name: S;
  config: C;
  /** What is wrong with settings only together, a line each; one that is wrong by itself is undefined here. */
  check?: (config: Partial<ConfigOf<C & Shared>>) => string[];
  /** `none`: the service reads no inbox and serves its own health (the gateway). */
  mode: 'take' | 'stream' | 'none';
  slots: (config: ConfigOf<C & Shared>) => number;
  /** Messages that are published every so often, once for the whole fleet, whoever of its instances lives. */
  schedules?: (config: ConfigOf<C & Shared>) => Schedule[];
  open: (context: ServiceContext<C>) => Promise<T>;
  handlers: HandlersOf<S, NoInfer<T>>;
};

export const defineService = <S extends ServiceName, C extends ConfigDefinition, T extends ServiceTools>(
  definition: ServiceDefinition<S, C, T>,
): ServiceDefinition<S, C, T> => definition;

/** sysexits(3): what a supervisor can tell apart. */
const exitCodes = { configuration: 78, unavailable: 69, software: 70 } as const;

/** Runs a service until a signal ends it. Never returns normally before that; exits the process. */
export const serve = async <S extends ServiceName, C extends ConfigDefinition, T extends ServiceTools>(
  definition: ServiceDefinition<S, C, T>,
): Promise<void> => {
  try {
    // Before anything else: a signal that comes during the start ends the service properly once it stands.
    const asked = untilSignal();
    const running = await start(definition);
    setTimeout(collect, collectAfterMs).unref();
    setInterval(collect, collectEveryMs).unref();
    await asked;
    // Without Redis a part of the end may wait for an answer that never comes; claims that lapse are taken over.
    await Promise.race([running.stop(), sleep(running.endWithinMs)]);
    process.exit(0);
  } catch (error) {
    explain(definition.name, toAppError(error));
  }
};

/** By then the first beats have gone out, and what is collected is what nobody needs any more. */
const collectAfterMs = 2000;
/** Rarely enough that its 30 ms are nothing. */
const collectEveryMs = 5 * 60_000;

/**
 * Gives back what the start left: sources, and the makings of schemas; and later what long ago was in use. A service
 * that has little to do makes too little to be collected by itself, and would hold it for hours.
 */
const collect = (): void => {
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
};

type Check = Parameters<typeof loadConfig>[2];
type Running = { endWithinMs: number; stop(): Promise<void> };
/** Beyond the drain's grace, and what an aborted handler needs for its checkpoint. */
const endGraceMs = 2000;

const start = async <S extends ServiceName, C extends ConfigDefinition, T extends ServiceTools>(
  definition: ServiceDefinition<S, C, T>,
): Promise<Running> => {
  checkNode();
  const declared = { ...fabricConfig, ...serviceConfig, ...definition.config };
  const check = (config: Partial<ConfigOf<C & Shared>>): string[] => [
    ...rhythmProblems(config as Parameters<typeof rhythmProblems>[0]),
    ...(definition.check?.(config) ?? []),
  ];
  const config = loadConfig(declared, undefined, check as Check) as ConfigOf<C & Shared>;
  const own = config as unknown as FabricConfig & ConfigOf<typeof serviceConfig>;
  demandApart(own.home);
  const log = openLog(definition.name, own.logLevel, {}, secretValues());
  const warning = makeshiftWarning(own.home);
  if (warning) log.warn(warning);
  const meters = openMeters(definition.name);
  const limits = {
    journalMax: own.journalMax,
    retryBaseMs: own.retryBase,
    sweepMs: own.sweepEvery,
    cutOffMs: own.cutOff,
    ...limitsOf(own),
  };
  const bus = await openBus({ config: own, service: definition.name, log, meters, limits });
  const checks = new Map<string, ReadyCheck>();
  let draining = false;
  checks.set('redis', answersReady(bus));
  checks.set('serving', () => (draining ? 'it is draining' : null));
  const about = { service: definition.name, instance_id: bus.instanceId, bus, meters, checks };
  const health =
    definition.mode === 'none'
      ? null
      : await openHealthServer({ ...about, host: own.healthHost, port: own.healthPort });
  if (health) bus.present({ port: health.port });
  const tools = await definition.open({ config, bus, log, meters, ready: (name, check) => checks.set(name, check) });
  if (definition.mode !== 'none') {
    let told = false;
    checks.set('told', () => {
      told ||= bus.presented();
      return told ? null : 'the fleet has not been told yet what it can do';
    });
    const { mode, handlers } = definition;
    bus.consume({ mode, slots: definition.slots(config), room: tools.room, ended: tools.ended, handlers, tools });
  }
  bus.schedule(definition.schedules?.(config) ?? []);
  log.info({ instance_id: bus.instanceId, port: health?.port }, `${definition.name} serves`);
  return {
    endWithinMs: own.drainGrace + own.abortGrace + endGraceMs,
    stop: async () => {
      draining = true;
      log.info({ busy: bus.busy() }, `${definition.name} drains`);
      // A service that reads no inbox is a server: it ends its requests while the bus still stands.
      if (definition.mode === 'none') await tools.close?.();
      await bus.close(own.drainGrace);
      if (definition.mode !== 'none') await tools.close?.();
      await health?.close();
      log.info(`${definition.name} has ended`);
    },
  };
};

const nodeWanted = 24;
const checkNode = (): void => {
  const { node } = process.versions;
  if (Number(node.split('.')[0]) < nodeWanted) throw fail('NODE_TOO_OLD', { version: node, wanted: nodeWanted });
};

const untilSignal = (): Promise<void> =>
  new Promise((resolve) => {
    let asked = false;
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      process.on(signal, () => {
        if (asked) process.exit(130);
        asked = true;
        resolve();
      });
    }
  });

/** The last words of a service that cannot start: one readable paragraph, and an exit code that says which kind. */
const explain = (name: string, error: AppError): never => {
  const causes = causesOf(error).slice(1);
  const lines = [`${name} cannot start (${error.code}): ${error.message}`, `What to do: ${error.entry.operator}`];
  if (error.code === 'UNEXPECTED' || error.code === 'BUG') lines.push(...causes.map((cause) => `  caused by ${cause}`));
  process.stderr.write(`${lines.join('\n')}\n`);
  const codes: Partial<Record<AppError['code'], number>> = {
    CONFIG_INVALID: exitCodes.configuration,
    HOME_BELOW_MODULES: exitCodes.configuration,
    PORT_TAKEN: exitCodes.configuration,
    DEFINITION_INVALID: exitCodes.configuration,
    REDIS_UNREACHABLE: exitCodes.unavailable,
    REDIS_UNFIT: exitCodes.unavailable,
    REDIS_LOADING: exitCodes.unavailable,
    REDIS_READONLY: exitCodes.unavailable,
    REDIS_DISK: exitCodes.unavailable,
    REDIS_REPLICAS: exitCodes.unavailable,
    BUS_KEY_TYPE: exitCodes.unavailable,
  };
  process.exit(codes[error.code] ?? exitCodes.software);
};
