/** `nexus cost`: who spent what on what; `nexus budget`: how much more may be spent. */
import type { BudgetShown, CostSum, CostTable, TaskCost } from '@nexus/shared/client';
import type { TaskRequest } from '@nexus/shared/messages/domain';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { nexus } from '../command-word.ts';
import { CommandFailure } from '../exit-codes.ts';
import { many, table } from '../output.ts';
import type { Act } from '../program.ts';
import type { Tools } from '../tools.ts';
import { count } from './tasks.ts';

export const addCost = (program: Command, act: Act): void => {
  program
    .command('cost')
    .description('show what was spent: by task, agent, model, role or day; or every attempt of one task')
    .argument('[id]', 'the id of a task')
    .addOption(new Option('--by <what>', 'what the rows are').choices(costKinds).default('task'))
    .option('--days <n>', 'of the last so many days (UTC), with today', count, 7)
    .addHelpText(
      'after',
      `
What a subscription paid is shown as notional: what it would have cost by price list. Calls of a model whose price
nobody knows are counted as unpriced, and lack in the sums; NEXUS_PRICES names a file that adds prices.

Examples:
  nexus cost --by agent --days 30
  nexus cost add-csv-export-x7k2p9 --json`,
    )
    .action(act(cost));
  program
    .command('budget')
    .description('show what a task may spend, or what the fleet may spend today; with an amount, set it')
    .argument('<id>', 'the id of a task, or `today` for the whole fleet')
    .option('--usd <amount>', 'what it may spend in all, in USD', amount)
    .option('--tokens <n>', 'what it may use in all, in tokens', amount)
    .addHelpText(
      'after',
      `
What waits because its budget was spent goes on from its saved work.

Examples:
  nexus budget add-csv-export-x7k2p9
  nexus budget add-csv-export-x7k2p9 --usd 5
  nexus budget today --usd 50`,
    )
    .action(act(budget));
};

type CostKind = CostTable['by'];
const costKinds: readonly CostKind[] = ['task', 'agent', 'model', 'role', 'day'];

/** What may be spent: more than nothing. */
export const amount = (text: string): number => {
  const value = Number(text);
  if (text.trim() !== '' && value > 0) return value;
  throw new InvalidArgumentError('It must be more than 0; left out, there is no limit.');
};

/** The budget of a request, from what `amount` has read. */
export const budgetOf = ({ usd, tokens }: BudgetOptions): TaskRequest['budget'] => {
  if (tokens !== undefined && !Number.isInteger(tokens)) {
    throw new CommandFailure('usage', 'Tokens are a whole number.');
  }
  if (usd === undefined && tokens === undefined) return undefined;
  return { ...(usd === undefined ? {} : { usd }), ...(tokens === undefined ? {} : { tokens }) };
};

type CostOptions = { by: CostKind; days: number };

const cost = async (
  { client, output }: Tools,
  id: string | undefined,
  { by, days }: CostOptions,
): Promise<undefined> => {
  const api = await client();
  const found = id === undefined ? await api.costs({ by, days }) : await api.cost(id);
  output.document(found);
  output.say(...('rows' in found ? tableLines(found) : taskLines(found)));
};

export type BudgetOptions = { usd?: number; tokens?: number };

const budget = async ({ client, output }: Tools, id: string, asked: BudgetOptions): Promise<undefined> => {
  const api = await client();
  const isToday = id === 'today';
  const name = isToday ? 'The fleet today' : id;
  const wanted = budgetOf(asked);
  if (wanted === undefined) {
    const shown = isToday ? (await api.costs({ by: 'day', days: 1 })).today : (await api.cost(id)).budget;
    output.document({ task_id: isToday ? null : id, budget: shown });
    output.say(...budgetLines(name, shown));
    return;
  }
  const answer = isToday ? await api.budgetToday(wanted) : await api.budget(id, wanted);
  output.document(answer);
  output.say(...budgetLines(name, answer.budget));
  if (answer.says !== undefined) output.say(answer.says);
  if (answer.subtasks.length > 0) output.say(`Goes on: ${answer.subtasks.join(', ')}.`);
  else if (!isToday) output.say(`Nothing of it waited for a budget. \`${nexus} task ${id}\` shows where it stands.`);
};

const tableLines = ({ by, days, rows, total, today }: CostTable): string[] => {
  const of = days === 1 ? 'today' : `in ${days} days`;
  if (rows.length === 0) return [`Nothing was spent ${of}.`, ...budgetLines('The fleet today', today)];
  const cells = rows.map((row) => [row.name, ...cellsOf(row)]);
  return [
    ...table([[by, ...heads], ...cells, ['total', ...cellsOf(total)]]),
    ...warnings(total),
    '',
    ...budgetLines('The fleet today', today),
  ];
};

const taskLines = ({ task_id, total, budget: shown, lines }: TaskCost): string[] => {
  if (lines.length === 0) return [`${task_id} has spent nothing yet.`, ...budgetLines(task_id, shown)];
  const cells = lines.map((line) => {
    const { subtask_id, attempt, agent_id, runtime, model } = line;
    return [`${subtask_id} #${attempt}`, agent_id, runtime, model ?? '-', ...cellsOf(line)];
  });
  return [
    ...table([['attempt', 'agent', 'runtime', 'model', ...heads], ...cells, ['total', '', '', '', ...cellsOf(total)]]),
    ...warnings(total),
    '',
    ...budgetLines(task_id, shown),
  ];
};

const heads = ['USD', 'notional', 'tokens', 'calls'];
const cellsOf = ({ usd, notional_usd, unpriced_calls, tokens, calls }: CostSum): string[] => [
  `${money(usd)}${unpriced_calls > 0 ? ' ?' : ''}`,
  notional_usd === 0 ? '-' : money(notional_usd),
  tokens.toLocaleString('en'),
  String(calls),
];

const warnings = ({ unpriced_calls }: CostSum): string[] => {
  if (unpriced_calls === 0) return [];
  const [has, is] = unpriced_calls === 1 ? ['has', 'is'] : ['have', 'are'];
  return [`? ${many(unpriced_calls, 'call')} ${has} no known price, and ${is} not in the sum.`];
};

/** Cents, and for what is less, what there is of it. */
const money = (usd: number): string => (usd === 0 || Math.abs(usd) >= 0.1 ? usd.toFixed(2) : usd.toFixed(4));

const budgetLines = (name: string, shown: BudgetShown): string[] => {
  const { usd_max, usd_used, usd_reserved, tokens_max, tokens_used, tokens_reserved } = shown;
  if (usd_max === null && tokens_max === null) return [`${name} has no budget; ${money(usd_used)} USD are spent.`];
  const line = (used: number, max: number | null, reserved: number, unit: string, show: (n: number) => string) => {
    if (max === null) return [];
    const over = used > max ? `, ${show(used - max)} over` : '';
    const held = reserved > 0 ? `, ${show(reserved)} reserved` : '';
    return [`${name}: ${show(used)} of ${show(max)} ${unit} (${Math.floor((100 * used) / max)} %${over}${held})`];
  };
  return [
    ...line(usd_used, usd_max, usd_reserved, 'USD', money),
    ...line(tokens_used, tokens_max, tokens_reserved, 'tokens', (tokens) => tokens.toLocaleString('en')),
  ];
};
