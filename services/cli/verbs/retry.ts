/** `nexus retry ID`: a person's answer to a task that waits for one. */
import type { Command } from 'commander';
import { nexus } from '../command-word.ts';
import type { Act } from '../program.ts';
import type { Tools } from '../tools.ts';

type RetryOptions = { subtask?: string; note?: string };

export const addRetry = (program: Command, act: Act): void => {
  program
    .command('retry')
    .description('let a task that waits for a person try again, from the first rung of its ladder')
    .argument('<id>', 'the id of the task')
    .option('--subtask <id>', 'only this one; left out, all that wait')
    .option('--note <text>', 'what the agent is told')
    .addHelpText(
      'after',
      `
\`nexus tasks --waiting\` lists the tasks that wait. Nobody has to answer with a retry: \`nexus cancel ID\` ends one.

Examples:
  nexus retry add-csv-export-x7k2p9
  nexus retry add-csv-export-x7k2p9 --subtask export --note "The column is called total_eur."`,
    )
    .action(act(retry));
};

const retry = async ({ client, output }: Tools, id: string, { subtask, note }: RetryOptions): Promise<undefined> => {
  const asked = { ...(subtask === undefined ? {} : { subtask_id: subtask }), ...(note === undefined ? {} : { note }) };
  const answer = await (await client()).retry(id, asked);
  output.document(answer);
  output.say(
    `Tried again: ${answer.subtasks.join(', ')} of ${answer.task_id}. \`${nexus} task ${id}\` shows how it goes.`,
  );
};
