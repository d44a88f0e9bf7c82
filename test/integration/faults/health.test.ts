import { openMeters } from '@nexus/shared/telemetry';
import { expect, onTestFinished, test } from 'vitest';
import { answersReady, openHealthServer } from '../../../shared/src/service/health.ts';
import { eventually } from '../../tools/eventually.ts';
import { startRedis, testFabric } from '../../tools/redis.ts';

type Body = { status: string; redis: Record<string, string> };

/** A bus with its health server, and what is asked of it. */
const openAsked = async (url: string) => {
  const fabric = testFabric(url, { NEXUS_REDIS_CHECK: '100ms', NEXUS_REDIS_TIMEOUT: '1500ms' });
  const meters = openMeters('finalizer');
  const bus = await fabric.open('finalizer', { meters });
  const server = await openHealthServer({
    service: 'finalizer',
    instance_id: bus.instanceId,
    bus,
    meters,
    checks: new Map([['redis', answersReady(bus)]]),
    host: '127.0.0.1',
    port: 0,
  });
  onTestFinished(() => server.close());
  const at = `http://127.0.0.1:${server.port}`;
  return {
    fabric,
    health: async () => (await (await fetch(`${at}/health`)).json()) as Body,
    ready: async () => {
      const response = await fetch(`${at}/ready`);
      return { status: response.status, ...((await response.json()) as { missing: Record<string, string> }) };
    },
    metric: async (name: string) => {
      const page = await (await fetch(`${at}/metrics`)).text();
      return Number(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)$`, 'm').exec(page)?.[1]);
    },
  };
};

test('health, readiness and metrics tell of an outage what is wrong, since when, and what to do', async () => {
  const server = await startRedis();
  const asked = await openAsked(server.url);
  expect(await asked.health()).toMatchObject({ status: 'ok', redis: { ok: true, says: 'Redis answers' } });
  expect(await asked.metric('nexus_redis_up')).toBe(1);
  const before = Date.now();
  await server.kill();
  const body = await eventually('health tells', async () => {
    const now = await asked.health();
    return now.status === 'degraded' && now;
  });
  expect(body.redis).toMatchObject({ ok: false, code: 'REDIS_UNREACHABLE', do: expect.stringContaining('REDIS_URL') });
  expect(Date.parse(body.redis.since ?? '')).toBeGreaterThanOrEqual(before - 1);
  const { status, missing } = await asked.ready();
  expect(status).toBe(503);
  expect(missing.redis).toContain('does not answer');
  expect(missing.redis).toContain(`(since ${body.redis.since})`);
  expect(missing.redis).toContain('services reconnect by themselves');
  expect(await asked.metric('nexus_redis_up')).toBe(0);
  await server.start();
  await eventually('it is ready again', async () => (await asked.ready()).status === 200);
  expect(await asked.metric('nexus_redis_up')).toBe(1);
  expect(await asked.metric('nexus_redis_reconnects_total')).toBeGreaterThanOrEqual(2);
});

test('what only may become worse degrades health and leaves the service ready', async () => {
  const server = await startRedis();
  const asked = await openAsked(server.url);
  await asked.fabric.redis.config('SET', 'maxmemory-policy', 'allkeys-random');
  await eventually('health tells', async () => (await asked.health()).status === 'degraded');
  expect((await asked.health()).redis).toMatchObject({ ok: true, code: 'REDIS_UNFIT' });
  expect((await asked.ready()).status).toBe(200);
});
