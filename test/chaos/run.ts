/**
 * One chaos run: a fleet of real processes on a real Redis, tasks, faults, and then the checker.
 *
 *   up ──▶ hurt (tasks begin and end, faults happen) ──▶ calm (nothing begins, what is open ends) ──▶ down ──▶ checked
 */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from '@nexus/shared/client';
import { check, type Findings } from './checker.ts';
import { openSmallDisk, type SmallDisk } from './disk.ts';
import type { FaultKind } from './fault-plan.ts';
import { diskReserve, type Faults, openFaults } from './faults.ts';
import { openRealFleet, type RealFleet } from './fleet.ts';
import { prepareGround, type Work, workOf } from './workload.ts';

export type ChaosOptions = {
  tasks: number;
  seed: number;
  /** After so long nothing is started any more and no fault is made: what is open may end in peace. */
  minutes: number;
  only: readonly FaultKind[];
  fast: boolean;
  /** Keeps the folder with logs, hubs and what Redis wrote. */
  keep: boolean;
  /** How many tasks are open at a time. */
  openMax: number;
  /** How long what is open may take to end after the last fault. */
  calmMs: number;
  say(line: string): void;
  /** What stands where a terminal redraws its last line. */
  show(line: string): void;
  signal: AbortSignal;
};

export type ChaosResult = { tasks: number; seed: number; faults: Record<FaultKind, number> } & Findings & {
    restarts: number;
    seconds: number;
    folder: string | null;
  };

type Fleet = RealFleet & { disk: SmallDisk; faults: Faults; repository: string };

export const runChaos = async (options: ChaosOptions): Promise<ChaosResult> => {
  const began = performance.now();
  const folder = mkdtempSync(join(tmpdir(), 'nexus-chaos-'));
  const fleet = await openFleet(folder, options, began);
  const asked = new Map<string, Work>();
  let kept = options.keep;
  try {
    await fleet.ready(options.signal);
    await hurt(fleet, asked, options, began);
    await calm(fleet, asked, options);
    const late = await comeDown(fleet, options.signal);
    const { prefix, home, server, faults } = fleet;
    const found = await check({ redisUrl: server.url, prefix, home, asked, counts: faults.counts });
    const unseen = missing(fleet, options).map((kind) => `${kind} never happened: nothing is shown of it`);
    const violations = [...faults.violations, ...unseen, ...late, ...endedByThemselves(fleet), ...found.violations];
    kept ||= violations.length > 0;
    const restarts = fleet.supervisor.all.reduce((sum, one) => sum + one.restarts(), 0);
    const seconds = Math.round((performance.now() - began) / 1000);
    const { counts } = faults;
    return {
      ...{ tasks: asked.size, seed: options.seed, faults: counts, ...found, violations, restarts, seconds },
      folder: kept ? folder : null,
    };
  } finally {
    await fleet.stop(2000);
    fleet.disk.remove();
    if (!kept) rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  }
};

// --- up ----------------------------------------------------------------------------------------

const counts = { orchestrator: 2, 'project-manager': 2, 'worker-agent': 2, 'quality-checker': 2, finalizer: 2 };

const openFleet = async (folder: string, options: ChaosOptions, began: number): Promise<Fleet> => {
  const disk = openSmallDisk(join(folder, 'home', 'workspaces'), 64);
  const { workflows, repository } = prepareGround(folder);
  const settings = {
    NEXUS_WORKFLOWS_FOLDER: workflows,
    NEXUS_DISK_RESERVE: diskReserve,
    NEXUS_CHECKPOINT_INTERVAL: '2s',
  };
  const fleet = await openRealFleet({ folder, counts, settings });
  const log: string[] = [];
  const tell = (line: string): void => {
    const told = `${((performance.now() - began) / 1000).toFixed(1).padStart(7)} s  ${line}`;
    log.push(told);
    writeFileSync(join(folder, 'faults.log'), `${log.join('\n')}\n`);
    options.say(told);
  };
  const faults = openFaults({ ...fleet, services: fleet.supervisor.all, disk, tell }, options);
  return { ...fleet, disk, faults, repository };
};

// --- hurt --------------------------------------------------------------------------------------

const hurt = async (fleet: Fleet, asked: Map<string, Work>, options: ChaosOptions, began: number): Promise<void> => {
  const enough = new AbortController();
  const signal = AbortSignal.any([options.signal, enough.signal]);
  const hurting = fleet.faults.run(signal);
  const timer = setTimeout(() => enough.abort(), options.minutes * 60_000);
  try {
    // As many as asked for, and on until every kind of fault has met a fleet at work.
    for (let at = 0; (at < options.tasks || missing(fleet, options).length > 0) && !signal.aborted; at += 1) {
      const work = workOf(at, options.seed, fleet.repository, options.fast);
      const id = await submit(fleet.client, work, `${fleet.prefix}-${at}`);
      asked.set(id, work);
      await untilOpen(fleet, asked, options, began, options.openMax - 1, signal);
    }
    await untilOpen(fleet, asked, options, began, 0, signal);
  } finally {
    clearTimeout(timer);
    enough.abort();
    await hurting;
    options.say('calm: no more faults');
    await fleet.faults.heal();
  }
  options.signal.throwIfAborted();
};

/** The kinds of fault that were asked for, can be made here, and have not happened. */
const missing = ({ faults, disk }: Fleet, { only }: ChaosOptions): FaultKind[] =>
  only.filter((kind) => faults.counts[kind] === 0 && (kind !== 'disk' || disk.mounted));

/** Asks until somebody has said yes: the key makes it one task, however often it is asked. */
const submit = async (client: Client, work: Work, key: string): Promise<string> => {
  const { request, workflow, scenario, repository } = work;
  for (;;) {
    try {
      const body = { request, workflow, scenario, ...(repository === undefined ? {} : { repository }) };
      return (await client.submit(body, { idempotencyKey: key })).task_id;
    } catch (error) {
      const { status } = error as { status?: number };
      if (status !== undefined && status !== 0 && status < 500) throw error;
      await sleep(200);
    }
  }
};

const over = ['completed', 'failed', 'cancelled', 'waiting_for_person'];

/** Waits until at most so many tasks are open, and shows how it goes. */
const untilOpen = async (
  { server, prefix, faults }: Fleet,
  asked: ReadonlyMap<string, Work>,
  options: ChaosOptions,
  began: number,
  openMax: number,
  signal: AbortSignal,
): Promise<void> => {
  for (;;) {
    const reading = server.redis.pipeline();
    for (const id of asked.keys()) reading.hget(`${prefix}:task:${id}`, 'status');
    const rows = asked.size === 0 ? [] : ((await reading.exec()) ?? []);
    const statuses = rows.map(([, status]) => String(status));
    const open = statuses.filter((status) => !over.includes(status)).length;
    const hurts = Object.entries(faults.counts).map(([kind, count]) => `${kind} ${count}`);
    const seconds = ((performance.now() - began) / 1000).toFixed(0);
    options.show(
      `${seconds} s  ${statuses.length - open} of ${options.tasks} ended, ${open} open; ${hurts.join(', ')}`,
    );
    if (open <= openMax || signal.aborted) return;
    await sleep(250, undefined, { signal }).catch(() => undefined);
  }
};

// --- calm --------------------------------------------------------------------------------------

const calm = async (fleet: Fleet, asked: ReadonlyMap<string, Work>, options: ChaosOptions): Promise<void> => {
  const patience = AbortSignal.any([options.signal, AbortSignal.timeout(options.calmMs)]);
  const began = performance.now();
  await untilOpen(fleet, asked, options, began, 0, patience);
  await answerAll(fleet, options);
  await untilOpen(fleet, asked, options, began, 0, patience);
  await quiet(fleet, patience);
};

/** The faults are over, so a person lets everything be tried again that waits for one. */
const answerAll = async ({ server, prefix, client }: Fleet, { say }: ChaosOptions): Promise<void> => {
  for (const id of await server.redis.zrange(`${prefix}:tasks:waiting`, '0', '-1')) {
    say(`calm: ${id} waits for a person, who says: retry`);
    await client.retry(id);
    while ((await server.redis.hget(`${prefix}:task:${id}`, 'status')) === 'waiting_for_person') await sleep(100);
  }
};

/** Until nothing waits and nothing is held; what is parked for a person may lie on. */
const quiet = async ({ server, prefix }: Fleet, signal: AbortSignal): Promise<void> => {
  const inboxes = await server.redis.keys(`${prefix}:inbox:*`);
  for (;;) {
    const lengths = await Promise.all(inboxes.map((key) => server.redis.xlen(key)));
    if (lengths.every((length) => length === 0) || signal.aborted) return;
    await sleep(200);
  }
};

// --- down --------------------------------------------------------------------------------------

/**
 * A day passes for what lies about: clones of the dead become a day old, and every service is drained and started
 * again, which sweeps. Then all of it is drained for good. Returns what did not drain.
 */
const comeDown = async (fleet: Fleet, signal: AbortSignal): Promise<string[]> => {
  const { home, supervisor } = fleet;
  ageClones(home);
  await supervisor.restartAll();
  await fleet.ready(signal);
  await sleep(4000);
  const killed = await supervisor.stop();
  return killed.map((name) => `${name} did not drain and had to be killed`);
};

/** 69: it found no usable Redis when it started, which a fault explains. Any other code is a service that gave up. */
const endedByThemselves = ({ supervisor }: Fleet): string[] =>
  supervisor.all.flatMap(({ name, endings }) => {
    const codes = endings().filter((code) => code !== 69);
    return codes.length === 0 ? [] : [`${name} ended by itself with exit code ${codes.join(', ')}`];
  });

/** What lies about was made yesterday: by its own note, or where there is none by its folder's time. */
const ageClones = (home: string): void => {
  const yesterday = new Date(Date.now() - 25 * 3_600_000);
  const under = (folder: string): string[] =>
    existsSync(folder)
      ? readdirSync(folder, { withFileTypes: true }).flatMap((one) =>
          one.isDirectory() ? [join(folder, one.name)] : [],
        )
      : [];
  for (const clone of [...under(join(home, 'workspaces')).flatMap(under), ...under(join(home, 'gates'))]) {
    const note = join(clone, '.git', 'nexus.json');
    const told = existsSync(note) ? readFileSync(note, 'utf8') : '';
    // Where the disk was full a note may hold nothing.
    if (told !== '') writeFileSync(note, JSON.stringify({ ...JSON.parse(told), made_at: yesterday.toISOString() }));
    utimesSync(clone, yesterday, yesterday);
  }
};
