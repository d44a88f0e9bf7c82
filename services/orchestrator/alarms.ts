/** What lies in the park for a task, and goes once the task no longer waits for it. */
import { type Envelope, type FollowUp, followUpId } from '@nexus/shared/bus';
import { endedTask, type TaskHead } from '@nexus/shared/messages/domain';
import { waitsOf } from './waiting.ts';

/** What for → the id of the parked message. */
type Alarms = Readonly<Record<string, string>>;

/** The alarms that these follow-ups of a message become. */
export const alarmsIn = (cause: Pick<Envelope, 'message_id'>, publish: readonly FollowUp[]): Alarms =>
  Object.fromEntries(
    publish
      .filter(({ delayMs }) => delayMs !== undefined)
      .map((next) => [next.type === 'deadline.reached' ? deadline : patience(next.key), followUpId(cause, next)]),
  );

/** The head with the alarms that it still waits for, and the ids of those that nobody waits for any more. */
export const sortAlarms = (head: TaskHead, before: Alarms, added: Alarms): { head: TaskHead; gone: string[] } => {
  const needed = new Set(endedTask(head.status) ? [] : waitsOf(head).map(({ subtask_id }) => patience(subtask_id)));
  if (!endedTask(head.status) && head.deadline !== null) needed.add(deadline);
  const kept = Object.entries({ ...before, ...added }).filter(([name]) => needed.has(name));
  const ids = new Set(kept.map(([, id]) => id));
  const { alarms: _, ...rest } = head;
  return {
    head: kept.length === 0 ? rest : { ...rest, alarms: Object.fromEntries(kept) },
    gone: [...Object.values(before), ...Object.values(added)].filter((id) => !ids.has(id)),
  };
};

const deadline = 'deadline';
const patience = (subtask: string): string => `patience:${subtask}`;
