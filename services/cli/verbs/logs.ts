/** `nexus logs ID`: what agents said; with -f as they say it. */
import type { TaskDetail, TaskLogs } from '@nexus/shared/client';
import type { Command } from 'commander';
import { nexus } from '../command-word.ts';
import { followTask, hasEnded, type LiveEvent } from '../follow.ts';
import type { Paint } from '../output.ts';
import type { Act } from '../program.ts';
import { changeLines } from '../progress.ts';
import type { Tools } from '../tools.ts';

type Options = { follow?: boolean; subtask?: string };

export const addLogs = (program: Command, act: Act): void => {
  program
    .command('logs')
    .description('show what the agents of a task said')
    .argument('<id>', 'the id of the task')
    .option('-f, --follow', 'go on as they speak, until the task ends')
    .option('--subtask <id>', 'only this subtask')
    .addHelpText(
      'after',
      '\nWith -f and --json: one JSON document a line.\n\nExample:\n  nexus logs add-csv-export-x7k2p9 -f',
    )
    .action(act(showLogs));
};

const showLogs = async (tools: Tools, id: string, options: Options): Promise<undefined> => {
  const { client, output } = tools;
  const api = await client();
  const logs = await api.logs(id, options.subtask === undefined ? {} : { subtask: options.subtask });
  if (!options.follow) {
    output.document(logs);
    const ended = logs.logs.length === 0 && !output.json && hasEnded(await api.task(id));
    output.say(...logLines(logs, output.paint, ended));
    return;
  }
  output.say(...(logs.logs.length === 0 ? [] : logLines(logs, output.paint)));
  // With --json nothing of the evidence was shown, so nothing is left out of what was said.
  await follow(tools, await api.task(id), options, output.json ? new Set() : attemptsIn(logs));
};

/** A clock here and the one of Redis, which numbers the events, may differ by so much. */
const clocksApartMs = 60_000;

/**
 * From the begin of the task on, for the attempt that runs has spoken before we came. The attempts in `shown` were
 * shown from their evidence. Of a long task the journal may have lost the oldest words.
 */
const follow = async (
  { client, output, signal }: Tools,
  { task_id: id, created_at }: Pick<TaskDetail, 'task_id' | 'created_at'>,
  { subtask }: Options,
  shown: ReadonlySet<string>,
): Promise<void> => {
  let before: Parameters<typeof changeLines>[0] = null;
  await followTask({
    client: await client(),
    taskId: id,
    signal,
    after: `${Math.max(0, Date.parse(created_at) - clocksApartMs)}-0`,
    onView: (task) => {
      if (before !== null) output.say(...changeLines(before, task).map((line) => output.paint('bold', `— ${line}`)));
      before = task;
    },
    onOutput: (event) => {
      if (subtask !== undefined && event.subtask_id !== subtask) return;
      if (shown.has(`${event.subtask_id}-${event.attempt}`)) return;
      output.document(event);
      output.say(...outputLines(event, output.paint));
    },
    onNotice: (line) => output.say(output.paint('bold', `— ${line}`)),
    onTrouble: (problem) => output.note(problem ?? 'The gateway answers again.'),
  });
};

/** What an agent said, each line with the subtask before it. */
const outputLines = ({ subtask_id = '', text = '' }: LiveEvent, paint: Paint): string[] =>
  text
    .trimEnd()
    .split('\n')
    .map((line) => `${paint('dim', `${subtask_id} |`)} ${line}`);

export const logLines = ({ task_id, logs }: TaskLogs, paint: Paint, ended = false): string[] => {
  if (logs.length === 0) {
    if (ended) return [`No agent of ${task_id} has left a log.`];
    return [`No agent of ${task_id} has left a log yet. While it runs: ${nexus} logs ${task_id} -f`];
  }
  return logs.flatMap(({ subtask_id, title, agent_id, evidence, text, truncated, says }) => [
    paint('bold', `— ${subtask_id}: ${title} (${agent_id}), ${placeOf(evidence)}`),
    ...(truncated ? [paint('dim', '… the beginning is left out')] : []),
    text?.trimEnd() ?? says,
    '',
  ]);
};

/** The attempts whose own evidence is among these logs, as `<subtask>-<attempt>`. */
export const attemptsIn = ({ logs }: Pick<TaskLogs, 'logs'>): Set<string> =>
  new Set(logs.flatMap(({ evidence }) => /\/evidence\/(?!gate-)(.+-\d+)$/.exec(evidence.ref)?.[1] ?? []));

/** Which attempt a file of evidence belongs to, and whether an agent left it or the gate. */
export const placeOf = ({ ref, path }: TaskLogs['logs'][number]['evidence']): string => {
  const [, gate, attempt] = /\/evidence\/(gate-)?.*-(\d+)$/.exec(ref) ?? [];
  if (attempt === undefined) return path;
  return gate ? `gate of attempt ${attempt}: ${path.replace(/^[^/]*\//, '')}` : `attempt ${attempt}: ${path}`;
};
