/** What people are asked: what a task waits for, and what agents want to know; as the HTTP API shows and takes it. */
import { agentQuestion, subtaskId, taskId } from '@nexus/shared/messages/domain';
import { z } from 'zod';
import { timestamp } from './letters.ts';

/** What a task waits for a person about. `nexus retry`, `nexus cancel`, or their routes, answer it. */
export const waitingShown = z
  .object({
    subtask_id: subtaskId,
    since: timestamp,
    until: timestamp.meta({ description: 'Without an answer by then the task fails.' }),
    reason: z.string(),
  })
  .meta({ id: 'Waiting' });

export const questionShown = agentQuestion
  .omit({ waits: true })
  .extend({ waits: z.boolean().meta({ description: 'Its subtask cannot go on without the answer.' }) })
  .meta({ id: 'Question' });

/** A task that waits for a person, or whose agents have asked something. */
export const waitingTask = z.object({
  task_id: taskId,
  title: z.string(),
  waiting: z.array(waitingShown),
  questions: z.array(questionShown).optional(),
});

export const questionAnswer = z
  .strictObject({
    answer: z.string().trim().min(1).max(2000),
    question_id: agentQuestion.shape.id.optional().meta({ description: 'Left out: the only one that is open.' }),
  })
  .meta({ id: 'QuestionAnswer' });

export const questionAnswered = z
  .object({ task_id: taskId, status: z.literal('answered'), questions: z.array(agentQuestion.shape.id) })
  .meta({ id: 'QuestionAnswered' });

export type QuestionShown = z.infer<typeof questionShown>;
export type QuestionAnswer = z.infer<typeof questionAnswer>;
export type QuestionAnswered = z.infer<typeof questionAnswered>;
