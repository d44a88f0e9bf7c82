/** A schedule: memories that have lost their worth are forgotten. */
import { done, type Handler } from '@nexus/shared/bus';
import type { MemoryTools } from './on-memory-noted.ts';
import type { Tools } from './transition.ts';

export const onDecayDue: Handler<'decay.due', Tools & MemoryTools> = async (_message, tools) => {
  const forgotten = await tools.memories.decay();
  if (forgotten > 0) tools.log.info({ forgotten }, 'Memories that had lost their worth were forgotten');
  return done();
};
