import type { Handler, HandlerTools } from '@nexus/shared/bus';
import { readTask, type TaskView } from '@nexus/shared/ledger';
import type { PayloadOf } from '@nexus/shared/messages';
import { askPrime } from './ask-prime.ts';
import { newQuestions, type PrimeAnswers, primeRounds, primeRoundsMax } from './questions.ts';
import { settleTask, type Tools } from './settle-task.ts';
import { plannerFor } from './strategy.ts';
import { decideEscalated } from './waiting.ts';

/** NEXUS Prime answers what an agent has to know, but not for ever: then a person is asked. */
const answersFor = async (
  view: TaskView,
  payload: PayloadOf<'escalation.raised'>,
  tools: HandlerTools & Tools,
): Promise<PrimeAnswers> => {
  const { subtask_id, questions = [], attempt = 1, agent_id = 'unknown' } = payload;
  if (questions.length === 0 || primeRounds(view.head, subtask_id) >= primeRoundsMax) return [];
  const fresh = newQuestions(view.head, { subtask_id, attempt, agent_id, questions });
  return fresh.length === questions.length ? askPrime(tools, view, { subtask_id, questions: fresh }) : [];
};

/** Has a subtask that cannot go on planned anew, or asks a person. */
export const onEscalationRaised: Handler<'escalation.raised', Tools> = async (message, tools) => {
  const { payload } = message;
  const view = await readTask(tools.store, tools.keys, payload.task_id);
  const planner = plannerFor(tools.catalog, payload);
  const answers = view === null ? [] : await answersFor(view, payload, tools);
  const decision = decideEscalated(view, payload, planner, tools.patience, tools.now(), answers);
  return settleTask(tools, payload.task_id, view, decision, message);
};
