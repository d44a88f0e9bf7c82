/** `nexus dlq`: dead letters, the messages that could not be handled: read, replay, drop. */
import { type Client, ClientProblem, type DeadLetterDetail, type DeadLetterList } from '@nexus/shared/client';
import type { Command } from 'commander';
import { CommandFailure } from '../exit-codes.ts';
import { ago, cut, oneLine, table } from '../output.ts';
import type { Act } from '../program.ts';
import type { Tools } from '../tools.ts';
import { count } from './tasks.ts';

export const addDlq = (program: Command, act: Act): void => {
  const dlq = program
    .command('dlq')
    .description('dead letters: messages that could not be handled')
    .addHelpText(
      'after',
      '\nAn id may be cut short, as long as only one letter begins so.\n\nExamples:\n  nexus dlq ls\n  nexus dlq show 0198c1d2\n  nexus dlq replay 0198c1d2',
    );
  dlq
    .command('ls')
    .description('list them, newest first')
    .option('--limit <n>', 'how many', count, 50)
    .action(act(list));
  dlq.command('show').description('show one, with its cause').argument('<id>').action(act(show));
  dlq.command('replay').description('put one back into its inbox').argument('<id>').action(act(replay));
  dlq.command('drop').description('delete one for good').argument('<id>').action(act(drop));
};

const list = async ({ client, output }: Tools, { limit }: { limit: number }): Promise<undefined> => {
  const letters = await (await client()).deadLetters({ limit });
  output.document(letters);
  output.say(...letterLines(letters, Date.now()));
};

const show = async ({ client, output }: Tools, id: string): Promise<undefined> => {
  const api = await client();
  const letter = await findLetter(api, id);
  output.document(letter);
  output.say(...letterText(letter));
};

const replay = async ({ client, output }: Tools, id: string): Promise<undefined> => {
  const api = await client();
  const letter = await findLetter(api, id);
  const answer = await api.replay(letter.id);
  output.document(answer);
  output.say(`${letter.id} is back in its inbox.`);
};

const drop = async ({ client, output }: Tools, id: string): Promise<undefined> => {
  const api = await client();
  const letter = await findLetter(api, id);
  const answer = await api.drop(letter.id);
  output.document(answer);
  output.say(`${letter.id} is gone.`);
};

/** The letter of this id, or the only one that begins so. Throws the gateway's LETTER_UNKNOWN where none does. */
const findLetter = async (api: Client, given: string): Promise<DeadLetterDetail> => {
  try {
    return await api.deadLetter(given);
  } catch (error) {
    if (!(error instanceof ClientProblem) || error.code !== 'LETTER_UNKNOWN') throw error;
    const found = await lettersFrom(api, given);
    if (found.length === 0) throw error;
    const [only, ...others] = found;
    if (only !== undefined && others.length === 0) return api.deadLetter(only);
    throw new CommandFailure('refused', `${found.length} dead letters begin with ${given}; which one?`, {
      code: 'LETTER_AMBIGUOUS',
      advice: found.slice(0, 8),
    });
  }
};

const lettersFrom = async (api: Client, beginning: string): Promise<string[]> => {
  const found: string[] = [];
  for (let offset: number | null = 0; offset !== null; ) {
    const page: DeadLetterList = await api.deadLetters({ limit: 200, offset });
    found.push(...page.dead_letters.map(({ id }) => id).filter((id) => id.startsWith(beginning)));
    offset = page.next_offset;
  }
  return found;
};

const letterLines = ({ dead_letters, next_offset }: DeadLetterList, now: number): string[] => {
  if (dead_letters.length === 0) return ['No dead letters.'];
  const rows = dead_letters.map((letter) => [
    letter.id,
    ago(letter.at, now),
    letter.service,
    letter.type ?? '-',
    letter.code,
    cut(oneLine(letter.says), 80),
  ]);
  const more = next_offset === null ? [] : ['… and older ones: raise --limit'];
  return [...table([['LETTER', 'DIED', 'SERVICE', 'TYPE', 'CODE', 'WHY'], ...rows]), ...more];
};

/** A letter as a person reads it: cause first, then what to do, then the message itself. */
const letterText = (letter: DeadLetterDetail): string[] => [
  `${letter.code}: ${letter.says}`,
  '',
  ...table([
    ['  letter', letter.id],
    ['  died', letter.at],
    ['  service', letter.service],
    ['  type', letter.type ?? 'none could be read'],
    ['  task', letter.task_id ?? '-'],
    ['  to do', letter.operator],
  ]),
  ...section(
    'causes',
    letter.causes.map((cause) => `  ${cause}`),
  ),
  ...section('attempts before', historyOf(letter.envelope).map(historyLine)),
  ...section('message', shownMessage(letter.envelope)),
  '',
  unreadable.includes(letter.code)
    ? `  As it is nobody can handle it, so it cannot be replayed; nexus dlq drop ${letter.id} deletes it`
    : `  nexus dlq replay ${letter.id}   puts it back; nexus dlq drop ${letter.id} deletes it`,
];

/** Where the message itself was the reason, so that a replay is refused. */
const unreadable = ['MESSAGE_MALFORMED', 'MESSAGE_INVALID', 'MESSAGE_UNKNOWN', 'PROTOCOL_UNKNOWN'];

const section = (title: string, lines: string[]): string[] => (lines.length === 0 ? [] : ['', `${title}:`, ...lines]);

/** A message that was tried again carries what happened before. */
const historyOf = (envelope: unknown): unknown[] => {
  const history = typeof envelope === 'object' && envelope !== null && 'history' in envelope ? envelope.history : [];
  return Array.isArray(history) ? history : [];
};

const historyLine = (entry: unknown): string => {
  if (typeof entry !== 'object' || entry === null) return `  ${String(entry)}`;
  const { at, code, says, ...rest } = entry as Record<string, unknown>;
  const more = Object.keys(rest).length === 0 ? '' : ` ${JSON.stringify(rest)}`;
  return `  ${[at, code, says].filter((part) => part !== undefined).join('  ')}${more}`;
};

const shownMessage = (envelope: unknown): string[] =>
  (typeof envelope === 'string' ? envelope : JSON.stringify(envelope, null, 2)).split('\n').map((line) => `  ${line}`);
