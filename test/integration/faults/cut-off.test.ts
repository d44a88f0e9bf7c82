import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { done, giveBack } from '@nexus/shared/bus';
import { expect, onTestFinished, test } from 'vitest';
import { eventually, untilAborted } from '../../tools/eventually.ts';
import { consumeAll, discard } from '../../tools/messages.ts';
import { startRedis, testFabric } from '../../tools/redis.ts';
import { day, expectWhole, keepingLog, stand } from './standing.ts';

test('rule 21: without Redis for less than the cut-off, what runs is left alone and settles once', async () => {
  const server = await startRedis({ extra: ['--appendfsync', 'always'] });
  const fabric = testFabric(server.url);
  const standing = await stand(fabric, { limits: { cutOffMs: 30_000 } });
  await server.stop();
  await eventually('it is known', () => !standing.bus.health().ok);
  // Several times as long as a claim is looked after: the looks came and went.
  const looks = performance.now() + 4000;
  await eventually('time enough for a look at the cut-off has passed', () => performance.now() > looks);
  expect(standing.aborted).toEqual([]);
  standing.release();
  await server.start();
  await expectWhole(fabric, standing);
});

test('rule 21: beyond the cut-off what runs is checkpointed here and ended, and runs again later', async () => {
  const server = await startRedis({ extra: ['--appendfsync', 'always'] });
  const fabric = testFabric(server.url);
  const folder = mkdtempSync(join(tmpdir(), 'nexus-cut-off-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const { lines, log } = keepingLog();
  const bus = await fabric.open('finalizer', { log, limits: { cutOffMs: 1000 } });
  const checkpoint = join(folder, 'checkpoint');
  const ran: string[] = [];
  consumeAll(bus, 'finalizer', {
    mode: 'take',
    slots: 1,
    work: async (message, tools) => {
      ran.push(tools.claim.token);
      if (ran.length === 1) {
        await untilAborted(tools.signal);
        writeFileSync(checkpoint, (tools.signal.reason as { code: string }).code);
        return giveBack('stopped');
      }
      const field = message.conversation_thread;
      return done({ write: [{ op: 'count', key: bus.keys.stats(day), field, by: 1 }] });
    },
  });
  await bus.publish(discard('agent'));
  await eventually('it runs', () => ran.length === 1);
  await server.stop();
  const reason = await eventually('it is checkpointed', () => {
    try {
      return readFileSync(checkpoint, 'utf8');
    } catch {
      return null;
    }
  });
  expect(reason).toBe('STOPPED');
  expect(lines.filter(({ text }) => text.startsWith('Cut off from Redis'))).toHaveLength(1);
  await server.start();
  await eventually('it is settled', async () => (await fabric.redis.hgetall(bus.keys.stats(day))).agent === '1');
  expect(ran).toHaveLength(2);
  expect(ran[1]).not.toBe(ran[0]);
  expect(await fabric.redis.xlen(bus.keys.inbox('finalizer', 'NORMAL'))).toBe(0);
});
