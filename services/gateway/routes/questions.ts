/** A person answers what agents asked; the answer reaches whoever works at the task from then on. */
import { questionAnswer, questionAnswered } from '@nexus/shared/client/api';
import { fail } from '@nexus/shared/errors';
import { readTask } from '@nexus/shared/ledger';
import { endedTask, taskId } from '@nexus/shared/messages/domain';
import { z } from 'zod';
import type { Api, Fleet } from '../fleet.ts';
import { refusal } from '../openapi.ts';
import { openQuestionsOf } from '../show-task.ts';

export const questionRoutes = (app: Api, { bus }: Fleet): void => {
  app.post(
    '/api/tasks/:id/answer',
    {
      config: { scope: 'operate' },
      schema: {
        operationId: 'answerQuestion',
        tags: ['tasks'],
        summary: 'Answer what an agent has asked',
        description: `The answer is in the prompt of every attempt that begins from now on. A subtask that waits for it
goes on at once; one that went on meanwhile is not done again.`,
        params: z.strictObject({ id: taskId }),
        body: questionAnswer,
        response: { 202: questionAnswered, 404: refusal(404), 409: refusal(409) },
      },
    },
    async ({ params: { id }, body: { answer, question_id }, actor }, reply) => {
      const task = await readTask(bus.store, bus.keys, id);
      if (task === null) throw fail('TASK_UNKNOWN', { task: id });
      const { status } = task.head;
      if (endedTask(status)) throw fail('TASK_ENDED', { task: id, status });
      const open = openQuestionsOf(task.head).map((one) => one.id);
      const named = question_id === undefined ? open : open.filter((one) => one === question_id);
      const listed = open.length === 0 ? 'none' : open.join(', ');
      const question = question_id === undefined ? '' : ` ${question_id}`;
      if (named.length === 0) throw fail('QUESTION_UNKNOWN', { task: id, question, open: listed });
      if (named.length > 1) throw fail('QUESTION_UNCLEAR', { task: id, open: listed });
      const payload = { task_id: id, question_ids: named, answer, by: actor };
      await bus.publish({ type: 'question.answered', payload, thread: id, actor, priority: 'HIGH' });
      return reply.code(202).send({ task_id: id, status: 'answered', questions: named });
    },
  );
};
