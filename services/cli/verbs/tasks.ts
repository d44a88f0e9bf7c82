/** `nexus tasks`: what was asked for, newest first. */
import type { ShownStatus, TaskList } from '@nexus/shared/client';
import { type Command, InvalidArgumentError } from 'commander';
import { nexus } from '../command-word.ts';
import { ago, cut, oneLine, table } from '../output.ts';
import type { Act } from '../program.ts';
import { words } from '../progress.ts';
import type { Tools } from '../tools.ts';
import { waitingLines } from '../waiting-lines.ts';

type Options = { limit: number; status?: string; waiting?: boolean };

export const addTasks = (program: Command, act: Act): void => {
  program
    .command('tasks')
    .description('list tasks, newest first')
    .option('--limit <n>', 'how many', count, 20)
    .option('--status <status>', 'only these, for example in_progress')
    .option('--waiting', 'only those that wait for a person, with what about')
    .addHelpText('after', '\nExamples:\n  nexus tasks --status failed\n  nexus tasks --waiting')
    .action(act(listTasks));
};

const listTasks = async ({ client, output }: Tools, { limit, status, waiting }: Options): Promise<undefined> => {
  const answer = await (await client()).tasks({
    limit,
    ...(status === undefined ? {} : { status: status as ShownStatus }),
    ...(waiting ? { waiting } : {}),
  });
  output.document(answer);
  if (waiting && answer.tasks.length === 0) output.say('No task waits for a person.');
  else output.say(...taskLines(answer, Date.now()), ...(waiting ? waitingOf(answer) : []));
};

const taskLines = ({ tasks, next_offset }: TaskList, now: number): string[] => {
  if (tasks.length === 0) return [`No tasks. Begin one: ${nexus} run "what you want done"`];
  const rows = tasks.map((task) => [
    task.task_id,
    statusOf(task),
    `${task.progress_percentage} %`,
    ago(task.created_at, now),
    cut(oneLine(task.title), 60),
  ]);
  const more = next_offset === null ? [] : [`… and older ones: ${nexus} tasks --limit ${next_offset * 2}`];
  return [...table([['TASK', 'STATUS', 'DONE', 'ASKED', 'REQUEST'], ...rows]), ...more];
};

/** What was put aside is not at work, whatever else goes on. */
const statusOf = ({ status, parked: [next, ...more] = [] }: TaskList['tasks'][number]): string =>
  next === undefined
    ? words(status)
    : `${words(status)}, ${more.length + 1} parked until ${next.until.slice(0, 16).replace('T', ' ')} UTC`;

const waitingOf = ({ tasks }: TaskList): string[] => ['', ...tasks.flatMap((task) => waitingLines(task))];

export const count = (value: string): number => {
  const number = Number(value);
  if (!Number.isInteger(number) || number < 1) throw new InvalidArgumentError('Expected a whole number from 1 on.');
  return number;
};
