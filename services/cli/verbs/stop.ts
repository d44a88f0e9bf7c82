/** `nexus stop --all`, and `nexus resume --all` or of one part. */
import type { ControlScope } from '@nexus/shared/client';
import type { Command } from 'commander';
import { resumeWords } from '../doctor.ts';
import { CommandFailure, type Exit, toFailure } from '../exit-codes.ts';
import type { Act } from '../program.ts';
import { type Confirmation, command } from '../stop.ts';
import { endHere } from '../stop-here.ts';
import type { Tools } from '../tools.ts';
import { count } from './tasks.ts';

type StopOptions = { all?: boolean; local?: boolean; wait: number };
type ResumeOptions = { all?: boolean } & ControlScope;

export const addStop = (program: Command, act: Act): void => {
  program
    .command('stop')
    .description('stop the fleet: every agent process ends, nothing comes back by itself')
    .option('--all', 'the whole fleet (needed, so that nobody stops it by a slip)')
    .option('--local', 'without Redis: end the agent processes of this fleet on this machine')
    .option('--wait <seconds>', 'how long to wait for the workers to confirm', count, 10)
    .addHelpText(
      'after',
      `
Work is checkpointed; \`nexus resume --all\` lets it go on. Exit code 1 if something outlived the stop or a
worker did not confirm.

Examples:
  nexus stop --all
  nexus stop --all --local      when Redis cannot be reached`,
    )
    .action(act(stop));
};

export const addResume = (program: Command, act: Act): void => {
  program
    .command('resume')
    .description('let a stopped or paused fleet, or a part of it, go on from its checkpoints')
    .option('--all', 'the whole fleet; a part that is held by itself stays held, and is named')
    .option('--task <id>', 'one task')
    .option('--agent <id>', 'one agent')
    .option('--service <name>', 'one service')
    .option('--instance <id>', 'one instance, as `nexus status --json` names it')
    .addHelpText('after', '\nExamples:\n  nexus resume --all\n  nexus resume --task add-csv-export-x7k2p9')
    .action(act(resume));
};

const stop = async (tools: Tools, options: StopOptions): Promise<Exit> => {
  if (!options.all) {
    throw new CommandFailure('usage', 'This stops the whole fleet, so say it: nexus stop --all', {
      advice: ['One task alone: nexus cancel ID'],
    });
  }
  if (options.local) return stopHere(tools);
  const confirmation = await command(tools, 'STOP_ALL', options.wait * 1000).catch(orHere);
  tools.output.document(confirmation);
  tools.output.say(...stopLines(confirmation));
  return confirmation.silent.length + confirmation.survivors.length === 0 ? 'ok' : 'failed';
};

const resume = async (tools: Tools, options: ResumeOptions): Promise<Exit> => {
  const scope = scopeOf(options);
  const { state, epoch, through, scopes } = await command(tools, 'RESUME_ALL', 0, scope);
  tools.output.document({ state, epoch, through, scopes });
  tools.output.say(...resumeLines(scope, { state, epoch, scopes }));
  return 'ok';
};

/** Without Redis nobody can be told; what runs on this machine can be ended all the same. */
const orHere = (thrown: unknown): never => {
  const failure = toFailure(thrown);
  if (failure.code !== 'REDIS_UNREACHABLE') throw failure;
  const advice = [...failure.advice, 'On each machine, without Redis: nexus stop --all --local'];
  throw new CommandFailure(failure.exit, failure.message, { code: failure.code, advice, cause: thrown });
};

/** What is to go on: null is the whole fleet. */
const scopeOf = ({ all, task, agent, service, instance }: ResumeOptions): ControlScope | null => {
  const named = Object.entries({ task, agent, service, instance }).filter(([, id]) => id !== undefined);
  if (named.length + (all ? 1 : 0) === 1) return all ? null : (Object.fromEntries(named) as ControlScope);
  throw new CommandFailure('usage', 'Say what is to go on, and one thing only: nexus resume --all', {
    advice: ['One part alone: nexus resume --task ID, --agent ID, --service NAME or --instance ID'],
  });
};

/** What goes on, and what still does not. */
const resumeLines = (
  scope: ControlScope | null,
  { state, epoch, scopes }: Pick<Confirmation, 'state' | 'epoch' | 'scopes'>,
): string[] => {
  const [kind, id] = Object.entries(scope ?? {})[0] ?? [];
  const held = Object.entries(scopes).filter(([, is]) => is !== 'running');
  return [
    ...(kind === undefined ? [] : [`The ${kind} ${id} is no longer held by itself.`]),
    ...(kind === undefined || state !== 'running' ? [`The fleet is ${state} (epoch ${epoch}).`] : []),
    ...held.map(([part, is]) => `  ${part} is still ${is}: nexus resume ${resumeWords(part)}`),
    ...(kind !== undefined && state !== 'running' ? ['  nexus resume --all lets the fleet go on.'] : []),
  ];
};

const stopLines = ({ epoch, through, confirmed, silent, survivors }: Confirmation): string[] => [
  `The fleet is stopped (epoch ${epoch})${through === 'redis' ? ', told through Redis: no gateway answers' : ''}.`,
  confirmed.length === 0 && silent.length === 0
    ? '  no worker is alive, so nothing ran'
    : `  confirmed by ${confirmed.length} of ${confirmed.length + silent.length}: ${confirmed.join(', ') || 'nobody'}`,
  ...silent.map((instance) => `  silent: ${instance}; on its machine: nexus stop --all --local`),
  ...survivors.map(({ instance_id, pid }) => `  survived: process ${pid} of ${instance_id}; kill -9 ${pid}`),
  '  nexus resume --all lets the work go on.',
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
    output.say('  A worker that is alive takes up its work again: nexus stop --all, or nexus down.');
  return survivors.length === 0 ? 'ok' : 'failed';
};
