import type { Handler } from '@nexus/shared/bus';
import { readTask } from '@nexus/shared/ledger';
import { askPrime } from './ask-prime.ts';
import { decideQuestionsAsked, newQuestions } from './questions.ts';
import { settleTask, type Tools } from './settle-task.ts';

/** Has questions answered that an agent left while its work went on, or keeps them for a person. */
export const onQuestionsAsked: Handler<'questions.asked', Tools> = async ({ payload }, tools) => {
  const view = await readTask(tools.store, tools.keys, payload.task_id);
  const questions = view === null || view.head.ended_at !== null ? [] : newQuestions(view.head, payload);
  const answers = view === null ? [] : await askPrime(tools, view, { ...payload, questions });
  return settleTask(tools, payload.task_id, view, decideQuestionsAsked(view, payload, answers, tools.now()));
};
