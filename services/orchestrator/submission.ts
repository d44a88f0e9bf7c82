/** Reads what a person asked for out of a `task.submitted`, whoever wrote it. */
import type { Keys, Message, Store } from '@nexus/shared/bus';
import { taskIdFor } from '@nexus/shared/catalog';
import { fail } from '@nexus/shared/errors';
import { type TaskRequest, taskId, taskRequest } from '@nexus/shared/messages/domain';

type Submitted = Message<'task.submitted'>;

/** The id that a message names: in its payload, else as its thread; null where it names none. */
export const namedTaskId = ({ payload, conversation_thread: thread }: Submitted): string | null => {
  if (payload.task_id !== undefined) return payload.task_id;
  return taskId.safeParse(thread).success ? thread : null;
};

/**
 * The request of a message and the id of its task. An id that nobody named follows from the request and
 * the message, so that a second delivery makes no second task. Throws `MESSAGE_INVALID`.
 */
export const readSubmission = async (
  message: Submitted,
  store: Store,
  keys: Keys,
): Promise<{ taskId: string; request: TaskRequest }> => {
  const named = namedTaskId(message);
  const { request: inline, request_key: key } = message.payload;
  if (inline !== undefined) {
    const request = typeof inline === 'string' ? parse({ request: inline }) : inline;
    return { taskId: named ?? taskIdFor(request.request, message.message_id), request };
  }
  if (key === undefined) throw invalid('request: is missing; say what you want done');
  // Any other key would let a message read what is not its own.
  if (named === null || key !== keys.request(named))
    throw invalid('request_key: is not the key of this task’s request');
  const text = await store.readText(key);
  if (text === null) throw invalid(`request_key: nothing lies under ${key}`);
  return { taskId: named, request: parse(fromJson(text)) };
};

const fromJson = (text: string): unknown => {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw invalid(`request_key: what lies there is not JSON: ${(error as Error).message}`);
  }
};

const parse = (value: unknown): TaskRequest => {
  const read = taskRequest.safeParse(value);
  if (read.success) return read.data;
  const problems = read.error.issues.map((issue) => `${issue.path.join('.') || 'request'}: ${issue.message}`);
  throw invalid(problems.join('; '));
};

const invalid = (problem: string) => fail('MESSAGE_INVALID', { type: 'task.submitted', problem });
