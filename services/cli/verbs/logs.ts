/** `nexus logs ID`: what agents said; with -f as they say it. */
import type { TaskLogs } from '@nexus/shared/client';
import type { Command } from 'commander';
import { followTask, type LiveEvent } from '../follow.ts';
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
    output.say(...logLines(logs, output.paint));
    return;
  }
  output.say(...(logs.logs.length === 0 ? [] : logLines(logs, output.paint)));
  await follow(tools, id, options);
};

const follow = async ({ client, output, signal }: Tools, id: string, { subtask }: Options): Promise<void> => {
  let before: Parameters<typeof changeLines>[0] = null;
  await followTask({
    client: await client(),
    taskId: id,
    signal,
    onView: (task) => {
      if (before !== null) output.say(...changeLines(before, task).map((line) => output.paint('bold', `— ${line}`)));
      before = task;
    },
    onOutput: (event) => {
      if (subtask !== undefined && event.subtask_id !== subtask) return;
      output.document(event);
      output.say(...outputLines(event, output.paint));
    },
    onTrouble: (problem) => output.note(problem ?? 'The gateway answers again.'),
  });
};

/** What an agent said, each line with the subtask before it. */
const outputLines = ({ subtask_id = '', text = '' }: LiveEvent, paint: Paint): string[] =>
  text
    .trimEnd()
    .split('\n')
    .map((line) => `${paint('dim', `${subtask_id} |`)} ${line}`);

export const logLines = ({ task_id, logs }: TaskLogs, paint: Paint): string[] => {
  if (logs.length === 0) return [`No agent of ${task_id} has left a log yet. While it runs: nexus logs ${task_id} -f`];
  return logs.flatMap(({ subtask_id, title, agent_id, evidence, text, truncated, says }) => [
    paint('bold', `— ${subtask_id}: ${title} (${agent_id}), ${placeOf(evidence)}`),
    ...(truncated ? [paint('dim', '… the beginning is left out')] : []),
    text?.trimEnd() ?? says,
    '',
  ]);
};

/** Which attempt a file of evidence belongs to, and whether an agent left it or the gate. */
export const placeOf = ({ ref, path }: TaskLogs['logs'][number]['evidence']): string => {
  const [, gate, attempt] = /\/evidence\/(gate-)?.*-(\d+)$/.exec(ref) ?? [];
  if (attempt === undefined) return path;
  return gate ? `gate of attempt ${attempt}: ${path.replace(/^[^/]*\//, '')}` : `attempt ${attempt}: ${path}`;
};
