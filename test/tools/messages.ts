/**
 * Messages and handlers for tests of the fabric: valid payloads, and handler tables that do what a test says.
 */
import type { Bus, Handler, HandlersOf, Outcome } from '@nexus/shared/bus';
import { done } from '@nexus/shared/bus';
import { kindsTo, type PayloadInput } from '@nexus/shared/messages';
import type { ServiceName } from '@nexus/shared/messages/domain';
import { eventually } from './eventually.ts';
import type { TestFabric } from './redis.ts';

export const commit = 'a'.repeat(40);

/** A `deletion.requested`: the smallest message to the orchestrator, whose handlers only write the ledger. */
export const deletion = (task: string) => ({
  type: 'deletion.requested' as const,
  payload: { task_id: task },
  thread: task,
  actor: 'test',
});

/** A `hub.discarded`: the smallest message to the finalizer, which takes work by slots. */
export const discard = (task: string) => ({
  type: 'hub.discarded' as const,
  payload: { task_id: task },
  thread: task,
  actor: 'test',
});

/** A `subtask.dispatched`: long work, with last words. */
export const dispatch = (task: string, over: Partial<PayloadInput<'subtask.dispatched'>> = {}) => ({
  type: 'subtask.dispatched' as const,
  thread: task,
  actor: 'test',
  payload: {
    task_id: task,
    subtask_id: 'build',
    attempt: 1,
    agent_id: 'builder',
    role: 'builder',
    kind: 'code' as const,
    title: 'Build it',
    goal: 'Build it.',
    acceptance: [],
    files: [],
    grows: false,
    time_box_minutes: 5,
    runtime: null,
    integration: commit,
    inputs: [],
    hand_over: null,
    ...over,
  },
});

/** Work of a living task is refused without its document: as the orchestrator would have written it. */
export const standing = async (fabric: TestFabric, task: string, status = 'in_progress'): Promise<void> => {
  await fabric.redis.hset(`${fabric.config.prefix}:task:${task}`, { revision: '1', status });
};

type Work = (
  message: Parameters<Handler<'deletion.requested'>>[0],
  tools: Parameters<Handler<'deletion.requested'>>[1],
) => Outcome | Promise<Outcome>;

/** One function as the handler of every kind that a service gets. */
export const handleAll = <S extends ServiceName>(service: S, work: Work): HandlersOf<S> =>
  Object.fromEntries(kindsTo(service).map((kind) => [kind, work])) as unknown as HandlersOf<S>;

/** Consumes with one function for every kind; returns the ids that were handled, in order. */
export const consumeAll = (
  bus: Bus,
  service: ServiceName,
  options: { mode?: 'take' | 'stream'; slots?: number; work?: Work } = {},
): string[] => {
  const handled: string[] = [];
  const work = options.work ?? (() => done());
  bus.consume({
    mode: options.mode ?? 'stream',
    slots: options.slots ?? 10,
    tools: {},
    handlers: handleAll(service, async (message, tools) => {
      const outcome = await work(message, tools);
      handled.push(message.message_id);
      return outcome;
    }) as never,
  });
  return handled;
};

/** Pretends that a consumer died: an entry pending at a name that no connection bears, its beat standing still. */
export const leaveBehind = async (fabric: TestFabric, inbox: string, group: string, name: string): Promise<void> => {
  const prefix = fabric.config.prefix;
  await fabric.redis.xreadgroup('GROUP', group, name, 'COUNT', 1, 'STREAMS', inbox, '>');
  await fabric.redis.hset(`${prefix}:beats:${group}`, name, '5');
};

/** Waits until the claim on the one entry that is pending in an inbox was renewed: its idle time fell. */
export const isRenewed = async (fabric: TestFabric, inbox: string, group: string): Promise<void> => {
  const idle = async (): Promise<number> => {
    const [row] = (await fabric.redis.xpending(inbox, group, '-', '+', 1)) as [string, string, number][];
    return row?.[2] ?? -1;
  };
  let before = -1;
  await eventually('its claim was renewed', async () => {
    const now = await idle();
    const renewed = now >= 0 && now < before;
    before = now;
    return renewed;
  });
};
