/** `nexus sessions`: the conversations of agents: who had them, how full they are, what was said, and their end. */
import type { SessionShown } from '@nexus/shared/client';
import type { Command } from 'commander';
import { ago, many, oneLine, table } from '../output.ts';
import type { Act } from '../program.ts';
import type { Tools } from '../tools.ts';
import { count } from './tasks.ts';

type ListOptions = { task?: string; limit: number };

export const addSessions = (program: Command, act: Act): void => {
  const sessions = program.command('sessions').description('the conversations of agents').addHelpText('after', help);
  sessions
    .command('ls', { isDefault: true })
    .description('list them, the last active first')
    .option('--task <id>', 'only those of this task')
    .option('--limit <n>', 'how many', count, 50)
    .action(act(list));
  sessions
    .command('show')
    .description('show one: how it stands, and its transcript')
    .argument('<id>', 'its id')
    .action(act(show));
  sessions
    .command('end')
    .description('let nobody go on with it: the next attempt begins a new one')
    .argument('<id>', 'its id')
    .action(act(end));
};

const help = `
A conversation can be gone on with for a day after its attempt ended, on any machine: its transcript lies in the hub.

Examples:
  nexus sessions ls --task add-csv-export-x7k2p9
  nexus sessions show 4fe9794f-985d-413d-a303-872935aa65c6
  nexus sessions end 4fe9794f-985d-413d-a303-872935aa65c6`;

const list = async ({ client, output }: Tools, { task, limit }: ListOptions): Promise<undefined> => {
  const listed = await (await client()).sessions({ limit, ...(task === undefined ? {} : { task }) });
  output.document(listed);
  const now = Date.now();
  const rows = listed.sessions.map((one) => [
    one.session_id,
    one.agent_id,
    `${one.task_id}/${one.subtask_id}`,
    one.status,
    ago(one.last_activity, now),
    percent(one.context_usage),
    costOf(one),
  ]);
  if (rows.length === 0) output.say('No agent has had a conversation that it could go on with.');
  else output.say(...table([['SESSION', 'AGENT', 'SUBTASK', 'STATUS', 'ACTIVE', 'CONTEXT', 'COST'], ...rows]));
};

const show = async ({ client, output }: Tools, id: string): Promise<undefined> => {
  const session = await (await client()).session(id);
  output.document(session);
  const { runtime, model, login, host, instance_id, turns, tool_calls, forked_from, why } = session;
  output.say(
    `${session.session_id}: ${session.status}${why === '' ? '' : `, ${oneLine(why)}`}`,
    `${session.agent_id} at ${session.task_id}/${session.subtask_id}, attempt ${session.attempt}`,
    `${runtime}, ${model ?? 'model unknown'}, by ${login ?? 'unknown'}, on ${host} (${instance_id})`,
    [
      many(turns, 'turn'),
      many(tool_calls, 'tool call'),
      `context ${percent(session.context_usage)}`,
      costOf(session),
    ].join(', '),
    ...(forked_from === null ? [] : [`a copy of ${forked_from}`]),
    session.transcript_at === null ? 'no transcript was carried to the hub' : `transcript: ${session.transcript_at}`,
    '',
    session.transcript ?? '',
  );
};

const end = async ({ client, output }: Tools, id: string): Promise<undefined> => {
  const ended = await (await client()).endSession(id);
  output.document(ended);
  output.say(`${id} is ended: the next attempt begins a new conversation.`);
};

const percent = (share: number | null): string => (share === null ? '-' : `${Math.round(share * 100)} %`);

const costOf = ({ cost }: Pick<SessionShown, 'cost'>): string => {
  if (cost.usd === null) return cost.tokens === null ? '-' : many(cost.tokens, 'token');
  return `${cost.usd.toFixed(4)} USD${cost.notional ? ' (notional)' : ''}`;
};
