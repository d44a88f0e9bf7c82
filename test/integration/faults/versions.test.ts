/** The fabric on every server that it promises to run on, beside the one that all other tests use. */

import { done, postpone } from '@nexus/shared/bus';
import fc from 'fast-check';
import { Redis } from 'ioredis';
import { afterAll, describe, expect, test } from 'vitest';
import { Fabric } from '../../simulation/fabric.ts';
import { eventually } from '../../tools/eventually.ts';
import { consumeAll, discard } from '../../tools/messages.ts';
import { testFabric } from '../../tools/redis.ts';
import { startImage } from '../../tools/redis-image.ts';
import { conform } from '../bus/conformance.ts';
import { openRealFabric } from '../bus/conformance-redis.ts';
import { agree, commands } from '../bus/conformance-sequences.ts';
import { expectWhole, stand } from './standing.ts';

const images = [
  { image: 'redis:8', software: 'redis_version:8.' },
  { image: 'valkey/valkey:8', software: 'valkey_version:8.' },
];

for (const { image, software } of images) {
  const server = await startImage(image);
  if ('why' in server) {
    console.warn(`left out: the fabric on ${image}, for ${server.why}`);
    test.skipIf('why' in server)(`the fabric on ${image} (left out: ${server.why.slice(0, 80)})`, () => undefined);
    continue;
  }
  afterAll(() => server.stop());
  const { url } = server;

  describe(`on ${image}`, () => {
    test('the server is what its name says', async () => {
      const redis = new Redis(url);
      const info = await redis.info('server');
      redis.disconnect();
      expect(info).toContain(software);
    });

    conform(image, () => openRealFabric(url));

    test('it answers sequences of commands like the model', { timeout: 120_000 }, () =>
      fc.assert(
        fc.asyncProperty(commands, async (sequence) => {
          const real = await openRealFabric(url);
          try {
            await agree(real, new Fabric(), sequence);
          } finally {
            await real.close();
          }
        }),
        { numRuns: 300, interruptAfterTimeLimit: 30_000 },
      ),
    );

    test('messages go by the inbox, the park and its alarm, a schedule and the control channel', async () => {
      const fabric = testFabric(url);
      const orchestrator = await fabric.open('orchestrator');
      consumeAll(orchestrator, 'orchestrator');
      orchestrator.schedule([{ name: 'tick', everyMs: 300, type: 'hub.discarded', payload: { task_id: 'tick' } }]);
      const bus = await fabric.open('finalizer');
      const ran: string[] = [];
      consumeAll(bus, 'finalizer', {
        mode: 'take',
        slots: 2,
        work: (message, tools) => {
          ran.push(message.conversation_thread);
          const first = ran.filter((task) => task === 'parked').length === 1;
          return message.conversation_thread === 'parked' && first ? postpone(tools.now() + 50, 'later') : done();
        },
      });
      await bus.publish(discard('parked'));
      await eventually('it came back', () => ran.filter((task) => task === 'parked').length === 2);
      await eventually('the schedule rang', () => ran.includes('tick.orchestrator.tick'));
      await fabric.redis.publish(fabric.config.controlChannel, 'STOP_ALL');
      await eventually('the word is obeyed', () => bus.control.known().state === 'stopped');
    });

    test('flushed scripts and cut connections lose nothing', async () => {
      const fabric = testFabric(url);
      const standing = await stand(fabric);
      await fabric.redis.script('FLUSH');
      await fabric.redis.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
      await fabric.redis.call('CLIENT', 'KILL', 'TYPE', 'pubsub');
      standing.release();
      await expectWhole(fabric, standing);
    });
  });
}
