import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, onTestFinished, test } from 'vitest';

const main = (service: string): string =>
  fileURLToPath(new URL(`../../../services/${service}/main.ts`, import.meta.url));

/** Starts a real service with nothing but these settings, and waits for its end. */
const start = (service: string, settings: Record<string, string>) =>
  spawnSync(process.execPath, [main(service)], {
    env: { PATH: process.env.PATH, ...settings },
    encoding: 'utf8',
    timeout: 20_000,
  });

test('CONFIG_INVALID: a service with bad settings lists all of them and exits 78', () => {
  const { status, stderr } = start('orchestrator', {
    NEXUS_PREFIX: 'nexus',
    NEXUS_LOG_LEVEL: 'loud',
    NEXUS_DRAIN_GRACE: 'a while',
  });
  expect(status).toBe(78);
  expect(stderr).toContain('orchestrator cannot start (CONFIG_INVALID)');
  for (const name of ['NEXUS_PREFIX', 'NEXUS_LOG_LEVEL', 'NEXUS_DRAIN_GRACE']) expect(stderr).toContain(name);
  expect(stderr).toContain('What to do:');
});

test('settings that are wrong only together are listed with the others, before Redis is looked for', () => {
  const { status, stderr } = start('gateway', { NEXUS_AUTH: 'off', NEXUS_HOST: '0.0.0.0', NEXUS_PORT: 'eighty' });
  expect(status).toBe(78);
  for (const name of ['NEXUS_PORT is "eighty"', 'NEXUS_AUTH is "off"']) expect(stderr).toContain(name);
});

test('HOME_BELOW_MODULES: a service whose clones would find packages above them exits 78 and names them', () => {
  const above = mkdtempSync(join(tmpdir(), 'nexus-above-'));
  onTestFinished(() => rmSync(above, { recursive: true }));
  mkdirSync(join(above, 'node_modules'));
  const { status, stderr } = start('worker-agent', { NEXUS_HOME: join(above, 'deep', 'home') });
  expect(status).toBe(78);
  expect(stderr).toContain('worker-agent cannot start (HOME_BELOW_MODULES)');
  expect(stderr).toContain(join(above, 'node_modules'));
  expect(stderr).toContain('Set NEXUS_HOME');
});

test('NODE_TOO_OLD: a service started with an older Node says so, and how it is started right', () => {
  const older = 'Object.defineProperty(process, "versions", { value: { ...process.versions, node: "20.1.0" } })';
  const preload = ['--import', `data:text/javascript,${encodeURIComponent(older)}`];
  const { status, stderr } = spawnSync(process.execPath, [...preload, main('finalizer')], {
    encoding: 'utf8',
    timeout: 20_000,
  });
  expect(stderr).toContain('finalizer cannot start (NODE_TOO_OLD): This is Node 20.1.0');
  expect(stderr).toContain('npx nexus');
  expect(status).toBe(70);
});

test('REDIS_UNREACHABLE: a service without a Redis says where it looked, and exits 69', () => {
  const { status, stderr } = start('finalizer', { REDIS_URL: 'redis://:hush@127.0.0.1:1', NEXUS_REDIS_WAIT: '500ms' });
  expect(stderr).toContain('Redis at redis://***@127.0.0.1:1 does not answer');
  expect(stderr).not.toContain('hush');
  expect(status).toBe(69);
});
