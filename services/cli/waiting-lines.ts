/** What a task waits for a person about: the question, since when, until when, and what to type. */
import type { TaskShort } from '@nexus/shared/client';
import { nexus } from './command-word.ts';
import { hasEnded } from './follow.ts';
import { oneLine } from './output.ts';

type Waits = Pick<TaskShort, 'task_id' | 'questions'> & {
  waiting?: TaskShort['waiting'];
  status?: TaskShort['status'];
};

export const waitingLines = (task: Waits): string[] => [...waitLines(task), ...questionLines(task)];

/** What nobody has answered yet, whether its subtask waits for it or went on by what its agent assumed. */
const questionLines = (task: Waits): string[] =>
  openQuestions(task).flatMap(({ id, agent_id, subtask_id, text, asked_at, waits }) => {
    const about = `${task.task_id}: ${agent_id}`;
    const when = `(${id}, ${minute(asked_at)}`;
    if (isOver(task)) return [`${about} asked in ${subtask_id} ${when}), unanswered to the end:`, `  ${oneLine(text)}`];
    return [
      `${about} asks in ${subtask_id} ${when}${waits ? '' : '; its work goes on'}):`,
      `  ${oneLine(text)}`,
      `  ${answerWay(task.task_id, id)}`,
    ];
  });

/** What was asked since the last look, a line each with the command that answers it; nothing once the task is over. */
export const askedLines = (before: Waits | null, task: Waits): string[] => {
  if (isOver(task)) return [];
  const known = new Set(before?.questions?.map(({ id }) => id));
  return openQuestions(task)
    .filter(({ id }) => !known.has(id))
    .map(
      ({ id, agent_id, subtask_id, text }) =>
        `${subtask_id} (${agent_id}) asks: ${oneLine(text)}  ${answerWay(task.task_id, id)}`,
    );
};

const openQuestions = ({ questions = [] }: Waits) => questions.filter(({ answer }) => answer === null);

const answerWay = (taskId: string, question: string): string => `${nexus} answer ${taskId} --question ${question} "…"`;

/** After the end nobody can be answered any more. */
const isOver = ({ status }: Waits): boolean => status !== undefined && hasEnded({ status });

const waitLines = ({ task_id, waiting = [] }: Waits): string[] =>
  waiting.flatMap(({ subtask_id, since, until, reason }) => [
    `${task_id} waits for a person about ${subtask_id}, since ${minute(since)}, until ${minute(until)}:`,
    `  ${oneLine(reason)}`,
    `  ${waysOn(task_id, subtask_id, reason)}`,
  ]);

/** What to type for a subtask that waits: where money is what it waits for, trying again alone would not help. */
export const waysOn = (taskId: string, subtask: string, reason: string): string =>
  `${wayOn(taskId, subtask, reason)}, or ${nexus} cancel ${taskId}`;

/** The first of these ways; without the note, where there is little room. */
export const wayOn = (taskId: string, subtask: string, reason: string, withNote = true): string => {
  const retry = `${nexus} retry ${taskId} --subtask ${subtask}`;
  if (reason.startsWith('PRICE_UNKNOWN')) return `with its price in the file that NEXUS_PRICES names: ${retry}`;
  if (!reason.startsWith('BUDGET_SPENT')) return withNote ? `${retry} [--note "…"]` : retry;
  const amount = / tokens are used/.test(reason) ? '--tokens N' : '--usd N';
  const of = /The budget of (the fleet for today|the subtask|attempt)/.exec(reason)?.[1];
  if (of === 'the fleet for today') return `${nexus} budget today ${amount}, then ${retry}`;
  const unit = amount === '--usd N' ? 'USD' : 'TOKENS';
  if (of === 'the subtask') return `with a higher NEXUS_BUDGET_SUBTASK_${unit}: ${retry}`;
  const task = `${nexus} budget ${taskId} ${amount}`;
  return of === 'attempt' ? `${retry} (a new attempt has its own budget), ${task} if the task’s is spent` : task;
};

/** `2027-01-01 12:30 UTC` */
const minute = (iso: string): string => `${iso.slice(0, 16).replace('T', ' ')} UTC`;
