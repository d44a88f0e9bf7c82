/** How a task ended, for a person: what was built, where it lies, how to look at it and how to undo it. */
import { existsSync } from 'node:fs';
import type { TaskDetail } from '@nexus/shared/client';
import { copyOut, inside, shellWord } from '@nexus/shared/process';
import { inContainer, nexus } from './command-word.ts';
import { cut, duration, many, oneLine, type Paint, table } from './output.ts';
import { inOrder, words } from './progress.ts';

/** The last words of `nexus run`, and the heart of `nexus task`. */
export const endLines = (task: TaskDetail, paint: Paint): string[] => {
  const tookMs = task.ended_at === null ? 0 : Date.parse(task.ended_at) - Date.parse(task.created_at);
  const colour = task.status === 'completed' ? 'green' : 'red';
  const head = `${paint(colour, words(task.status))} after ${duration(tookMs)}: ${oneLine(task.title)}`;
  return [head, ...reasonLines(task), ...resultLines(task), ...keptLines(task), ...moreLines(task)];
};

/** What each subtask has built, in its agent's own words; nothing of a task that was not completed. */
export const builtLines = (task: TaskDetail, columns: number): string[] => {
  if (task.status !== 'completed') return [];
  const done = inOrder(task.subtasks).filter(({ state, summary }) => summary && ['merged', 'reported'].includes(state));
  const rows = done.map(({ title, summary }) => [`  ${oneLine(title)}`, oneLine(summary ?? '')]);
  return rows.length === 0 ? [] : ['', 'What was built:', ...table(rows).map((line) => cut(line, columns))];
};

/** Where the result lies as a local path; null if it lies elsewhere, or there is none. */
export const localPath = ({ result }: Pick<TaskDetail, 'result'>): string | null => {
  const repository = result?.repository ?? null;
  if (repository === null) return null;
  const path = repository.startsWith('file://') ? decodeURIComponent(new URL(repository).pathname) : repository;
  return existsSync(path) ? path : null;
};

/** The line that `--json` of the demo ends with; also what a script would want of any task. */
export const summaryOf = (task: TaskDetail, durationMs: number) => ({
  status: task.status,
  task_id: task.task_id,
  subtasks: task.subtasks.length,
  attempts: task.attempts,
  sent_back: task.sent_back,
  merged: task.merged,
  checks: task.result?.checks ?? { passed: 0, failed: 0, skipped: 0, broken: 0 },
  result: {
    path: localPath(task),
    branch: task.result?.branch ?? null,
    commit: task.result?.commit ?? null,
  },
  duration_ms: Math.round(durationMs),
});

const reasonLines = (task: TaskDetail): string[] => {
  if (task.status === 'completed') return [];
  const failed = task.subtasks.filter(
    ({ state, reason }) => state === 'failed' && !(task.reason ?? '').includes(reason ?? 'failed'),
  );
  return [
    ...(task.reason ? [`  why      ${oneLine(task.reason)}`] : []),
    ...failed.map(({ id, reason }) => `  ${id}: ${oneLine(reason ?? 'failed')}`),
  ];
};

const resultLines = ({ status, result, attempts, sent_back, subtasks }: TaskDetail): string[] => {
  if (result === null) return [];
  const { passed, failed, skipped, broken } = result.checks;
  const checks = [
    `${passed} passed`,
    // A result with checks that fail is only released where they failed before it, too.
    failed ? `${failed} failed, as before the task` : '',
    skipped ? `${skipped} skipped` : '',
    broken ? `${broken} broken` : '',
  ];
  const proof = result.proven ? '' : '  (unproven: nothing was declared that could have failed)';
  const rows: [string, string | null][] = [
    ['work', `${many(subtasks.length, 'subtask')}, ${many(attempts, 'attempt')}, ${sent_back} sent back`],
    ['checks', `${checks.filter(Boolean).join(', ')}${proof}`],
    ['where', result.repository],
    ['branch', result.branch],
    ['commit', result.commit],
    ...ways(result),
  ];
  const early = status === 'completed' ? [] : ['  It had been pushed before the task ended, and is still there:'];
  return [
    '',
    ...early,
    ...rows.filter(([, value]) => value !== null).map(([name, value]) => `  ${name.padEnd(8)} ${value}`),
  ];
};

/** What to do with a result; where the fleet runs in containers, as it is done from beside them. */
export const ways = (
  { repository, look, start, undo }: Pick<NonNullable<TaskDetail['result']>, 'repository' | 'look' | 'start' | 'undo'>,
  contained = inContainer,
): [string, string | null][] => {
  const there = contained && repository?.startsWith('/') ? repository : null;
  const typed = (command: string | null): string | null =>
    there !== null && command?.includes(there) ? inside(command) : command;
  const copy: [string, string | null] = ['copy', there === null ? null : copyOut(there)];
  return [['look', typed(look)], ['start', typed(start)], ['undo', typed(undo)], copy];
};

/** The tested merges of a task that came to no good end lie in its hub: the line that fetches them as a branch. */
const keptLines = ({ kept, merged, subtasks, task_id, repository }: TaskDetail): string[] => {
  if (!kept) return [];
  const into = repository !== null && existsSync(repository) ? `-C ${shellWord(repository)} ` : '';
  return [
    `  kept     ${merged} of ${subtasks.length} subtasks were tested and merged, but not released. To have them:`,
    `           git ${into}fetch ${shellWord(kept.hub)} ${kept.ref}:refs/heads/nexus/${task_id}`,
  ];
};

const moreLines = ({ task_id, report_url, status }: TaskDetail): string[] => [
  ...(report_url === null ? [] : [`  report   ${nexus} task ${task_id} --report`]),
  ...(status === 'completed' ? [] : [`  logs     ${nexus} logs ${task_id}`]),
];
