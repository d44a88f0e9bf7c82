/** The real scripts on a real Redis keep the rules that the model of the simulation keeps, and the two agree. */
import fc from 'fast-check';
import { inject, test } from 'vitest';
import { Fabric } from '../../simulation/fabric.ts';
import { conform } from './conformance.ts';
import { openRealFabric } from './conformance-redis.ts';
import { agree, commands } from './conformance-sequences.ts';

conform('Redis', () => openRealFabric(inject('redisUrl')));

test('rule 9 and all others: Redis and the model answer any sequence of commands alike', { timeout: 120_000 }, () =>
  fc.assert(
    fc.asyncProperty(commands, async (sequence) => {
      const real = await openRealFabric(inject('redisUrl'));
      try {
        await agree(real, new Fabric(), sequence);
      } finally {
        await real.close();
      }
    }),
    { numRuns: 1_000, interruptAfterTimeLimit: 60_000 },
  ),
);
