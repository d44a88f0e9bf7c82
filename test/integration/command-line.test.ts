/**
 * The command line and the demo as a person uses them: real processes, a real fleet, a real Redis. These are the
 * longest tests of all; each looks afterwards for what may not be left behind.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { defaultHome } from '@nexus/shared/config';
import { freePort } from '@nexus/shared/process';
import { expect, inject, onTestFinished, test } from 'vitest';
import type { FleetProcess } from '../../services/cli/fleet-state.ts';
import { lives } from '../../services/cli/fleet-state.ts';
import { eventually } from '../tools/eventually.ts';
import { listProcesses } from '../tools/machine.ts';
import { type TestFabric, testFabric } from '../tools/redis.ts';

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const minutes = (count: number) => count * 60_000;

type Environment = Record<string, string>;
type Ended = { code: number | null; out: string; err: string };

/** A program of this repository with nothing of our environment but the path. */
const start = (words: string[], env: Environment): { child: ChildProcess; ended: Promise<Ended> } => {
  const child = spawn(process.execPath, words, {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: process.env.PATH, HOME: process.env.HOME, ...env },
  });
  const said = { out: '', err: '' };
  child.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
    said.out += chunk;
  });
  child.stderr?.setEncoding('utf8').on('data', (chunk: string) => {
    said.err += chunk;
  });
  const ended = once(child, 'close').then(([code]) => ({ code: code as number | null, ...said }));
  return { child, ended };
};

const openFolder = (): string => realpathSync(mkdtempSync(join(tmpdir(), 'nexus-home-')));

const commandLine = (fabric: TestFabric, home: string = openFolder(), where: Environment = { NEXUS_HOME: home }) => {
  const env = {
    REDIS_URL: fabric.config.redisUrl,
    NEXUS_PREFIX: fabric.config.prefix,
    NEXUS_CONTROL_CHANNEL: fabric.config.controlChannel,
    ...where,
  };
  const begin = (...words: string[]) => start(['services/cli/bin.mjs', ...words], env);
  const nexus = (...words: string[]) => begin(...words).ended;
  onTestFinished(async () => {
    await nexus('down');
    rmSync(home, { recursive: true, force: true });
  });
  const documentOf = async (...words: string[]) => JSON.parse((await nexus(...words, '--json')).out);
  const processes = (): FleetProcess[] => JSON.parse(readFileSync(join(home, 'fleet.json'), 'utf8')).processes;
  return { home, begin, nexus, documentOf, processes };
};

test(
  'a service that died is started by the next up, as the others were, and the others are left as they are',
  async () => {
    const { nexus, documentOf, processes, home } = commandLine(testFabric());
    const up = await nexus('up', '--rehearsal', '--port', String(await freePort()));
    expect(up.code, up.err).toBe(0);
    expect(up.err.match(/Redis is open to agents: it asks nobody for a password/g)).toHaveLength(1);
    const before = new Map(processes().map((one) => [one.name, one]));
    for (const name of ['quality-checker', 'worker-agent']) process.kill(before.get(name)?.pid ?? 0, 'SIGKILL');
    await eventually('both are dead', () => processes().filter(lives).length === before.size - 2);
    const other = await nexus('up', '--workers', '2');
    expect([other.code, other.err]).toEqual([3, expect.stringContaining('it has 1 worker, not 2')]);
    const again = await nexus('up');
    expect(again.code, again.err).toBe(0);
    expect(again.out).toContain('Started again, for it had died: worker-agent, quality-checker');
    expect(again.err).toContain(`worker-agent, last log lines (${join(home, 'logs', 'worker-agent.log')})`);
    const after = new Map(processes().map((one) => [one.name, one]));
    expect([...after.values()].every(lives)).toBe(true);
    const kept = [...before.keys()].filter((name) => after.get(name)?.pid === before.get(name)?.pid);
    expect(kept.sort()).toEqual(['finalizer', 'gateway', 'orchestrator', 'project-manager']);
    // The worker was started with what the fleet was started with.
    const { workers } = await documentOf('agents');
    expect(workers[0].runtimes.find(({ name }: { name: string }) => name === 'scripted').usable).toBe(true);
    expect((await documentOf('up')).restarted).toEqual([]);
  },
  minutes(2),
);

test(
  'a reader that has read enough of nexus up leaves no fleet half started',
  async () => {
    const { begin, documentOf, processes } = commandLine(testFabric());
    const { child, ended } = begin('up', '--rehearsal', '--workers', '2', '--port', String(await freePort()));
    child.stdout?.once('data', () => child.stdout?.destroy());
    expect(await ended).toMatchObject({ code: 0 });
    expect(processes().filter(lives)).toHaveLength(7);
    expect((await documentOf('agents')).workers).toHaveLength(2);
  },
  minutes(2),
);

const scenario = `
name: A greeting
subtasks:
  planner:
    - - plan: { subtasks: [{ id: hello, title: A greeting, role: builder, goal: Greet. }] }
  hello:
    - - write: { hello.js: "console.log('hello');\\n" }
      - say: I greet
      - wait: 300000
    - - run: test -f hello.js
      - report: { summary: It greets. }
`;

test('a fleet is started, used, stopped, resumed, examined and ended, all by the command line', async () => {
  const { home, nexus, documentOf, processes } = commandLine(testFabric());
  const file = join(home, 'scenario.yaml');
  writeFileSync(file, scenario);

  const up = await nexus('up', '--rehearsal', '--workers', '2', '--port', String(await freePort()));
  expect(up.code, up.err).toBe(0);
  expect(processes()).toHaveLength(7);
  expect((await nexus('up')).code, 'up again is no mistake').toBe(0);
  expect(processes().filter(lives)).toHaveLength(7);
  expect((await nexus('token')).out.trim().length).toBeGreaterThan(20);
  const { findings } = await documentOf('doctor');
  expect(findings.filter(({ state }: { state: string }) => state === 'fail')).toEqual([]);

  const words = ['run', 'Greet', '--workflow', 'simple', '--scenario', file, '--check', 'node hello.js'];
  const { task_id: task } = await documentOf(...words, '--detach');
  const subtask = async () =>
    (await documentOf('task', task)).subtasks.find(({ id }: { id: string }) => id === 'hello');
  await eventually('the agent speaks', async () => (await subtask())?.doing === 'I greet', 30_000);

  const stop = await nexus('stop', '--all');
  expect(stop.out).toContain('confirmed by 4 of 4');
  expect(stop.code).toBe(0);
  expect((await documentOf('task', task)).status).toBe('stopped');
  expect((await nexus('resume', '--all')).code).toBe(0);
  await eventually('the agent is back', async () => (await subtask())?.doing === 'I greet', 30_000);

  const here = await nexus('stop', '--all', '--local');
  expect(here.out).toContain(`${task}.hello.1`);
  const followed = await nexus('logs', task, '-f');
  expect(followed.out).toContain('hello (builder): merged (2): It greets.');
  const ended = await nexus('task', task);
  expect(ended.out).toContain('completed');
  expect(ended.out).toContain('1 passed');

  const victim = processes().find(({ name }) => name === 'quality-checker') as FleetProcess;
  process.kill(victim.pid, 'SIGKILL');
  await eventually('the checker is gone', () => !lives(victim));
  expect((await nexus('status')).out).toMatch(/dead since:\s+quality-checker, last log lines/);
  const before = processes();
  const down = await nexus('down');
  expect(down.err).toContain('quality-checker had ended before');
  expect(before.filter(lives)).toEqual([]);
  expect(existsSync(join(home, 'fleet.json'))).toBe(false);
  expect((await nexus('run', 'x')).code).toBe(69);
}, 240_000);

test('a fleet that is told no home keeps all in that of the person, and nothing in it finds our packages', async () => {
  const person = openFolder();
  onTestFinished(() => rmSync(person, { recursive: true, force: true }));
  const home = defaultHome({ HOME: person });
  expect(home.startsWith(join(person, '.local/state/nexus/'))).toBe(true);
  const { nexus, documentOf, processes } = commandLine(testFabric(), home, { HOME: person });
  const blind = `! node -e "require.resolve('zod')" && ! command -v tsc`;
  const file = join(person, 'scenario.yaml');
  const planner = [[{ report: { summary: 'One step.' } }]];
  const builder = [
    [{ run: blind }, { write: { 'a.txt': 'a' } }, { report: { summary: 'Nothing of theirs is here.' } }],
  ];
  writeFileSync(file, JSON.stringify({ name: 'A look', subtasks: { planner, builder } }));

  const up = await nexus('up', '--rehearsal', '--port', String(await freePort()));
  expect(up.code, up.err).toBe(0);
  expect(up.out).toContain(`home  ${home}`);
  expect(processes().every(({ log }) => log.startsWith(`${home}/logs/`))).toBe(true);
  const words = ['run', 'Look', '--workflow', 'simple', '--scenario', file, '--check', blind];
  const ended = await documentOf(...words);
  expect(ended.status, JSON.stringify(ended)).toBe('completed');
  expect(ended.result.repository).toContain(`${home}/repositories/`);
  expect((await nexus('task', ended.task_id)).out).toContain('1 passed');
  expect((await nexus('down')).out).toContain('gateway');
}, 120_000);

const demo = (words: string[]) => {
  const home = openFolder();
  const started = start(['scripts/demo.ts', ...words], { REDIS_URL: inject('redisUrl'), NEXUS_HOME: home });
  onTestFinished(async () => {
    started.child.kill('SIGKILL');
    await started.ended;
    rmSync(home, { recursive: true, force: true, maxRetries: 3 });
  });
  return started;
};

/** What a demo leaves in Redis, and which of its processes are alive: both have to be nothing. */
const leftovers = async (fabric: TestFabric, home: string): Promise<string[]> => {
  const keys = await fabric.redis.keys('{demo-*');
  const left = listProcesses().filter(({ state, args }) => state !== 'Z' && args.includes(home));
  return [...keys, ...left.map(({ pid, args }) => `${pid} ${args}`)];
};

const homeOf = ({ err }: Pick<Ended, 'err'>): string => /logs in (\S+)\/logs/.exec(err)?.[1] ?? 'no home was told';

test('the demo completes, proves what it built, and leaves no process and no key behind', async () => {
  const fabric = testFabric();
  const { code, out, err } = await demo(['--json']).ended;
  expect(code, err).toBe(0);
  const lines = out.trimEnd().split('\n');
  expect(lines).toHaveLength(1);
  const summary = JSON.parse(lines[0] as string);
  expect(summary).toMatchObject({ status: 'completed', subtasks: 12, sent_back: 2, attempts: 15, merged: 10 });
  expect(summary.checks).toEqual({ passed: 1, failed: 0, skipped: 0, broken: 0 });
  expect(summary.result.branch).toBe(`nexus/${summary.task_id}`);
  expect(summary.result.commit).toMatch(/^[0-9a-f]{40}$/);
  expect(existsSync(summary.result.path)).toBe(true);
  expect(err).toContain('page (frontend): failed, tried again: The agent was killed by SIGKILL.');
  expect(err).toMatch(/custom-codes \(backend\): sent back: .*never two that look alike/);
  expect(err).toMatch(/\((backend|database)\): sent back: .*src\/app\.js/);
  expect(err).toMatch(/Proven from a fresh clone: \d+ tests passed, it starts/);
  expect(await leftovers(fabric, homeOf({ err }))).toEqual([]);
}, 240_000);

test('one changed assertion in the scenario turns the demo red', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'nexus-red-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const text = readFileSync(join(root, 'scripts/rehearsal/url-shortener.yaml'), 'utf8');
  const changed = text.replace("assert.deepEqual((await openStore(file)).get('cat'), cat);", (line) =>
    line.replace('deepEqual', 'notDeepEqual'),
  );
  expect(changed).not.toBe(text);
  writeFileSync(join(folder, 'red.yaml'), changed);
  const { code, out, err } = await demo(['--json', '--scenario', join(folder, 'red.yaml')]).ended;
  expect(code).toBe(1);
  expect(JSON.parse(out)).toMatchObject({ status: 'failed', result: { branch: null } });
  expect(err).toContain('The last words of store');
  expect(err).toContain('a link that was added is there after a restart');
}, 240_000);

test('Ctrl-C in the middle of the demo ends everything that it started', async () => {
  const fabric = testFabric();
  const { child, ended } = demo([]);
  let out = '';
  child.stdout?.on('data', (chunk: string) => {
    out += chunk;
  });
  await eventually('three agents work', () => (out.match(/: working/g)?.length ?? 0) > 4, minutes(1));
  child.kill('SIGINT');
  const { code } = await ended;
  expect(code).toBe(130);
  expect(await leftovers(fabric, homeOf({ err: out }))).toEqual([]);
}, 240_000);
