/** `nexus stop`: the whole fleet, or a part of it. */
import type { Command } from 'commander';
import { nexus } from '../command-word.ts';
import { type HoldOptions, scopeOf, withScope } from '../control-scope.ts';
import { CommandFailure, type Exit, toFailure } from '../exit-codes.ts';
import type { Act } from '../program.ts';
import { type Confirmation, command } from '../stop.ts';
import { endHere } from '../stop-here.ts';
import type { Tools } from '../tools.ts';
import { partWords } from './hold.ts';
import { count } from './tasks.ts';

type StopOptions = HoldOptions & { local?: boolean; wait: number };

export const addStop = (program: Command, act: Act): void => {
  withScope(
    program
      .command('stop')
      .description('stop the fleet, or a part of it: agent processes end, nothing comes back by itself'),
    'the whole fleet (needed, so that nobody stops it by a slip)',
  )
    .option('--local', 'without Redis: end the agent processes of this fleet on this machine')
    .option('--wait <seconds>', 'how long to wait for the workers to confirm', count, 10)
    .addHelpText(
      'after',
      `
Work is checkpointed; \`nexus resume\` lets it go on. Exit code 1 if something outlived the stop or a worker did
not confirm.

Examples:
  nexus stop --all
  nexus stop --task add-csv-export-x7k2p9
  nexus stop --all --local      when Redis cannot be reached`,
    )
    .action(act(stop));
};

const stop = async (tools: Tools, options: StopOptions): Promise<Exit> => {
  const scope = scopeOf(options, 'stop');
  if (options.local) {
    if (scope !== null) {
      throw new CommandFailure('usage', 'Without Redis nobody tells what belongs to a part: nexus stop --all --local');
    }
    return stopHere(tools);
  }
  const confirmation = await command(tools, 'STOP_ALL', scope, options.wait * 1000).catch(orHere);
  tools.output.document(confirmation);
  tools.output.say(...stopLines(confirmation));
  const { silent, running, survivors, gone, here } = confirmation;
  return [silent, running, survivors, gone, here].every((left) => left.length === 0) ? 'ok' : 'failed';
};

/** Without Redis nobody can be told; what runs on this machine can be ended all the same. */
const orHere = (thrown: unknown): never => {
  const failure = toFailure(thrown);
  // Without Redis there is no token to be had either, and a gateway may wait longer than a person.
  if (!/^REDIS_|^UNAUTHENTICATED$|^GATEWAY_SILENT$/.test(failure.code)) throw failure;
  const advice = [...failure.advice, 'On each machine, without Redis: nexus stop --all --local'];
  throw new CommandFailure(failure.exit, failure.message, { code: failure.code, advice, cause: thrown });
};

const stopLines = (confirmation: Confirmation): string[] => {
  const { epoch, through, scope, confirmed, silent, running, survivors, gone, here } = confirmation;
  const untold = here.filter((pid) => !survivors.some((one) => one.pid === pid));
  const told = through === 'redis' ? ', told through Redis: no gateway answers' : '';
  const what = scope === null ? `The fleet is stopped (epoch ${epoch})` : `${partWords(scope)} is stopped`;
  return [
    `${what}${told}.`,
    ...(scope === null ? fleetLines(confirmed, silent) : []),
    ...running.map(
      ({ task_id, subtask_id, agent_id, instance_id, host }) =>
        `  still runs: ${subtask_id} of ${task_id} (${agent_id}) at ${instance_id} on ${host}`,
    ),
    ...survivors.map(
      ({ instance_id, host, pid }) => `  survived: process ${pid} of ${instance_id} on ${host}; there: kill -9 ${pid}`,
    ),
    ...gone.map(
      ({ instance_id, host, pid }) =>
        `  died meanwhile: ${instance_id} (process ${pid} on ${host}); its leash ends its agents. ` +
        `To be sure, on that machine: ${nexus} stop --all --local`,
    ),
    ...(untold.length === 0
      ? []
      : [`  still lives on this machine: process ${untold.join(', ')}; to end it: ${nexus} stop --all --local`]),
    `  ${nexus} resume ${scope === null ? '--all' : partOption(scope)} lets the work go on.`,
  ];
};

const partOption = (scope: NonNullable<Confirmation['scope']>): string =>
  Object.entries(scope)
    .map(([kind, id]) => `--${kind} ${id}`)
    .join('');

const fleetLines = (confirmed: string[], silent: Confirmation['silent']): string[] => [
  confirmed.length === 0 && silent.length === 0
    ? '  no worker is alive, so nothing ran'
    : `  confirmed by ${confirmed.length} of ${confirmed.length + silent.length}: ${confirmed.join(', ') || 'nobody'}`,
  ...silent.map(
    ({ instance_id, host, pid }) =>
      `  silent: ${instance_id} (process ${pid} on ${host}); on that machine: ${nexus} stop --all --local`,
  ),
];

/** Needs neither Redis nor a gateway. */
const stopHere = async ({ config, output }: Tools): Promise<Exit> => {
  const { ended, survivors } = await endHere({ home: config.home, prefix: config.fabric.prefix });
  output.document({ ended, survivors });
  output.say(
    ended.length === 0 ? 'No agent process of this fleet runs on this machine.' : `Ended here: ${ended.join(', ')}`,
    ...survivors.map((pid) => `  survived: process ${pid}; kill -9 ${pid}`),
  );
  if (ended.length > 0)
    output.say(`  A worker that is alive takes up its work again: ${nexus} stop --all, or ${nexus} down.`);
  return survivors.length === 0 ? 'ok' : 'failed';
};
