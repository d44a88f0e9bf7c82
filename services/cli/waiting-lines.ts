/** What a task waits for a person about: the question, since when, until when, and what to type. */
import type { TaskShort } from '@nexus/shared/client';
import { nexus } from './command-word.ts';
import { oneLine } from './output.ts';

type Waits = Pick<TaskShort, 'task_id'> & { waiting?: TaskShort['waiting'] };

export const waitingLines = ({ task_id, waiting = [] }: Waits): string[] =>
  waiting.flatMap(({ subtask_id, since, until, reason }) => [
    `${task_id} waits for a person about ${subtask_id}, since ${minute(since)}, until ${minute(until)}:`,
    `  ${oneLine(reason)}`,
    `  ${nexus} retry ${task_id} --subtask ${subtask_id} [--note "…"], or ${nexus} cancel ${task_id}`,
  ]);

/** `2027-01-01 12:30 UTC` */
const minute = (iso: string): string => `${iso.slice(0, 16).replace('T', ' ')} UTC`;
