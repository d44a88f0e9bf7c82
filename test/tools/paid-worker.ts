/** A worker on a test's fabric that reserves and books what its real runtimes use, a delivery at a time. */
import type { Message, Outcome } from '@nexus/shared/bus';
import type { PayloadOf } from '@nexus/shared/messages';
import type { Order } from '../../services/worker-agent/attempt.ts';
import { onSubtaskDispatched } from '../../services/worker-agent/on-subtask-dispatched.ts';
import { testFabric } from './redis.ts';
import { openRig as openSpend } from './spending.ts';
import { type Rig, taskId } from './worker.ts';

export type Delivered = { outcome: Outcome; notes: string[] };

export const openPaidWorker = async (rig: Rig, settings: Record<string, string>) => {
  const fabric = testFabric();
  const spending = await openSpend(fabric, settings);
  const handle = async (order: Order): Promise<Delivered> => {
    const delivery = rig.tools(settings);
    Object.assign(delivery.tools, { spending });
    const outcome = await onSubtaskDispatched({ payload: order } as Message<'subtask.dispatched'>, delivery.tools);
    const notes = delivery.seen.events.flatMap(({ event, text }) => (event === 'agent.note' ? [text ?? ''] : []));
    return { outcome, notes };
  };
  /** The lanes in which something is under way. */
  const flights = async (): Promise<string[]> => {
    const prefix = `${fabric.config.prefix}:spend:flights:`;
    const names = await fabric.redis.keys(`${prefix}*`);
    const found = await Promise.all(names.map(async (name) => ((await fabric.redis.hlen(name)) > 0 ? [name] : [])));
    return found.flat().map((name) => name.slice(prefix.length));
  };
  return { ...spending, handle, flights, budget: () => spending.budgets.read({ taskId }) };
};

export const finishedOf = (outcome: Outcome): PayloadOf<'attempt.finished'> => {
  if (outcome.is !== 'done') throw new Error(`the outcome is ${JSON.stringify(outcome)}`);
  return outcome.publish.find(({ type }) => type === 'attempt.finished')?.payload as PayloadOf<'attempt.finished'>;
};
