/** The last words of the agents whose subtasks failed: what one wants to read first when a task has failed. */
import type { Client, TaskDetail, TaskLogs } from '@nexus/shared/client';
import type { Check } from '@nexus/shared/messages/domain';
import { oneLine } from './output.ts';
import { placeOf } from './verbs/logs.ts';

const lineCount = 20;
/** How test runners and programs begin the line that says what went wrong. */
const trouble = /^\s*(not ok|✖|×|FAIL|\w*Error\b)/;

/** Lines to print below the end of a task; none if nothing failed, or if the gateway cannot tell. */
export const failureLog = async (client: Pick<Client, 'logs' | 'subtask'>, task: TaskDetail): Promise<string[]> => {
  // What nobody answered for may still be shown as waiting in the moment after its task has failed.
  const failed = task.subtasks.filter(({ state }) => state === 'failed' || state === 'waiting_for_person');
  const told = await Promise.all(
    failed.map(async ({ id }) => {
      const { logs } = await client.logs(task.task_id, { subtask: id }).catch(() => ({ logs: [] }));
      const subtask = await client.subtask(task.task_id, id).catch(() => null);
      const last = tellingLog(logs, subtask?.checks ?? []);
      const lines = tellingLines((last?.text ?? '').trimEnd().split('\n'));
      return last ? ['', `The last words of ${id} (${placeOf(last.evidence)}):`, ...lines.map(quoted)] : [];
    }),
  );
  return told.flat();
};

type Log = TaskLogs['logs'][number];

/** Of what was left last: the log of a check that failed, else what the agent said, else what set-up said. */
export const tellingLog = (logs: readonly Log[], checks: readonly Check[]): Log | undefined => {
  const readable = logs.filter(({ text, evidence }) => text !== null && evidence.path.endsWith('.log'));
  const last = readable.filter(({ evidence }) => evidence.ref === readable.at(-1)?.evidence.ref);
  const red = checks.filter(({ state }) => state === 'failed' || state === 'broken');
  const logOf = (some: readonly Check[]) =>
    last.findLast(({ evidence: { ref, path } }) => some.some(({ log }) => log?.ref === ref && log.path === path));
  return (
    // What failed on the commit before as well is to blame only where nothing else is.
    logOf(red.filter(({ failing_before }) => !failing_before)) ??
    logOf(red) ??
    last.findLast(({ evidence }) => !evidence.path.endsWith('setup.log')) ??
    last.at(-1)
  );
};

/** The end; and where what went wrong stands further up, that first. */
export const tellingLines = (lines: string[]): string[] => {
  const end = lines.slice(-lineCount);
  const at = lines.findLastIndex((line) => trouble.test(line));
  if (at < 0 || at >= lines.length - lineCount) return end;
  const begin = lines.slice(at, at + lineCount);
  return at + lineCount >= lines.length - lineCount ? lines.slice(at) : [...begin, '…', ...end];
};

const quoted = (line: string): string => `  | ${/^ */.exec(line)?.[0]}${oneLine(line)}`.trimEnd();
