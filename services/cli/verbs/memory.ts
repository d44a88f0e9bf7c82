/** `nexus memory`: what agents have learned, and what people want them to know: list, search, show, add, remove. */
import type { MemoryFilter, MemoryList, MemoryShown } from '@nexus/shared/client';
import { type Command, InvalidArgumentError } from 'commander';
import { confirm } from '../confirm.ts';
import { CommandFailure } from '../exit-codes.ts';
import { ago, cut, many, oneLine, table } from '../output.ts';
import type { Act } from '../program.ts';
import type { Tools } from '../tools.ts';
import { repositoryOf } from './run.ts';
import { count } from './tasks.ts';

type Whose = { scope?: string; agent?: string; repo?: string };
type ListOptions = Whose & { tag?: string; limit: number };
type AddOptions = Whose & { tag?: string[]; importance?: number };
type RemoveOptions = Whose & { task?: string; yes?: boolean };

export const addMemory = (program: Command, act: Act): void => {
  const memory = program
    .command('memory')
    .description('what agents have learned, and what you want them to know')
    .addHelpText('after', memoryHelp);
  owned(memory.command('ls').description('list them, newest first'))
    .option('--tag <tag>', 'only those with this tag')
    .option('--limit <n>', 'how many', count, 50)
    .addHelpText('after', '\nExamples:\n  nexus memory ls --repo .\n  nexus memory ls --tag sent_back --json')
    .action(act((tools, options: ListOptions) => list(tools, options)));
  owned(memory.command('search').description('those that are about something, the best first'))
    .argument('<words...>', 'what they are about')
    .option('--tag <tag>', 'only those with this tag')
    .option('--limit <n>', 'how many', count, 10)
    .addHelpText('after', '\nExample:\n  nexus memory search csv export --repo .')
    .action(act((tools, words: string[], options: ListOptions) => list(tools, options, words.join(' '))));
  memory
    .command('show')
    .description('show one whole: what it says, where it comes from, how often it was used')
    .argument('<id>', 'its id')
    .action(act(show));
  owned(memory.command('add').description('let agents know something; without whose it is, all of them'))
    .argument('<text>', 'what they are to know; its first line says what it is about')
    .option('--tag <tag>', 'a tag; may be given several times', collect)
    .option('--importance <n>', 'from 0 to 1; 0.7 if left out', share)
    .addHelpText('after', '\nExample:\n  nexus memory add "Run the tests with pnpm, not npm" --repo . --tag tests')
    .action(act(add));
  owned(memory.command('rm').description('forget some: by id, of a task, or all of an owner'))
    .argument('[ids...]', 'these')
    .option('--task <id>', 'what this task has left')
    .option('--yes', 'do not ask; needed for all of an owner where there is no terminal')
    .addHelpText(
      'after',
      '\nExamples:\n  nexus memory rm mk3x7qa2bcde4\n  nexus memory rm --task add-csv-export-x7k2p9',
    )
    .action(act(remove));
};

const memoryHelp = `
Lessons of failed gates and mended attempts come by themselves, and go into the prompts that they fit. What a task has
left stays when the task is deleted; \`nexus memory rm --task\` removes it.

Examples:
  nexus memory ls --agent builder
  nexus memory search csv export
  nexus memory add "Money is in cents" --repo .`;

const owned = (command: Command): Command =>
  command
    .option('--agent <id>', 'of this agent')
    .option('--repo <path|url>', 'of the project with this repository')
    .option('--scope <scope>', 'shared, agent:<id> or project:<key>, as `nexus memory ls` shows them');

const collect = (value: string, before: string[] = []): string[] => [...before, value];

const share = (value: string): number => {
  const given = Number(value);
  if (value.trim() !== '' && given >= 0 && given <= 1) return given;
  throw new InvalidArgumentError('Expected a number from 0 to 1.');
};

const whoseOf = ({ scope, agent, repo }: Whose): Pick<MemoryFilter, 'scope' | 'agent' | 'repository'> => ({
  ...(scope === undefined ? {} : { scope }),
  ...(agent === undefined ? {} : { agent }),
  ...(repo === undefined ? {} : { repository: repositoryOf(repo) }),
});

// --- looking -----------------------------------------------------------------------------------

const list = async ({ client, output }: Tools, options: ListOptions, q?: string): Promise<undefined> => {
  const { tag } = options;
  const limit = Math.min(200, options.limit);
  const asked = {
    ...whoseOf(options),
    ...(tag === undefined ? {} : { tag }),
    ...(q === undefined ? {} : { q }),
    limit,
  };
  const found = await (await client()).memories(asked);
  output.document(found);
  output.say(...listLines(found, q !== undefined || tag !== undefined));
};

const listLines = ({ memories, total, next_offset, scopes }: MemoryList, sought: boolean): string[] => {
  if (memories.length === 0) return [sought ? 'Nothing that is remembered fits.' : 'Nothing is remembered yet.'];
  const now = Date.now();
  const rows = memories.map((memory) => [
    memory.id,
    memory.scope,
    memory.kind,
    ago(memory.created_at, now),
    memory.times > 1 ? `${memory.times} ×` : '',
    memory.uses > 0 ? `${memory.uses} ×` : '-',
    cut(oneLine(memory.content), 90),
  ]);
  const held = scopes.map(({ scope, count }) => `${scope} ${count}`).join(', ');
  return [
    ...table([['MEMORY', 'OF', 'KIND', 'MADE', 'MET', 'USED', 'SAYS'], ...rows]),
    ...(next_offset === null ? [] : [`… of ${total}: raise --limit, or narrow them down`]),
    ...(sought ? [] : ['', `Held: ${held}`]),
  ];
};

const show = async ({ client, output }: Tools, id: string): Promise<undefined> => {
  const memory = await (await client()).memory(id);
  output.document(memory);
  output.say(...shown(memory));
};

const shown = (memory: MemoryShown): string[] => [
  `${memory.id}  ${memory.kind} of ${memory.scope}, importance ${memory.importance.toFixed(2)}`,
  ...(memory.tags.length > 0 ? [`tags: ${memory.tags.join(', ')}`] : []),
  `made ${memory.created_at}, met ${memory.times} ×, in ${many(memory.uses, 'prompt')}${
    memory.last_used_at === null ? '' : `, last ${memory.last_used_at}`
  }`,
  ...memory.sources.map(({ by, task_id, subtask_id, attempt, at }) =>
    task_id === null ? `from ${by}, ${at}` : `from ${task_id}/${subtask_id}, attempt ${attempt} by ${by}, ${at}`,
  ),
  '',
  ...memory.content.split('\n').map(oneLine),
];

// --- changing ----------------------------------------------------------------------------------

const add = async ({ client, output }: Tools, content: string, options: AddOptions): Promise<undefined> => {
  const { tag: tags, importance } = options;
  const given = { ...whoseOf(options), content, ...(tags ? { tags } : {}) };
  const kept = await (await client()).remember(importance === undefined ? given : { ...given, importance });
  output.document(kept);
  const { id, scope } = kept.memory;
  output.say(kept.status === 'kept' ? `${id} is remembered for ${scope}.` : `${id} of ${scope} says the same already.`);
};

const remove = async (tools: Tools, ids: string[], options: RemoveOptions): Promise<undefined> => {
  const { client, output } = tools;
  const whose = whoseOf(options);
  const task = options.task === undefined ? {} : { task: options.task };
  const ways = [ids.length > 0, options.task !== undefined, Object.keys(whose).length > 0].filter(Boolean).length;
  if (ways !== 1) {
    throw new CommandFailure('usage', 'Say which: ids, or --task, or one of --agent, --repo and --scope.', {
      advice: ['`nexus memory ls` lists them.'],
    });
  }
  const api = await client();
  if (ids.length > 0) {
    for (const id of ids) await api.forget(id);
    output.document({ forgotten: ids.length });
    output.say(...ids.map((id) => `${id} is forgotten.`));
    return;
  }
  if (options.task === undefined) {
    const { total } = await api.memories({ ...whose, limit: 1 });
    if (total > 0)
      await confirm(tools, `Forget for good ${total} ${total === 1 ? 'memory' : 'memories'}?`, options.yes === true);
  }
  const answer = await api.forgetAll({ ...whose, ...task });
  output.document(answer);
  output.say(answer.forgotten === 0 ? 'There was nothing to forget.' : `Forgotten: ${answer.forgotten}.`);
};
