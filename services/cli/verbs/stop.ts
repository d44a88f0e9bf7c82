/** `nexus stop --all` and `nexus resume --all` */
import type { Command } from 'commander';
import { CommandFailure, type Exit } from '../exit-codes.ts';
import type { Act } from '../program.ts';
import { type Confirmation, command } from '../stop.ts';
import { endHere } from '../stop-here.ts';
import type { Tools } from '../tools.ts';
import { count } from './tasks.ts';

type StopOptions = { all?: boolean; local?: boolean; wait: number };

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
    .description('let a stopped or paused fleet go on from its checkpoints')
    .option('--all', 'the whole fleet')
    .addHelpText('after', '\nExample:\n  nexus resume --all')
    .action(act(resume));
};

const stop = async (tools: Tools, options: StopOptions): Promise<Exit> => {
  demandAll(options, 'stop');
  if (options.local) return stopHere(tools);
  const confirmation = await command(tools, 'STOP_ALL', options.wait * 1000);
  tools.output.document(confirmation);
  tools.output.say(...stopLines(confirmation));
  return confirmation.silent.length + confirmation.survivors.length === 0 ? 'ok' : 'failed';
};

const resume = async (tools: Tools, options: { all?: boolean }): Promise<Exit> => {
  demandAll(options, 'resume');
  const { state, epoch, through } = await command(tools, 'RESUME_ALL', 0);
  tools.output.document({ state, epoch, through });
  tools.output.say(`The fleet is ${state} (epoch ${epoch}).`);
  return 'ok';
};

const demandAll = ({ all }: { all?: boolean }, verb: string): void => {
  if (all) return;
  throw new CommandFailure('usage', `This ${verb}s the whole fleet, so say it: nexus ${verb} --all`, {
    advice: ['One task alone: nexus cancel ID'],
  });
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
