import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { serviceName } from '@nexus/shared/messages/domain';
import { afterEach, beforeEach, expect, onTestFinished, test } from 'vitest';
import { type CommandFailure, toFailure } from './exit-codes.ts';
import { endProcesses, type Fleet, type LaunchOptions, launchFleet } from './fleet.ts';
import { type FleetProcess, lives } from './fleet-state.ts';
import { identityOf } from './process-identity.ts';

let home: string;
let fleet: Fleet | null;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'nexus-fleet-'));
  fleet = null;
  for (const service of serviceName.options) service_(service, obedient);
});
afterEach(async () => {
  await fleet?.stop(200);
  rmSync(home, { recursive: true, force: true });
});

/** What a service does as far as a launcher can see: it tells its environment, is ready, drains on SIGTERM. */
const obedient = `
import { createServer } from 'node:http';
const { NEXUS_PORT, NEXUS_HEALTH_PORT, NEXUS_GIT_CREDENTIALS = '-', NEXUS_TOKEN = '-' } = process.env;
process.on('SIGTERM', () => { console.error('drained'); process.exit(0); });
const server = createServer((_request, response) => response.end('ok'));
server.listen(Number(NEXUS_HEALTH_PORT ?? NEXUS_PORT), '127.0.0.1');
console.error(JSON.stringify({ level: 'info', time: '', msg: 'up', NEXUS_GIT_CREDENTIALS, NEXUS_TOKEN }));
`;

const service_ = (name: string, code: string) => {
  mkdirSync(join(home, 'services', name), { recursive: true });
  writeFileSync(join(home, 'services', name, 'main.ts'), code);
  writeFileSync(join(home, 'package.json'), '{"type": "module"}');
};

const launch = async (more: Partial<LaunchOptions> = {}): Promise<Fleet> => {
  fleet = await launchFleet({
    home,
    prefix: '{test}',
    workers: 1,
    port: 0,
    attached: true,
    servicesFolder: join(home, 'services'),
    ...more,
  });
  return fleet;
};

test('HOME_BELOW_MODULES: a home below a node_modules is refused before anything is started', async () => {
  mkdirSync(join(home, 'node_modules'));
  const started = launch({ home: join(home, 'state') });
  await expect(started).rejects.toMatchObject({ code: 'HOME_BELOW_MODULES' });
  expect(toFailure(await started.catch((error) => error))).toMatchObject({
    exit: 'config',
    message: expect.stringContaining(join(home, 'node_modules')),
    advice: [expect.stringContaining('NEXUS_HOME')],
  });
  expect(existsSync(join(home, 'state'))).toBe(false);
});

const logOf = ({ log }: FleetProcess): string => readFileSync(log, 'utf8');

test('every service is a process of its own, with as many workers as asked, and drains when it is ended', async () => {
  const { state, stop } = await launch({ workers: 3 });
  expect(state.processes.map(({ name }) => name).sort()).toEqual(
    [...serviceName.options, 'worker-agent-2', 'worker-agent-3'].sort(),
  );
  expect(new Set(state.processes.map(({ pid }) => pid)).size).toBe(8);
  expect(state.processes.every(lives)).toBe(true);
  expect((await fetch(`${state.url}/ready`)).status).toBe(200);

  expect(await stop()).toEqual([]);
  expect(state.processes.some(lives)).toBe(false);
  for (const one of state.processes) expect(logOf(one)).toContain('drained');
});

test('what a fleet lacks is started by its name, and nothing else, beside the gateway that listens', async () => {
  const first = await launch({ workers: 3 });
  const port = Number(new URL(first.state.url).port);
  const lacking = await launch({ workers: 3, port, only: ['finalizer', 'worker-agent-2'] });
  onTestFinished(async () => void (await first.stop(200)));
  expect(lacking.state.processes.map(({ name }) => name)).toEqual(['worker-agent-2', 'finalizer']);
  const taken = launchFleet({
    ...{ home, prefix: '{test}', workers: 1, port, attached: true, servicesFolder: join(home, 'services') },
    only: ['gateway'],
  });
  await expect(taken).rejects.toMatchObject({ code: 'PORT_TAKEN' });
});

test('only the finalizer and the gateway get git credentials, only the gateway gets the token', async () => {
  const { state } = await launch({
    environment: { NEXUS_GIT_CREDENTIALS: 'https://u:p@h', NEXUS_TOKEN: 'secret-token' },
  });
  const seen = (what: string) =>
    state.processes
      .filter((one) => logOf(one).includes(what))
      .map(({ name }) => name)
      .sort();
  expect(seen('https://u:p@h')).toEqual(['finalizer', 'gateway']);
  expect(seen('secret-token')).toEqual(['gateway']);
});

test('a service that ends before it is ready is told with its last log lines, and nothing stays behind', async () => {
  const line = { level: 'error', time: '2027-01-01T10:00:00.000Z', msg: 'NEXUS_SLOTS is "many"' };
  const others = serviceName.options.filter((name) => name !== 'worker-agent');
  const logs = others.map((service) => join(home, 'logs', `${service}.log`));
  service_(
    'worker-agent',
    `import { readFileSync } from 'node:fs';
    console.error(${JSON.stringify(JSON.stringify(line))});
    const up = (log) => readFileSync(log, 'utf8').includes('up');
    setInterval(() => ${JSON.stringify(logs)}.every(up) && process.exit(78), 10);`,
  );
  const failure = (await launch().catch((error) => error)) as CommandFailure;
  expect(failure.message).toBe('worker-agent ended with exit code 78 before it was ready.');
  expect(failure.exit).toBe('config');
  expect(failure.advice.join('\n')).toContain('10:00:00 error NEXUS_SLOTS is "many"');
  for (const log of logs) expect(readFileSync(log, 'utf8')).toContain('drained');
});

test('a service that says why it cannot start is told by that, however long, and by no line of before', async () => {
  const problems = Array.from({ length: 20 }, (_, at) => `  NEXUS_SETTING_${at} is "many": expected a number`);
  const words = [`worker-agent cannot start (CONFIG_INVALID): The configuration has 20 problem(s):`, ...problems];
  const mend = 'What to do: Each line names the setting.';
  mkdirSync(join(home, 'logs'), { recursive: true });
  writeFileSync(join(home, 'logs', 'worker-agent.log'), '{"level":"info","time":"","msg":"an old line"}\n'.repeat(20));
  const said = JSON.stringify([...words, mend].join('\n'));
  service_('worker-agent', `console.error(${said}); process.exit(78);`);
  const failure = (await launch().catch((error) => error)) as CommandFailure;
  expect(failure.exit).toBe('config');
  const log = join(home, 'logs', 'worker-agent.log');
  expect(failure.advice).toEqual([`It said (${log}):`, ...[...words, mend].map((line) => `  ${line}`)]);
});

test('a port that somebody else listens on is refused before anything is started', async () => {
  const stranger = createServer().listen(0, '127.0.0.1');
  await once(stranger, 'listening');
  onTestFinished(() => {
    stranger.close();
  });
  const { port } = stranger.address() as AddressInfo;
  await expect(launch({ port })).rejects.toMatchObject({ code: 'PORT_TAKEN', exit: 'config' });
  expect(existsSync(join(home, 'logs'))).toBe(false);
});

test('a service that dies later is told once, and is not restarted', async () => {
  const { state, onDeath } = await launch();
  const died = Promise.withResolvers<{ name: string; signal: string | null; lines: string[] }>();
  onDeath(died.resolve);
  const victim = state.processes.find(({ name }) => name === 'orchestrator') as FleetProcess;
  process.kill(victim.pid, 'SIGKILL');
  const { name, signal, lines } = await died.promise;
  expect([name, signal]).toEqual(['orchestrator', 'SIGKILL']);
  expect(lines.join('\n')).toContain('up');
  expect(lives(victim)).toBe(false);
});

test('a service that does not drain is killed, and named', async () => {
  service_('finalizer', `${obedient}; process.removeAllListeners('SIGTERM'); process.on('SIGTERM', () => {});`);
  const { state, stop } = await launch();
  expect(await stop(300)).toEqual(['finalizer']);
  expect(state.processes.some(lives)).toBe(false);
});

test('an attached fleet ends with the process that started it, even if that is killed', async () => {
  const options = {
    home,
    prefix: '{test}',
    workers: 1,
    port: 0,
    attached: true,
    servicesFolder: join(home, 'services'),
  };
  const script = `
    import { launchFleet } from ${JSON.stringify(join(import.meta.dirname, 'fleet.ts'))};
    const { state } = await launchFleet(${JSON.stringify(options)});
    console.log(JSON.stringify(state.processes));
    setInterval(() => {}, 1000);`;
  const starter = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [line] = await once(starter.stdout.setEncoding('utf8'), 'data');
  const processes = JSON.parse(line) as FleetProcess[];
  expect(processes.every(lives)).toBe(true);
  starter.kill('SIGKILL');
  await expect.poll(() => processes.filter(lives), { timeout: 5000 }).toEqual([]);
  for (const one of processes) expect(logOf(one)).toContain('drained');
});

test('a process that only has the number of one of ours is left alone', async () => {
  const stranger = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' });
  const pid = stranger.pid as number;
  await expect.poll(() => identityOf(pid)).not.toBeNull();
  const asOurs = { name: 'gateway', pid, identity: 'started at another time', port: 1, log: '' };
  expect(await endProcesses([asOurs], 100)).toEqual([]);
  expect(stranger.exitCode ?? stranger.signalCode).toBeNull();
  stranger.kill('SIGKILL');
});
