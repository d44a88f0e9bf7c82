/** What a task waits for a person about: the question, since when, until when, and what to type. */
import type { TaskShort } from '@nexus/shared/client';
import { nexus } from './command-word.ts';
import { oneLine } from './output.ts';

type Waits = Pick<TaskShort, 'task_id' | 'questions'> & { waiting?: TaskShort['waiting'] };

export const waitingLines = (task: Waits): string[] => [...waitLines(task), ...questionLines(task)];

/** What nobody has answered yet, whether its subtask waits for it or went on by what its agent assumed. */
const questionLines = ({ task_id, questions = [] }: Waits): string[] =>
  questions
    .filter(({ answer }) => answer === null)
    .flatMap(({ id, agent_id, subtask_id, text, asked_at, waits }) => [
      `${task_id}: ${agent_id} asks in ${subtask_id} (${id}, ${minute(asked_at)}${waits ? '' : '; its work goes on'}):`,
      `  ${oneLine(text)}`,
      `  ${nexus} answer ${task_id} --question ${id} "…"`,
    ]);

const waitLines = ({ task_id, waiting = [] }: Waits): string[] =>
  waiting.flatMap(({ subtask_id, since, until, reason }) => [
    `${task_id} waits for a person about ${subtask_id}, since ${minute(since)}, until ${minute(until)}:`,
    `  ${oneLine(reason)}`,
    `  ${nexus} retry ${task_id} --subtask ${subtask_id} [--note "…"], or ${nexus} cancel ${task_id}`,
  ]);

/** `2027-01-01 12:30 UTC` */
const minute = (iso: string): string => `${iso.slice(0, 16).replace('T', ' ')} UTC`;
