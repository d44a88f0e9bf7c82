/** `nexus down`: ends what `nexus up` started, by number and start time, and nothing else. */
import type { Command } from 'commander';
import { inContainer } from '../command-word.ts';
import type { Exit } from '../exit-codes.ts';
import { endProcesses } from '../fleet.ts';
import { forgetFleet, lives, readFleet } from '../fleet-state.ts';
import type { Act } from '../program.ts';
import type { Tools } from '../tools.ts';
import { deathLines } from './up.ts';

const graceMs = 30_000;

export const addDown = (program: Command, act: Act): void => {
  program
    .command('down', { hidden: inContainer })
    .description('end the fleet that `nexus up` started here')
    .addHelpText(
      'after',
      '\nRunning attempts are checkpointed and go on with the next fleet.\n\nExample:\n  nexus down',
    )
    .action(act(down));
};

const down = async ({ config, output }: Tools): Promise<Exit> => {
  const state = readFleet(config.home);
  if (state === null) {
    output.document({ ended: [], killed: [], died_before: [] });
    output.say(`No fleet was started here (${config.home}).`);
    return 'ok';
  }
  const died = state.processes.filter((one) => !lives(one));
  for (const one of died) output.note(`${one.name} had ended before.`, ...deathLines(one).map((line) => `  ${line}`));
  const living = state.processes.filter(lives);
  // Redis last: draining services still settle what they hold.
  const killed = await endProcesses(
    living.filter(({ name }) => name !== 'redis'),
    graceMs,
  );
  killed.push(
    ...(await endProcesses(
      living.filter(({ name }) => name === 'redis'),
      graceMs,
    )),
  );
  forgetFleet(config.home);
  const ended = living.map(({ name }) => name);
  output.document({ ended, killed, died_before: died.map(({ name }) => name) });
  output.say(`Ended: ${ended.join(', ') || 'nothing was alive'}`);
  if (killed.length > 0) output.say(`Killed, because they did not drain: ${killed.join(', ')}`);
  return 'ok';
};
