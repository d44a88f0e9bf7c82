/**
 * Orders, which is what a worker, the gate or the finalizer is asked for, that went with a deleted stream.
 *
 * The fabric keeps since when there is each inbox. Whatever was ordered there before, and has not ended, is ordered
 * again, once: who had it in hand has put it back, but what only waited is gone, and nothing tells the two apart.
 * Nor need it: a worker refuses an attempt that runs or has ended, the gate finds a verdict that it has reached, and
 * the marker of a merge lets it happen once.
 */
import { type FollowUp, followUp, type HandlerTools, type LedgerWrite, prioritiesInOrder } from '@nexus/shared/bus';
import { listTasks, readBoardHead, readBoardParts } from '@nexus/shared/ledger';
import type { PayloadOf } from '@nexus/shared/messages';
import type { ServiceName, SubtaskState } from '@nexus/shared/messages/domain';
import { isRunning, order } from './dispatch.ts';
import type { Draft } from './draft.ts';
import { askAgain } from './merge-queue.ts';

/** Who is asked for a subtask, by its state. */
const askedIn: Partial<Record<SubtaskState, ServiceName>> = {
  ready: 'worker-agent',
  working: 'worker-agent',
  checking: 'quality-checker',
  merging: 'finalizer',
};
const asked = [...new Set(Object.values(askedIn))];

/** As long as who held something may take to put it back. */
const restMs = 15_000;
/** What one audit finds at most; the next one goes on. */
const foundMax = 200;
const pageSize = 200;

type Found = { publish: FollowUp[]; write: LedgerWrite[] };

/** What was ordered before its inbox was made again, and a note of the inboxes that were looked into. */
export const findLostOrders = async (tools: HandlerTools, waitMs = restMs): Promise<Found> => {
  const { store, keys, now } = tools;
  const since = await madeAgain(tools, now() - waitMs);
  if (since.size === 0) return { publish: [], write: [] };
  const publish: FollowUp[] = [];
  for (let offset = 0; ; offset += pageSize) {
    const tasks = await listTasks(store, keys, { open: true, limit: pageSize, offset });
    for (const { task_id } of tasks) {
      for (const lost of await lostOf(task_id, since, tools)) {
        publish.push(followUp('order.lost', lost, { key: `${task_id}-${lost.subtask_id}` }));
      }
      if (publish.length >= foundMax) return { publish, write: [] };
    }
    if (tasks.length < pageSize) break;
  }
  const write = [...since].map(([member, score]) => ({ op: 'index' as const, key: keys.groupsMended, member, score }));
  return { publish, write };
};

/** Inbox → since when there is its stream, in ms, of those that nobody has looked into yet. */
const madeAgain = async ({ store, keys }: HandlerTools, until: number): Promise<ReadonlyMap<string, number>> => {
  const made = await store.readHash(keys.groups);
  const mended = new Map((await store.readIndex(keys.groupsMended)).map(({ member, score }) => [member, score]));
  const inboxes = asked.flatMap((service) => prioritiesInOrder.map((priority) => keys.inbox(service, priority)));
  const since = inboxes.map((inbox) => [inbox, Number(made[inbox] ?? 0)] as const);
  return new Map(since.filter(([inbox, ms]) => ms > (mended.get(inbox) ?? 0) && ms <= until));
};

const lostOf = async (
  taskId: string,
  since: ReadonlyMap<string, number>,
  { store, keys }: HandlerTools,
): Promise<PayloadOf<'order.lost'>[]> => {
  const found = await readBoardHead(store, keys, taskId);
  if (found === null) return [];
  const { dispatched, at_gate, priority } = found.head;
  const sinceOf = (state: SubtaskState): number => {
    const service = askedIn[state];
    return (service && since.get(keys.inbox(service, priority))) ?? 0;
  };
  const board = await readBoardParts(store, keys, taskId, at_gate === null ? dispatched : [...dispatched, at_gate]);
  return [...(board?.subtasks.values() ?? [])].flatMap(({ id, attempt, state, ordered_at }) =>
    ordered_at !== null && Date.parse(ordered_at) < sinceOf(state)
      ? [{ task_id: taskId, subtask_id: id, attempt, ordered_at }]
      : [],
  );
};

/** Orders once more what is still to be done, unless that was done meanwhile. */
export const orderLost = (draft: Draft, lost: PayloadOf<'order.lost'>): void => {
  const part = draft.find(lost.subtask_id);
  if (part === null || part.attempt !== lost.attempt || part.ordered_at !== lost.ordered_at) return;
  if (isRunning(draft, part, lost.attempt)) order(draft, part);
  else askAgain(draft, part);
};
