/** `nexus status`: the fleet as a whole, from the API and from what was started here. */
import { type Bus, stateUnder } from '@nexus/shared/bus';
import { ClientProblem, type System } from '@nexus/shared/client';
import type { Command } from 'commander';
import { nexus } from '../command-word.ts';
import type { Exit } from '../exit-codes.ts';
import { type FleetProcess, lives, readFleet } from '../fleet-state.ts';
import { byWhom, partLines } from '../held-lines.ts';
import { ago, duration, many, oneLine, table } from '../output.ts';
import type { Act } from '../program.ts';
import type { Tools } from '../tools.ts';
import { waitingLines } from '../waiting-lines.ts';
import { deathLines } from './up.ts';

export const addStatus = (program: Command, act: Act): void => {
  program
    .command('status')
    .description('show the state of the fleet and of its services')
    .addHelpText(
      'after',
      `
Where no gateway answers, what Redis tells is shown, and the exit code is 69.

Examples:
  nexus status
  nexus status --json`,
    )
    .action(act(status));
};

const status = async ({ client, config, output, url, withBus }: Tools): Promise<Exit> => {
  const died = (readFleet(config.home)?.processes ?? []).filter((one) => !lives(one));
  try {
    const system = await (await client()).system();
    output.document({ ...system, url, died_here: died.map(({ name }) => name) });
    output.say(...systemLines(system, url, Date.now()), ...diedLines(died));
    return 'ok';
  } catch (error) {
    if (!(error instanceof ClientProblem) || error.status !== 0) throw error;
    // With --json the one document is that of the failure.
    const told = output.json ? null : await withBus(toldByRedis).catch(() => null);
    if (told !== null) output.say('No gateway answers; this is what Redis tells:', '', ...told(Date.now()));
    output.note(...diedLines(died));
    throw error;
  }
};

/** What can be told of a fleet without its gateway: who holds it, who is alive, what waits where. */
const toldByRedis = async (bus: Bus) => {
  const [control, instances, backlog] = await Promise.all([bus.control.read(), bus.presences(), bus.counts()]);
  return (now: number): string[] => [
    `The fleet is ${control.state} (epoch ${control.epoch})${byWhom(control, now)}`,
    ...scopeLines(control, now),
    ...backlogLines({ backlog }, now),
    '',
    ...instanceLines(
      instances.map((one) => ({ ...one, state: stateUnder(control.scopes, one) })),
      now,
    ),
  ];
};

const systemLines = (system: System, url: string, now: number) => {
  const { control, fabric, instances, open_tasks, version } = system;
  return [
    `NEXUS ${version} at ${url}: ${control.state} (epoch ${control.epoch})${byWhom(control, now)}`,
    ...scopeLines(control, now),
    `fabric ${fabric.status}: ${fabric.says}`,
    many(open_tasks, 'open task'),
    ...backlogLines(system, now),
    ...section('Waiting for a person:', system.waiting.flatMap(waitingLines)),
    ...section('Parked:', parkedLines(system, now)),
    '',
    ...instanceLines(instances, now),
  ];
};

/** What is held, and the last words that were refused. */
const scopeLines = ({ refusals = [], ...held }: System['control'], now: number): string[] => [
  ...partLines(held, now),
  ...refusals.flatMap(({ at, text, says }) => [
    `  refused ${ago(at, now)}, said on the control channel: ${oneLine(text)}`,
    `    ${oneLine(says)}`,
  ]),
];

const instanceLines = (instances: System['instances'], now: number): string[] => {
  const rows = instances.map((one) => [
    one.service,
    one.host,
    String(one.pid),
    stateOf(one),
    one.slots === 0 ? '-' : `${one.busy} of ${one.slots}`,
    ago(one.started_at, now),
  ]);
  return [
    ...instances.flatMap(({ instance_id, refuses }) => (refuses ? [`${instance_id} takes no work: ${refuses}`] : [])),
    ...table([['SERVICE', 'HOST', 'PID', 'STATE', 'BUSY', 'STARTED'], ...rows]),
  ];
};

/** What it said last stands no more once it beats no more. */
const stateOf = ({ state, silent_since }: System['instances'][number]): string =>
  silent_since === undefined ? state : `silent since ${silent_since.slice(0, 19)}Z`;

/** Only what somebody may have to do something about. */
const backlogLines = ({ backlog }: Pick<System, 'backlog'>, now: number): string[] => {
  const waiting = Object.entries(backlog.inboxes).filter(([, inbox]) => inbox.waiting > 0);
  const lines = waiting.map(([service, inbox]) => `${inbox.waiting} waiting for ${service}, ${inbox.held} held`);
  if (backlog.dead > 0) {
    lines.push(
      `${many(backlog.dead, 'dead letter')}, the oldest died ${ago(backlog.oldest_dead_at, now)}: ${nexus} dlq ls`,
    );
  }
  return lines;
};

const section = (title: string, lines: string[]): string[] =>
  lines.length === 0 ? [] : ['', title, ...lines.map((line) => `  ${line}`)];

const parkedLines = ({ parked, backlog }: System, now: number): string[] => {
  const rows = parked.map(({ type, task_id, subtask_id, until, waits_for }) => {
    const leftMs = Date.parse(until) - now;
    const left = leftMs <= 0 ? 'due' : `in ${duration(leftMs).replace(/\.\d/, '')}`;
    return [type, task_id ?? '-', subtask_id ?? '-', `${until.slice(0, 19)}Z`, left, oneLine(waits_for ?? '')];
  });
  const more = backlog.parked - parked.length;
  return [...table(rows), ...(more > 0 ? [`… and ${more} more`] : [])];
};

const diedLines = (died: FleetProcess[]): string[] =>
  died.length === 0
    ? []
    : ['', 'Started here, and dead since:', ...died.flatMap(deathLines).map((line) => `  ${line}`)];
