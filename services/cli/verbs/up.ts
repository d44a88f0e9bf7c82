/** `nexus up`: a whole fleet on this machine, each service as a process of its own. */
import { openClient } from '@nexus/shared/client';
import { demandApart, makeshiftWarning } from '@nexus/shared/config';
import { type Command, InvalidArgumentError } from 'commander';
import { fullCommand, inContainer, nexus } from '../command-word.ts';
import { passwordLines } from '../doctor.ts';
import { CommandFailure, type Exit } from '../exit-codes.ts';
import { endProcesses, type Fleet, howEnded, launchFleet, waitForWorkers } from '../fleet.ts';
import { type FleetProcess, type FleetState, forgetFleet, lives, readFleet, writeFleet } from '../fleet-state.ts';
import { heldLines } from '../held-lines.ts';
import { lastLines } from '../log-lines.ts';
import { many } from '../output.ts';
import { provideRedis } from '../own-redis.ts';
import type { Act } from '../program.ts';
import type { Tools } from '../tools.ts';
import { count } from './tasks.ts';

type Options = { workers?: number; port?: number; rehearsal?: boolean; agentCommand?: string; foreground?: boolean };

export const addUp = (program: Command, act: Act): void => {
  program
    .command('up', { hidden: inContainer })
    .description('start a fleet on this machine, in the background; where one runs, what it lacks')
    .option('--workers <n>', 'how many workers (default NEXUS_WORKERS, else 1)', count)
    .option('--port <n>', 'the port of the gateway (default NEXUS_PORT, else 8080); 0 takes a free one', port)
    .option('--agent-command <cmd>', 'the agent of every task that brings none (NEXUS_AGENT_COMMAND)')
    .option('--rehearsal', 'let tasks bring a scenario (NEXUS_REHEARSAL=on)')
    .option('--foreground', 'stay, and end the fleet with Ctrl-C')
    .addHelpText(
      'after',
      `
What it keeps lies in NEXUS_HOME (where that is, it says), logs in NEXUS_HOME/logs.
\`nexus down\` ends what this started, and nothing else.

Examples:
  nexus up --workers 2 --agent-command "./my-agent --quiet"
  NEXUS_RUNTIME=command nexus up --foreground`,
    )
    .action(act(up));
};

const up = async (tools: Tools, options: Options): Promise<Exit | undefined> => {
  const { config, output } = tools;
  const before = readFleet(config.home);
  if (before?.processes.some(lives)) return tellRunning(tools, before, options);
  // Before a Redis is started for it.
  demandApart(config.home);
  const warning = makeshiftWarning(config.home);
  if (warning) output.note(warning);
  const redis = await provideRedis(config);
  if (redis) output.note(`Redis started on 127.0.0.1:6379 (data in ${config.home}/redis)`);
  output.note(...(await passwordLines(config)));
  const fleet = await launchFleet({
    home: config.home,
    prefix: config.fabric.prefix,
    workers: options.workers ?? config.workers,
    port: options.port ?? config.port,
    host: config.host,
    attached: options.foreground ?? false,
    environment: environmentOf(options),
    signal: tools.signal,
  }).catch(async (error: unknown) => {
    if (redis) await endProcesses([redis], 5000);
    throw error;
  });
  const processes = [...fleet.state.processes, ...(redis ? [redis] : [])];
  const state = { ...fleet.state, started_with: startedWith(options), processes };
  writeFleet(config.home, state);
  await waitForWorkers(openClient({ url: state.url, token: await tools.token() }));
  output.document(state);
  output.say(...upLines(state, config.home), ...(await heldNow(tools, state)));
  return options.foreground ? stay(tools, fleet, redis) : 'ok';
};

const port = (value: string): number => {
  const number = Number(value);
  if (Number.isInteger(number) && number >= 0 && number <= 65_535) return number;
  throw new InvalidArgumentError('Expected a number from 0 to 65535.');
};

const environmentOf = ({ rehearsal, agentCommand }: Options): Record<string, string> => ({
  ...(rehearsal ? { NEXUS_REHEARSAL: 'on' } : {}),
  ...(agentCommand === undefined ? {} : { NEXUS_AGENT_COMMAND: fullCommand(agentCommand) }),
});

const startedWith = ({ rehearsal, agentCommand }: Options): NonNullable<FleetState['started_with']> => ({
  agent_command: agentCommand === undefined ? null : fullCommand(agentCommand),
  rehearsal: rehearsal ?? false,
});

const upLines = ({ url, processes }: FleetState, home: string): string[] => [
  `The fleet is up: ${processes.map(({ name }) => name).join(', ')}`,
  `  API   ${url}   (documentation: ${url}/api/docs)`,
  `  home  ${home}   (hubs, clones, caches, logs)`,
  `  next  ${nexus} run "what you want done", ${nexus} doctor, ${nexus} down`,
];

/**
 * A fleet that is whole is what was asked for, unless other options were. What it lacks is started as the rest was, and
 * told; nothing else is changed.
 */
const tellRunning = async (tools: Tools, state: FleetState, options: Options): Promise<Exit> => {
  const { config, output } = tools;
  const different = differences(state, options);
  if (different.length > 0) {
    throw new CommandFailure('refused', `A fleet runs already, and was not changed: ${different.join('; ')}.`, {
      code: 'FLEET_RUNS',
      advice: ['To start it with these options: nexus down, then nexus up with them again'],
    });
  }
  const dead = state.processes.filter((one) => !lives(one));
  const whole = dead.length === 0 ? state : await startMissing(tools, state, dead);
  output.document({ ...whole, restarted: dead.map(({ name }) => name) });
  if (dead.length > 0) output.say(`Started again, for it had died: ${names(dead)}`);
  output.say(...upLines(whole, config.home), ...(await heldNow(tools, whole)));
  return 'ok';
};

/** A word of before stands, whatever has been started since. Whether the gateway can tell is not what `up` is about. */
const heldNow = async (tools: Tools, { url }: FleetState): Promise<string[]> => {
  const control = await openClient({ url, token: await tools.token() })
    .control()
    .catch(() => null);
  return control === null ? [] : heldLines(control, Date.now());
};

const startMissing = async (tools: Tools, state: FleetState, dead: FleetProcess[]): Promise<FleetState> => {
  const { config, output, signal } = tools;
  output.note(...dead.flatMap(deathLines));
  const { agent_command = null, rehearsal = false } = state.started_with ?? {};
  const living = state.processes.filter(lives);
  const redis = await provideRedis(config);
  const started = await launchFleet({
    home: config.home,
    prefix: state.prefix,
    workers: state.processes.filter(({ name }) => name.startsWith('worker-agent')).length,
    port: Number(new URL(state.url).port),
    host: config.host,
    only: dead.map(({ name }) => name),
    attached: false,
    environment: environmentOf({ rehearsal, ...(agent_command === null ? {} : { agentCommand: agent_command }) }),
    signal,
  }).catch((error: unknown) => {
    if (redis) writeFleet(config.home, { ...state, processes: [...withoutRedis(state.processes), redis] });
    throw error;
  });
  const others = redis ? withoutRedis(living) : living;
  const whole = { ...state, processes: [...others, ...started.state.processes, ...(redis ? [redis] : [])] };
  writeFleet(config.home, whole);
  await waitForWorkers(openClient({ url: state.url, token: await tools.token() }));
  return whole;
};

const withoutRedis = (processes: FleetProcess[]): FleetProcess[] => processes.filter(({ name }) => name !== 'redis');

/** What was asked for and is otherwise in the fleet that runs; what was not asked for may be as it is. */
export const differences = ({ url, processes, started_with }: FleetState, options: Options): string[] => {
  const { workers, port: asked, agentCommand, rehearsal } = options;
  const alive = processes.filter(({ name }) => name.startsWith('worker-agent')).length;
  const taken = Number(new URL(url).port);
  const command = started_with?.agent_command ?? null;
  const told: [boolean, string][] = [
    [workers !== undefined && workers !== alive, `it has ${many(alive, 'worker')}, not ${workers}`],
    [asked !== undefined && asked !== 0 && asked !== taken, `its gateway is on port ${taken}, not ${asked}`],
    [agentCommand !== undefined && fullCommand(agentCommand) !== command, 'it was started with another agent command'],
    [rehearsal === true && started_with?.rehearsal !== true, 'it was started without --rehearsal'],
  ];
  return told.flatMap(([differs, says]) => (differs ? [says] : []));
};

/** The last log lines of a process that is gone. */
export const deathLines = ({ name, log }: FleetProcess): string[] => [
  `${name}, last log lines (${log}):`,
  ...lastLines(log, 8).map((line) => `  ${line}`),
];

const names = (processes: FleetProcess[]): string => processes.map(({ name }) => name).join(', ');

/** Stays until Ctrl-C; a service that dies is told, the others go on. */
const stay = async ({ config, output, signal }: Tools, fleet: Fleet, redis: FleetProcess | null): Promise<Exit> => {
  fleet.onDeath((ended) =>
    output.note(
      `${ended.name} ended ${howEnded(ended)}. Its last log lines:`,
      ...ended.lines.map((line) => `  ${line}`),
    ),
  );
  await new Promise<void>((resolve) => {
    if (signal.aborted) return resolve();
    // A signal alone does not keep a process alive.
    const alive = setInterval(() => {}, 60_000);
    signal.addEventListener('abort', () => {
      clearInterval(alive);
      resolve();
    });
  });
  output.note('draining');
  const killed = await fleet.stop();
  if (redis) await endProcesses([redis], 10_000);
  forgetFleet(config.home);
  output.note(killed.length === 0 ? 'The fleet is down.' : `Killed, because they did not drain: ${killed.join(', ')}`);
  return killed.length === 0 ? 'ok' : 'failed';
};
