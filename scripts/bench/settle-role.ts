/**
 * A consumer whose settlements hold exactly so many deliveries as it has slots, each with a write of the ledger and
 * a message that follows. What its script costs is read in the server, which does nothing else meanwhile.
 */
import { done, followUp, type Message, type Outcome } from '@nexus/shared/bus';
import { windowed } from './pace.ts';
import type { Role } from './player.ts';
import { handleAll, openProduct, sampleDraft } from './product.ts';
import { documentAt, text } from './sample.ts';
import { gatherSettlements, watchSettlements } from './watch-settlements.ts';

/** Its report is empty: the part reads the server's counters. */
export const settle: Role = async (options, started) => {
  const all = Promise.withResolvers<void>();
  let [settled, calls] = [0, 0];
  gatherSettlements(options.concurrency);
  watchSettlements((deliveries) => {
    settled += deliveries;
    if (settled === options.messages) all.resolve();
  });
  const bus = await openProduct(options, 'orchestrator');
  await windowed(options.messages, 512, (n) => bus.publish({ ...sampleDraft(n), thread: `task-${n}` }));
  const work = (message: Message): Outcome => {
    calls += 1;
    const task = message.conversation_thread;
    return done({
      publish: [followUp('board.cancelled', { task_id: task, reason: text(160) })],
      write: [{ op: 'patch', key: bus.keys.task(task), revision: 0, set: { status: '0', head: documentAt(0) } }],
    });
  };
  await started();
  const slots = options.concurrency;
  bus.consume({ mode: 'stream', slots, tools: {}, handlers: handleAll('orchestrator', work) });
  await all.promise;
  return { calls };
};
