/** `nexus cancel ID` */
import type { Command } from 'commander';
import { nexus } from '../command-word.ts';
import type { Act } from '../program.ts';
import type { Tools } from '../tools.ts';

export const addCancel = (program: Command, act: Act): void => {
  program
    .command('cancel')
    .description('cancel a task: its agents end, nothing of it is released')
    .argument('<id>', 'the id of the task')
    .option('--reason <text>', 'why; it stands in the task')
    .addHelpText('after', '\nExample:\n  nexus cancel add-csv-export-x7k2p9 --reason "asked for the wrong thing"')
    .action(act(cancel));
};

const cancel = async ({ client, output }: Tools, id: string, { reason }: { reason?: string }): Promise<undefined> => {
  const answer = await (await client()).cancel(id, reason);
  output.document(answer);
  output.say(`${answer.task_id} is ${answer.status}. \`${nexus} task ${answer.task_id}\` tells when it is done.`);
};
