/** `nexus task ID`: one task with its subtasks, its result, and how it ended. */
import type { TaskDetail } from '@nexus/shared/client';
import type { Command } from 'commander';
import { endLines } from '../end-state.ts';
import { hasEnded } from '../follow.ts';
import { many, type Output } from '../output.ts';
import type { Act } from '../program.ts';
import { progressLines } from '../progress.ts';
import type { Tools } from '../tools.ts';
import { waitingLines } from '../waiting-lines.ts';

export const addTask = (program: Command, act: Act): void => {
  program
    .command('task')
    .description('show one task')
    .argument('<id>', 'the id of the task')
    .option('--report', 'print the report of an ended task, as Markdown')
    .addHelpText('after', '\nExample:\n  nexus task add-csv-export-x7k2p9 --json')
    .action(act(showTask));
};

const showTask = async ({ client, output }: Tools, id: string, options: { report?: boolean }): Promise<undefined> => {
  const api = await client();
  if (options.report) {
    if (output.json) output.document(await api.report(id));
    else output.say((await api.reportText(id)).trimEnd());
    return;
  }
  const task = await api.task(id);
  output.document(task);
  output.say(...taskText(task, output, Date.now()));
};

/** What it has cost, as far as anybody told; and what it may. */
const costLines = ({ cost, budget }: TaskDetail): string[] => {
  const { usd, tokens, notional_usd = 0, unpriced_calls = 0 } = cost;
  const of = (max: number | null | undefined) => (max === null || max === undefined ? '' : ` of ${max}`);
  const parts = [
    ...(usd === null ? [] : [`${usd.toFixed(2)}${of(budget?.usd_max)} USD`]),
    ...(notional_usd === 0 ? [] : [`${notional_usd.toFixed(2)} USD by price list, paid by a subscription`]),
    ...(tokens === null ? [] : [`${tokens.toLocaleString('en')}${of(budget?.tokens_max)} tokens`]),
    ...(unpriced_calls === 0 ? [] : [`${many(unpriced_calls, 'call')} without a known price`]),
  ];
  return parts.length === 0 ? [] : [`  cost     ${parts.join(', ')}`];
};

const taskText = (task: TaskDetail, { paint, stdout }: Pick<Output, 'paint' | 'stdout'>, now: number): string[] => {
  const frame = { columns: (stdout.columns || 121) - 1, rows: 1000, paint };
  const about = [
    `  request  ${task.request?.split('\n')[0] ?? ''}`,
    `  phase    ${task.current_phase}`,
    ...(task.workflow === null ? [] : [`  workflow ${task.workflow}`]),
    ...(task.repository === null ? [] : [`  from     ${task.repository}${task.base ? ` at ${task.base}` : ''}`]),
    ...costLines(task),
    ...task.warnings.map((warning) => `  warning  ${warning}`),
  ];
  const [header = '', ...subtasks] = progressLines({ task, notes: new Map(), now }, frame);
  const waits = waitingLines(task);
  return [
    header,
    ...about,
    ...(waits.length === 0 ? [] : ['', ...waits]),
    '',
    ...subtasks,
    ...(hasEnded(task) ? ['', ...endLines(task, paint)] : []),
  ];
};
