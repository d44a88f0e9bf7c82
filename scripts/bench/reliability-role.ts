/**
 * A consumer as a process of its own, for figures about the fabric alone: `node reliability-role.ts <json>`. Every
 * delivery takes `workMs` and counts itself in the ledger, in the same script that settles it: what is counted twice
 * was settled twice. It lives until it is killed, or until whoever forked it is gone.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { done, type Message } from '@nexus/shared/bus';
import type { ServiceName } from '@nexus/shared/messages/domain';
import { handleAll, openProduct } from './product.ts';

export type ConsumerOptions = {
  redisUrl: string;
  prefix: string;
  service: ServiceName;
  mode: 'take' | 'stream';
  slots: number;
  workMs: number;
};

/** Where deliveries count themselves: a field per message id. */
export const countsKey = (prefix: string): string => `${prefix}:bench`;

if (import.meta.main) {
  process.once('disconnect', () => process.exit(1));
  const options = JSON.parse(process.argv[2] ?? '{}') as ConsumerOptions;
  const { service, mode, slots, workMs, prefix } = options;
  const bus = await openProduct(options, service);
  const work = async ({ message_id }: Message) => {
    if (workMs > 0) await sleep(workMs);
    return done({ write: [{ op: 'count', key: countsKey(prefix), field: message_id, by: 1, seconds: 3600 }] });
  };
  bus.consume({ mode, slots, tools: {}, handlers: handleAll(service, work) });
  process.send?.('ready');
}
