/**
 * Who is at work on a subtask right now, and what keeps it from going on: a word that holds it, or what its attempt was
 * put aside for. Pure: from the board, the control state, the presences and the park.
 */
import type { SubtaskShort } from '@nexus/shared/client/api';
import type { Presence, ServiceName, Subtask, SubtaskState } from '@nexus/shared/messages/domain';
import type { PutAside } from './parked.ts';

/** What of the control state matters here. */
export type Held = { state: string; scopes: Readonly<Record<string, string>> };

/** Who runs the attempt right now: after a takeover it is not who began it. */
export const runnerOf = (presences: readonly Presence[], taskId: string, { id, attempt }: Subtask): string | null =>
  presences.find(({ running }) =>
    running.some((run) => run.task_id === taskId && run.subtask_id === id && run.attempt === attempt),
  )?.instance_id ?? null;

/** The board does not hear that an attempt was put aside, nor that it goes on: whoever looks sees it as parked. */
export const setAside = (
  presences: readonly Presence[],
  taskId: string,
  subtask: Subtask,
  aside: readonly PutAside[],
): Subtask => {
  const found = aside.find((one) => one.subtask_id === subtask.id && one.attempt === subtask.attempt);
  if (found === undefined || !['ready', 'working'].includes(subtask.state)) return subtask;
  if (runnerOf(presences, taskId, subtask) !== null) return subtask;
  return { ...subtask, state: 'parked', resume_at: found.until, reason: found.waits_for };
};

/** Who does the next step of a subtask in these states. */
const servicesOf: Partial<Record<SubtaskState, ServiceName>> = {
  ready: 'worker-agent',
  working: 'worker-agent',
  checking: 'quality-checker',
  merging: 'finalizer',
};

/** What holds its next step back: a stop at once, any other word once nobody is at work on it. */
export const holdsOf = (
  presences: readonly Presence[],
  taskId: string,
  subtask: Subtask,
  { state, scopes }: Held,
): NonNullable<SubtaskShort['held']> => {
  const service = servicesOf[subtask.state];
  if (service === undefined) return [];
  const peers = presences.filter((one) => one.service === service);
  const runner = runnerOf(presences, taskId, subtask);
  const isAtWork = service === 'worker-agent' ? runner !== null : peers.some(({ busy }) => busy > 0);
  // Whoever begins it may be any of them: they hold it only together.
  const at = runner ?? (subtask.state === 'working' ? subtask.instance_id : null);
  const all = peers.map(({ instance_id }) => `instance:${instance_id}`);
  const instances = at !== null ? [`instance:${at}`] : all.every((part) => scopes[part] !== undefined) ? all : [];
  const agents = service === 'worker-agent' ? [`agent:${subtask.agent_id}`] : [];
  const parts = [`task:${taskId}`, ...agents, `service:${service}`, ...instances];
  const words: [part: string, is: string | undefined][] = [
    // A fleet that drains finishes its work.
    ['fleet', state === 'stopped' || state === 'paused' ? state : undefined],
    ...parts.map((part): [string, string | undefined] => [part, scopes[part]]),
  ];
  return words.flatMap(([part, is]) => (is === 'stopped' || (is !== undefined && !isAtWork) ? [{ part, is }] : []));
};

export const holdWords = (holds: NonNullable<SubtaskShort['held']>): string =>
  holds.map(({ part, is }) => `${part === 'fleet' ? 'the fleet' : part} is ${is}`).join(', ');
