import { done, type Handler, type HandlerTools, type Outcome } from '@nexus/shared/bus';
import { type FollowingCatalog, validateRequest, withNewest } from '@nexus/shared/catalog';
import { AppError } from '@nexus/shared/errors';
import { readTask, type TaskView } from '@nexus/shared/ledger';
import type { TaskRequest } from '@nexus/shared/messages/domain';
import { parseScenario } from '@nexus/shared/messages/scenario';
import { decideSubmitted } from './decide.ts';
import { settleTask, type Tools } from './settle-task.ts';
import { namedTaskId, requestKeyOf, submissionOf } from './submission.ts';

/** Makes the task and asks for its repository. A task that exists is left as it is, and that is told. */
export const onTaskSubmitted: Handler<'task.submitted', Tools> = async (message, tools) => {
  const { store, keys, catalog } = tools;
  const named = namedTaskId(message);
  const known = named === null ? null : await readTask(store, keys, named);
  if (known !== null) return again(tools, known);
  const key = requestKeyOf(message, keys);
  const stored = key === null ? null : await store.readText(key);
  const { taskId, request } = submissionOf(message, stored);
  const view = await readTask(store, keys, taskId);
  if (view !== null) return again(tools, view);
  const { priority, actor } = message;
  const submission = { taskId, request, priority, actor, refusal: await refusalOf(catalog, request) };
  return settleTask(tools, taskId, view, decideSubmitted(view, submission, tools.now()), message);
};

/** Submitted twice is made once: whoever did it reads where the task stands. */
const again = (tools: HandlerTools, { head }: TaskView): Outcome => {
  const { task_id, status, reason } = head;
  const text = `"${task_id}" was submitted again. It is ${status}, and left as it is. Another task needs another id.`;
  tools.log.info({ status }, text);
  tools.tell({ event: 'task.changed', task_id, text, data: { status, reason } });
  return done();
};

/** What is wrong with a request before anybody works on it, or null: one written by hand comes unchecked. */
const refusalOf = async (catalog: FollowingCatalog, request: TaskRequest): Promise<AppError | null> => {
  try {
    await withNewest(catalog, () => validateRequest(catalog, request));
    if (request.scenario !== undefined) parseScenario(request.scenario);
    return null;
  } catch (error) {
    if (error instanceof AppError) return error;
    throw error;
  }
};
