/** A process that stands still keeps its connections: it is shown as silent, not as serving. */
import { expect, test } from 'vitest';
import { idleSeconds } from '../../shared/src/bus/presence.ts';
import { openHome, runNexus } from '../tools/cli.ts';
import { eventually } from '../tools/eventually.ts';
import { testFabric } from '../tools/redis.ts';
import { startService, testHome } from '../tools/service-process.ts';

test('a paused worker is shown as silent since its last beat, also without a gateway, until it goes on', async () => {
  const fabric = testFabric(undefined, { NEXUS_SILENT_AFTER: '2s' });
  const bus = await fabric.open('gateway', { observer: true });
  const worker = await startService('worker-agent', fabric, { NEXUS_HOME: testHome() });
  const seen = async () => (await bus.presences()).find(({ pid }) => pid === worker.pid);
  expect((await seen())?.silent_since).toBeUndefined();
  const pausedAt = Date.now();
  await worker.signal('SIGSTOP');
  const silent = await eventually('it is silent', async () => {
    // What Redis tells it meanwhile is no sign of life.
    await fabric.redis.publish(fabric.config.controlChannel, JSON.stringify({ command: 'STOP_ALL', fabric: '{x}' }));
    return (await seen())?.silent_since;
  });
  expect(Math.abs(Date.parse(silent) - pausedAt)).toBeLessThan(3000);
  const { redisUrl: REDIS_URL, prefix: NEXUS_PREFIX, controlChannel: NEXUS_CONTROL_CHANNEL } = fabric.config;
  const env = { REDIS_URL, NEXUS_PREFIX, NEXUS_CONTROL_CHANNEL, NEXUS_SILENT_AFTER: '2s' };
  const { out } = await runNexus(openHome(), ['status'], 'http://127.0.0.1:1', { env });
  expect(out).toMatch(new RegExp(`worker-agent .* ${worker.pid} +silent since 20[0-9T:-]+Z`));
  await worker.signal('SIGCONT');
  await eventually('it serves again', async () => (await seen())?.silent_since === undefined);
});

test('connections that Redis writes to by itself are no sign of life, and the liveliest of the others counts', () => {
  const list = [
    'id=1 addr=x name=a age=9 idle=7 flags=N db=0 sub=0 psub=0 cmd=evalsha user=default',
    'id=2 addr=x name=a age=9 idle=9 flags=N db=0 sub=0 psub=0 cmd=ping user=default',
    'id=3 addr=x name=a age=9 idle=0 flags=P db=0 sub=1 psub=0 cmd=subscribe user=default',
    'id=4 addr=x name=a age=9 idle=0 flags=b db=0 sub=0 psub=0 cmd=xreadgroup user=default',
    'id=5 addr=x name= age=9 idle=0 flags=N db=0 sub=0 psub=0 cmd=get user=default',
    'id=6 addr=x name=b age=9 idle=1 flags=N db=0 sub=0 psub=0 cmd=bzpopmin user=default',
  ].join('\n');
  expect([...idleSeconds(list)]).toEqual([
    ['a', 7],
    ['b', Number.POSITIVE_INFINITY],
  ]);
});
