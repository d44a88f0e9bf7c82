/**
 * Follows a task to its end.
 *
 * Events only wake and tell what agents are doing; they may be lost. The truth is the task itself: it is
 * read again after every event and every second, so a missed one costs a second. A gateway that is away for
 * a while is waited for: the task goes on without it.
 */
import {
  type Client,
  ClientProblem,
  type FleetEvent,
  type SubtaskDetail,
  type SubtaskShort,
  type TaskDetail,
} from '@nexus/shared/client';
import { type TaskStatus, taskTransitions } from '@nexus/shared/messages/domain';
import { nexus } from './command-word.ts';
import { CommandFailure } from './exit-codes.ts';
import { oneLine } from './output.ts';

export type Following = {
  client: Pick<Client, 'task' | 'subtask' | 'events'>;
  taskId: string;
  signal: AbortSignal;
  /**
   * Called after every look at the task and after every event that tells what somebody does. Subtasks that are tried
   * again have the reason for it, which the task itself leaves to their history.
   */
  onView(task: TaskDetail, notes: ReadonlyMap<string, string>): void;
  /** The whole text of what an agent says, as it says it. */
  onOutput?(event: LiveEvent): void;
  /** A line that a person should see now: how much of a budget is used. */
  onNotice?(line: string): void;
  /** Called when the gateway stops answering, and with null when it answers again. */
  onTrouble(problem: string | null): void;
  pollMs?: number;
  patienceMs?: number;
  /** Whether to leave a task that has not ended; left out, never. */
  leaves?(task: TaskDetail): boolean;
  /** The id of the event to begin behind; left out, only what comes from now on is heard. */
  after?: string;
};

/** The body of an event of kind `event`, as the fabric's journal has it. */
export type LiveEvent = { event: string; subtask_id?: string; attempt?: number; agent_id?: string; text?: string };

/**
 * Resolves with the task when it has ended, or `leaves` says so. Throws what the gateway refuses, and when the signal
 * aborts.
 */
export const followTask = async (options: Following): Promise<TaskDetail> => {
  const { client, taskId, signal, onView, pollMs = 1000 } = options;
  const notes = new Map<string, string>();
  const reasons = openReasons(client);
  const alarm = openAlarm();
  const done = new AbortController();
  const listening = AbortSignal.any([signal, done.signal]);
  let task: TaskDetail | null = null;
  const events = listen(options, listening, (event) => {
    const noted = takeNote(notes, event);
    if (noted && task !== null) onView(task, notes);
    alarm.ring();
  });
  try {
    for (;;) {
      const read = await readTask(client, taskId, options);
      signal.throwIfAborted();
      task = await reasons.addTo(read);
      onView(task, notes);
      if (hasEnded(read) || options.leaves?.(read)) return read;
      await alarm.wait(pollMs, signal);
    }
  } finally {
    done.abort();
    await events;
  }
};

export const hasEnded = ({ status }: Pick<TaskDetail, 'status'>): boolean =>
  status in taskTransitions && taskTransitions[status as TaskStatus].length === 0;

/** True where nothing goes on until a person answers: what else there is to do has been done. */
export const waitsForPersonOnly = ({ status, subtasks }: Pick<TaskDetail, 'status' | 'subtasks'>): boolean =>
  status === 'waiting_for_person' && !subtasks.some(({ state }) => goingOn.includes(state));
const goingOn: SubtaskShort['state'][] = ['ready', 'working', 'checking', 'merging', 'parked'];

/** Reads the task, waiting for a gateway that is away: a second at a time, for as long as patience lasts. */
const readTask = async (
  client: Pick<Client, 'task'>,
  taskId: string,
  { signal, onTrouble, patienceMs = 300_000 }: Following,
): Promise<TaskDetail> => {
  for (let since: number | null = null; ; ) {
    try {
      const task = await client.task(taskId);
      if (since !== null) onTrouble(null);
      return task;
    } catch (error) {
      if (!isAway(error)) throw error;
      if (since === null) onTrouble(error.detail);
      since ??= Date.now();
      if (Date.now() - since > patienceMs) {
        throw new CommandFailure('unavailable', `${error.detail} The task ${taskId} goes on without it.`, {
          code: error.code,
          advice: [`\`${nexus} task ${taskId}\` shows it when the gateway is back.`],
          cause: error,
        });
      }
      await pause(1000, signal);
    }
  }
};

const isAway = (error: unknown): error is ClientProblem =>
  error instanceof ClientProblem && (error.status === 0 || error.status >= 500);

/** Why subtasks are tried again: read from the history of each that was sent back or failed since the last look. */
const openReasons = (client: Pick<Client, 'subtask'>) => {
  const known = new Map<string, { setbacks: number; says: string | null }>();
  const learn = async (taskId: string, subtask: SubtaskShort): Promise<void> => {
    const { id, sent_back, failures, plan_rejections = 0 } = subtask;
    const setbacks = sent_back + failures + plan_rejections;
    if (setbacks === (known.get(id)?.setbacks ?? 0)) return;
    const detail = await client.subtask(taskId, id).catch(() => null);
    if (detail !== null) known.set(id, { setbacks, says: lastSetback(detail) });
  };
  return {
    addTo: async (task: TaskDetail): Promise<TaskDetail> => {
      await Promise.all(task.subtasks.map((subtask) => learn(task.task_id, subtask)));
      const subtasks = task.subtasks.map((one) => ({ ...one, reason: one.reason ?? known.get(one.id)?.says ?? null }));
      return { ...task, subtasks };
    },
  };
};

/**
 * What the last entry says that is neither a finished attempt nor a gate that was passed. An attempt whose plan does
 * not hold has finished all the same: that stands in what the next one is told.
 */
const lastSetback = ({ history, hand_over }: Pick<SubtaskDetail, 'history' | 'hand_over'>): string | null =>
  (hand_over?.why === 'plan_invalid' ? hand_over.says : null) ??
  history.findLast(({ outcome }) => !['finished', 'gate_passed', 'gate_unproven'].includes(outcome))?.says ??
  null;

/** Listens to events until the signal aborts; a stream that breaks is opened again where it ended. */
const listen = async (
  { client, taskId, onOutput, onNotice, after: begin }: Following,
  signal: AbortSignal,
  onEvent: (event: FleetEvent) => void,
): Promise<void> => {
  for (let after = begin; !signal.aborted; ) {
    try {
      for await (const event of client.events({ task: taskId, after, signal })) {
        after = event.id;
        const live = liveEvent(event);
        if (live?.event === 'agent.output') onOutput?.(live);
        if (live?.event.startsWith('budget.') && live.text) onNotice?.(oneLine(live.text));
        onEvent(event);
      }
    } catch {
      // The reading of the task tells of a gateway that is away; here there is nothing to add.
    }
    await pause(1000, signal).catch(() => undefined);
  }
};

const liveEvent = ({ kind, body }: FleetEvent): LiveEvent | null =>
  kind === 'event' && typeof body === 'object' && body !== null ? (body as LiveEvent) : null;

/** Keeps the last telling line said of a subtask; true if there was one. A check's words have their own place. */
const takeNote = (notes: Map<string, string>, event: FleetEvent): boolean => {
  const live = liveEvent(event);
  if (!live?.subtask_id || !/^(agent|check)\./.test(live.event)) return false;
  const said = (live.text ?? '').trimEnd().split('\n').findLast(isTelling);
  if (said === undefined) return false;
  notes.set(live.event.startsWith('check.') ? checkNote(live.subtask_id) : live.subtask_id, said);
  return true;
};

/** Under which name the notes hold what is checked of a subtask. */
export const checkNote = (subtask: string): string => `check of ${subtask}`;

/** Summaries of test runners and warnings of npm come last and say least. */
const isTelling = (line: string): boolean => line.trim() !== '' && !/^(ℹ|#|>|npm (warn|notice)|\s{2,})/.test(line);

/** Waits for a bell or a time; a bell that rings while nobody waits counts for the next wait. */
const openAlarm = () => {
  let rung = false;
  let wake: (() => void) | null = null;
  return {
    ring: () => {
      rung = true;
      wake?.();
    },
    /** Returns at the bell, but not at once: events come in swarms, and one look serves them all. */
    wait: async (ms: number, signal: AbortSignal): Promise<void> => {
      await pause(swarmMs, signal);
      if (!rung) {
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, ms);
          wake = () => {
            clearTimeout(timer);
            resolve();
          };
          signal.addEventListener('abort', wake, { once: true });
        });
      }
      rung = false;
      wake = null;
      signal.throwIfAborted();
    },
  };
};
const swarmMs = 120;

const pause = (ms: number, signal: AbortSignal): Promise<void> =>
  new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    const timer = setTimeout(() => finish(resolve), ms);
    const onAbort = () => finish(() => reject(signal.reason));
    const finish = (end: () => void) => {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
      end();
    };
    signal.addEventListener('abort', onAbort, { once: true });
  });
