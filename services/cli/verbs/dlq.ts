/** `nexus dlq`: dead letters, the messages that could not be handled: read, edit, replay, drop; one, or many. */
import type { Client, DeadLetterList, LetterFilter, LettersAnswer } from '@nexus/shared/client';
import { ClientProblem } from '@nexus/shared/client';
import type { Command } from 'commander';
import { confirm } from '../confirm.ts';
import { CommandFailure, type Exit, toFailure } from '../exit-codes.ts';
import { findLetter } from '../find-letter.ts';
import { letterText } from '../letter-text.ts';
import { cut, duration, many, oneLine, table } from '../output.ts';
import type { Act } from '../program.ts';
import type { Tools } from '../tools.ts';
import { addDlqEdit } from './dlq-edit.ts';
import { count } from './tasks.ts';

type FilterOptions = { code?: string; type?: string; task?: string; service?: string; olderThan?: string };
type ListOptions = FilterOptions & { limit: number };
type DecideOptions = FilterOptions & { all?: boolean; limit?: number; yes?: boolean };
type What = 'replay' | 'drop';

export const addDlq = (program: Command, act: Act): void => {
  const dlq = program
    .command('dlq')
    .description('dead letters: messages that could not be handled')
    .addHelpText('after', dlqHelp);
  filtered(dlq.command('ls').description('list them, newest first'))
    .option('--limit <n>', 'how many', count, 50)
    .addHelpText('after', '\nExamples:\n  nexus dlq ls --code RETRIES_EXHAUSTED\n  nexus dlq ls --older-than 1h --json')
    .action(act(list));
  dlq
    .command('show')
    .description('show one: cause, tries, message, and whether it can be replayed')
    .argument('<id>', 'its id, or how only that one begins')
    .action(act(show));
  addDlqEdit(dlq, act);
  addDeciding(dlq, act, 'replay', 'put them back into their inboxes, with their history and new retries');
  addDeciding(dlq, act, 'drop', 'delete them for good');
};

const dlqHelp = `
An id may be cut short, as long as only one letter begins so. A letter stays until somebody replays or drops it.

Examples:
  nexus dlq ls
  nexus dlq show 0198c1d2
  nexus dlq edit 0198c1d2 --set task_id=add-csv-export-x7k2p9
  nexus dlq replay 0198c1d2
  nexus dlq drop --older-than 7d --yes`;

const filtered = (command: Command): Command =>
  command
    .option('--code <code>', 'only those that died of this code')
    .option('--type <type>', 'only this kind of message')
    .option('--task <id>', 'only of this task')
    .option('--service <name>', 'only of this service')
    .option('--older-than <time>', 'only those that died longer ago: 30s, 5m, 24h, 7d');

const addDeciding = (dlq: Command, act: Act, what: What, says: string): void => {
  filtered(dlq.command(what).description(says).argument('[ids...]', 'these; or a filter, or --all'))
    .option('--all', 'all there are')
    .option('--limit <n>', 'of those that fit so many at most, the oldest first', count)
    .option('--yes', 'do not ask; needed for many where there is no terminal')
    .addHelpText(
      'after',
      `
Several options have all to fit. Exit code 3 if one was refused; the others are done all the same.

Examples:
  nexus dlq ${what} 0198c1d2
  nexus dlq ${what} --code RETRIES_EXHAUSTED --older-than 1h
  nexus dlq ${what} --all --limit 100 --yes`,
    )
    .action(act((tools, ids: string[], options: DecideOptions) => decide(tools, what, ids, options)));
};

// --- looking -----------------------------------------------------------------------------------

const list = async ({ client, output }: Tools, { limit, ...options }: ListOptions): Promise<undefined> => {
  const filter = filterOf(options);
  const letters = await (await client()).deadLetters({ ...filter, limit: Math.min(200, limit) });
  output.document(letters);
  output.say(...letterLines(letters, Object.keys(filter).length > 0));
};

const filterOf = ({ code, type, task, service, olderThan }: FilterOptions): LetterFilter => {
  const fields = { code: code?.toUpperCase(), type, task, service, older_than: olderThan };
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
};

const show = async ({ client, output }: Tools, id: string): Promise<undefined> => {
  const letter = await findLetter(await client(), id);
  output.document(letter);
  output.say(...letterText(letter));
};

const letterLines = ({ dead_letters, total, next_offset }: DeadLetterList, filtered: boolean): string[] => {
  if (dead_letters.length === 0) return [filtered ? 'No dead letter fits.' : 'No dead letters.'];
  const rows = dead_letters.map((letter) => [
    letter.id,
    duration(letter.age_seconds * 1000).replace(/\.\d/, ''),
    letter.service,
    letter.type,
    letter.task_id ?? '-',
    String(letter.attempts),
    letter.code,
    cut(oneLine(letter.says), 80),
  ]);
  const more = next_offset === null ? [] : [`… of ${total}: raise --limit, or narrow them down`];
  return [...table([['LETTER', 'AGE', 'SERVICE', 'TYPE', 'TASK', 'TRIES', 'CODE', 'WHY'], ...rows]), ...more];
};

// --- deciding ----------------------------------------------------------------------------------

const decide = async (tools: Tools, what: What, ids: string[], options: DecideOptions): Promise<Exit> => {
  const filter = filterOf(options);
  const named = Object.keys(filter).length > 0;
  if ([ids.length > 0, named || options.all === true].filter(Boolean).length !== 1) {
    const message = ids.length > 0 ? 'Name letters, or a filter, not both' : 'Say which letters';
    throw new CommandFailure('usage', `${message}: nexus dlq ${what} <id>, --code …, or --all`, {
      advice: ['`nexus dlq ls` lists them.'],
    });
  }
  if (ids.length > 0) return decideSome(tools, what, ids);
  const api = await tools.client();
  const { total } = await api.deadLetters({ ...filter, limit: 1 });
  const countMax = Math.min(total, options.limit ?? total);
  const fits = Object.entries(filter).map(([name, value]) => `${name.replace('_', ' ')} ${value}`);
  const of = countMax < total ? ` of ${total}` : '';
  const which = `${letters(countMax)}${of}${fits.length > 0 ? ` (${fits.join(', ')})` : ''}`;
  if (total === 0) {
    const status = what === 'replay' ? ('replayed' as const) : ('dropped' as const);
    return report(tools, { status, matched: 0, done: [], refused: [], refused_count: 0, left: 0 });
  }
  await confirm(tools, `${what === 'replay' ? 'Replay' : 'Delete for good'} ${which}?`, options.yes === true);
  const decision = {
    filter,
    ...(options.all ? { all: true as const } : {}),
    ...(options.limit === undefined ? {} : { limit: options.limit }),
  };
  return report(tools, await (what === 'replay' ? api.replayAll(decision) : api.dropAll(decision)));
};

const letters = (number: number): string => many(number, 'dead letter');

/** Each by its name. One that is refused does not keep the others. */
const decideSome = async ({ client, output }: Tools, what: What, ids: string[]): Promise<Exit> => {
  const api = await client();
  const refused: { id: string; code: string; says: string }[] = [];
  const done: Awaited<ReturnType<Client['replay']>>[] = [];
  for (const given of ids) {
    try {
      const { id } = await findLetter(api, given);
      done.push(await (what === 'replay' ? api.replay(id) : api.drop(id)));
    } catch (error) {
      if (ids.length === 1 || (error instanceof ClientProblem && error.status === 0)) throw error;
      const { code, message } = toFailure(error);
      refused.push({ id: given, code, says: message });
    }
  }
  output.document(ids.length === 1 ? done[0] : { done, refused });
  output.say(
    ...done.map(({ id, entry }) =>
      what === 'replay' ? `${id} is back in its inbox${entry ? `, as entry ${entry}` : ''}.` : `${id} is gone.`,
    ),
    ...refused.map(({ id, code, says }) => `refused: ${id}: ${code}: ${says}`),
  );
  return refused.length === 0 ? 'ok' : 'refused';
};

/** What was done, what was refused and why, and what is left. */
const report = ({ output }: Tools, answer: LettersAnswer): Exit => {
  const { status, matched, done, refused, refused_count, left } = answer;
  output.document(answer);
  const unnamed = refused_count - refused.length;
  output.say(
    matched === 0 ? 'No dead letter fits; nothing was done.' : `${status} ${done.length} of ${letters(matched)}`,
    ...(refused_count === 0 ? [] : [`refused ${refused_count}:`]),
    ...table(refused.map(({ id, code, says }) => [`  ${id}`, code, oneLine(says)])),
    ...(unnamed > 0 ? [`  … and ${unnamed} more`] : []),
    ...(left === 0 ? [] : [`left ${left}, beyond the limit: say it again`]),
  );
  return refused_count === 0 ? 'ok' : 'refused';
};
