/** `nexus answer ID "…"`: a person's answer to what an agent asked. */
import type { Command } from 'commander';
import { nexus } from '../command-word.ts';
import type { Act } from '../program.ts';
import type { Tools } from '../tools.ts';

export const addAnswer = (program: Command, act: Act): void => {
  program
    .command('answer')
    .description('answer what an agent of a task has asked')
    .argument('<id>', 'the id of the task')
    .argument('<answer>', 'what it is told')
    .option('--question <id>', 'which one (q1, q2, …); left out, the only one that is open')
    .addHelpText(
      'after',
      `
\`nexus tasks --waiting\` lists what was asked. The answer is in the prompt of every attempt that begins from now on; a
subtask that waits for it goes on at once.

Examples:
  nexus answer add-csv-export-x7k2p9 "Semicolons; our customers open it in Excel."
  nexus answer add-csv-export-x7k2p9 --question q2 "No."`,
    )
    .action(act(answer));
};

const answer = async (
  { client, output }: Tools,
  id: string,
  text: string,
  { question }: { question?: string },
): Promise<undefined> => {
  const asked = { answer: text, ...(question === undefined ? {} : { question_id: question }) };
  const answered = await (await client()).answer(id, asked);
  output.document(answered);
  output.say(`Answered: ${answered.questions.join(', ')} of ${id}. \`${nexus} task ${id}\` shows how it goes on.`);
};
