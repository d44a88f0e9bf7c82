/** Reads what a person asked for out of a `task.submitted`, whoever wrote it. */
import type { Keys, Message } from '@nexus/shared/bus';
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
 * The key under which the request of a message lies, or null if the message carries it. Throws
 * `MESSAGE_INVALID` for any key but that of the task itself: no message may read what is not its own.
 */
export const requestKeyOf = (message: Submitted, keys: Keys): string | null => {
  const { request, request_key: key } = message.payload;
  if (request !== undefined) return null;
  if (key === undefined) throw invalid('request: is missing; say what you want done');
  const named = namedTaskId(message);
  if (named === null || key !== keys.request(named))
    throw invalid('request_key: is not the key of this task’s request');
  return key;
};

/**
 * The request of a message and the id of its task; `stored` is what lies under its key. An id that nobody
 * named follows from the request and the message, so that a second delivery makes no second task. Throws
 * `MESSAGE_INVALID`.
 */
export const submissionOf = (message: Submitted, stored: string | null): { taskId: string; request: TaskRequest } => {
  const { request: inline, request_key: key } = message.payload;
  if (inline === undefined && stored === null) throw invalid(`request_key: nothing lies under ${key}`);
  const written = typeof inline === 'string' ? { request: inline } : (inline ?? fromJson(stored ?? ''));
  const request = parse(written);
  return { taskId: namedTaskId(message) ?? taskIdFor(request.request, message.message_id), request };
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
