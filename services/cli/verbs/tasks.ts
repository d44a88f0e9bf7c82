/** `nexus tasks`: what was asked for, newest first. */
import type { ShownStatus, TaskList } from '@nexus/shared/client';
import { type Command, InvalidArgumentError } from 'commander';
import { ago, cut, oneLine, table } from '../output.ts';
import type { Act } from '../program.ts';
import { words } from '../progress.ts';
import type { Tools } from '../tools.ts';

type Options = { limit: number; status?: string };

export const addTasks = (program: Command, act: Act): void => {
  program
    .command('tasks')
    .description('list tasks, newest first')
    .option('--limit <n>', 'how many', count, 20)
    .option('--status <status>', 'only these, for example in_progress')
    .addHelpText('after', '\nExample:\n  nexus tasks --status failed')
    .action(act(listTasks));
};

const listTasks = async ({ client, output }: Tools, { limit, status }: Options): Promise<undefined> => {
  const answer = await (await client()).tasks({
    limit,
    ...(status === undefined ? {} : { status: status as ShownStatus }),
  });
  output.document(answer);
  output.say(...taskLines(answer, Date.now()));
};

const taskLines = ({ tasks, next_offset }: TaskList, now: number): string[] => {
  if (tasks.length === 0) return ['No tasks. Begin one: nexus run "what you want done"'];
  const rows = tasks.map((task) => [
    task.task_id,
    words(task.status),
    `${task.progress_percentage} %`,
    ago(task.created_at, now),
    cut(oneLine(task.title), 60),
  ]);
  const more = next_offset === null ? [] : [`… and older ones: nexus tasks --limit ${next_offset * 2}`];
  return [...table([['TASK', 'STATUS', 'DONE', 'ASKED', 'REQUEST'], ...rows]), ...more];
};

export const count = (value: string): number => {
  const number = Number(value);
  if (!Number.isInteger(number) || number < 1) throw new InvalidArgumentError('Expected a whole number from 1 on.');
  return number;
};
