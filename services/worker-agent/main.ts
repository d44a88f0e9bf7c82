/**
 * The worker: runs attempts, `NEXUS_SLOTS` of them side by side. One worker can be any agent.
 *
 * Read on-subtask-dispatched.ts → attempt.ts → prepare.ts → runtimes.ts → conclude.ts; the rest serves these.
 */

import { mkdir } from 'node:fs/promises';
import { isConnectionError } from '@nexus/shared/bus';
import { foldersOf, openLiveCatalog } from '@nexus/shared/catalog';
import { secretValues } from '@nexus/shared/config';
import { fail, toAppError } from '@nexus/shared/errors';
import { readTaskStatus } from '@nexus/shared/ledger';
import { openMemory } from '@nexus/shared/memory';
import { taskId } from '@nexus/shared/messages/domain';
import { openEmbed } from '@nexus/shared/model';
import { listMarked } from '@nexus/shared/process';
import { defineService, type ServiceContext, serve } from '@nexus/shared/service';
import { embeddingGate, openSpending, type Spending } from '@nexus/shared/spend';
import { openRedactor } from '@nexus/shared/telemetry';
import { type Admission, openAdmission, readMachine } from './admission.ts';
import type { WorkerTools } from './attempt.ts';
import { config } from './config.ts';
import { onSessionDismissed } from './on-session-dismissed.ts';
import { onSubtaskDispatched } from './on-subtask-dispatched.ts';
import { endOrphans, marksOf } from './orphans.ts';
import { sweepConversations } from './presets/run-preset.ts';
import { keepRoom } from './relief.ts';
import { openRunning } from './running.ts';
import { loadRuntimes, lookAtRuntimes, type Runtime, type RuntimeContext } from './runtimes.ts';
import { openSafety } from './safety/safety.ts';
import { openSeats } from './seats.ts';
import { sweepSessions } from './sessions/sweep.ts';
import { openTokens } from './tokens.ts';
import { sweepWorkspaces } from './workspace.ts';

const lookEveryMs = 15_000;

type Context = ServiceContext<typeof config>;

const open = async (context: Context): Promise<WorkerTools> => {
  const { config: settings, bus, log, meters } = context;
  const catalog = await openLiveCatalog({ folders: foldersOf(settings), bus, log, everyMs: settings.catalogEvery });
  const runtimes = await loadRuntimes();
  if (settings.runtime !== 'auto' && !runtimes.has(settings.runtime)) {
    throw fail('RUNTIME_UNKNOWN', { runtime: settings.runtime, known: [...runtimes.keys()].join(', ') });
  }
  const safety = await openSafety(settings);
  const asked: RuntimeContext = {
    agentCommand: settings.agentCommand ?? null,
    rehearsal: settings.rehearsal,
    task: null,
    settings,
    sandbox: safety.agent.sandbox,
  };
  const admission = await admit(context);
  const look = async () => bus.present({ runtimes: await lookAtRuntimes(runtimes, asked) });
  await look();
  const spending = openSpending({ bus, config: settings, log, meters });
  const timers = [
    setInterval(() => void look(), lookEveryMs),
    ...keepClean(context, runtimes, asked, spending),
    tellRefusals(context, admission),
  ];
  timers.push(keepRoom(settings, bus.isClaimed, log));
  const redactor = openRedactor(secretValues());
  const gate = embeddingGate(spending, bus.instanceId);
  const embed = openEmbed(settings, { gate, priceOf: spending.prices.costOf });
  const memories = openMemory({ side: bus.side, keys: bus.keys, settings, redact: redactor.text, embed, log });
  const running = openRunning(bus.present);
  bus.present({ sandbox: safety.sandbox });
  const attempts = meters.counter('nexus_attempts_total', 'Attempts that ended, by outcome.', ['outcome']);
  const count = (outcome: string) => attempts.inc({ outcome });
  const close = async () => {
    for (const timer of timers) clearInterval(timer);
    await catalog.close();
    await safety.close();
  };
  const { isClaimed } = bus;
  const { room, seat } = admission;
  const ended = () => running.deadCount() === bus.busy();
  const isRepeated = openTokens();
  const told = { memories, running, spending, safety, room, seat, ended, count, isClaimed, isRepeated };
  return { config: settings, catalog, runtimes, redactor, ...told, close };
};

/** What this machine can hold; `/ready` and presence say why it is nothing. */
const admit = async ({ config: settings, bus, ready }: Context) => {
  await mkdir(settings.home, { recursive: true });
  const place = { home: settings.home, prefix: bus.keys.prefix };
  const tokensAlive = () => marksOf(place, listMarked()).values();
  const seats = openSeats({ ...place, seatsMax: settings.agentsMax, tokensAlive });
  const agentsElsewhere = () =>
    [...seats.elsewhere()].filter((token) => !token.startsWith(`${bus.instanceId}.`)).length;
  const admission = openAdmission(settings, readMachine(settings.home, { agentsHere: bus.busy, agentsElsewhere }));
  // A machine that is full with our own work is in order: only what lies outside makes it unready.
  ready('admission', () => (bus.busy() > 0 ? null : admission.refuses()));
  const seat = async (token: string) => {
    const release = await seats.take(token);
    if (release === null) admission.lookAgain();
    return release;
  };
  return { ...admission, seat: settings.agentsMax > 0 ? seat : undefined };
};

const tellRefusals = ({ bus, log }: Context, admission: Admission): NodeJS.Timeout => {
  let told: string | null = null;
  return setInterval(() => {
    const refuses = admission.refuses();
    if ((refuses === null) !== (told === null)) {
      if (refuses === null) log.info('There is room for attempts again');
      else log.warn({ why: refuses }, 'No attempt is taken');
    }
    if (refuses !== told) bus.present({ refuses });
    told = refuses;
  }, 1000);
};

/** Removes what is old and ends what is nobody's, at once and every so often. */
const keepClean = (
  context: Context,
  runtimes: Map<string, Runtime>,
  asked: RuntimeContext,
  { budgets }: Spending,
): NodeJS.Timeout[] => {
  const { config: settings, bus, log } = context;
  const { home, keepFailed: keepMs, checkpointFileMax: fileBytesMax } = settings;
  const { isClaimed } = bus;
  const isGone = async (task: string) =>
    taskId.safeParse(task).success && (await readTaskStatus(bus.store, bus.keys, task)) === null;
  const sweep = async () => {
    const author = { name: 'NEXUS', email: 'worker@nexus.local' };
    const how = { home, keepMs, now: Date.now(), author, isGone, isClaimed, fileBytesMax, disk: settings };
    const { removed, kept } = await sweepWorkspaces(how);
    if (removed.length > 0) log.info({ removed: removed.length }, 'old workspaces were removed');
    if (kept.length > 0) log.warn({ kept }, 'old workspaces hold work that could not be saved');
  };
  const forget = async () => {
    const { store, keys } = bus;
    const how = { store, keys, runtimes, context: asked, now: Date.now(), keepMs: settings.sessionKeep };
    const tasks = await sweepConversations({ home, keepMs: settings.sessionKeep, now: Date.now(), isGone });
    const removed = tasks + (await sweepSessions(how));
    if (removed > 0) log.info({ removed }, 'conversations that are over were removed');
  };
  const reap = async () => {
    const { ended, survivors } = await endOrphans({ home, prefix: bus.keys.prefix, mayRun: bus.mayRun });
    if (ended.length > 0) log.warn({ ended, survivors }, 'agents of an earlier life were ended');
  };
  const release = async () => {
    const freed = await budgets.freeLost();
    if (freed > 0) log.info({ freed }, 'what the dead had reserved was given back to its budgets');
  };
  const every = (work: () => Promise<void>, ms: number, what: string): NodeJS.Timeout => {
    // An outage of Redis is told once, by whoever looks after the connections.
    const level = (thrown: unknown) => (isConnectionError(thrown) ? 'debug' : 'warn');
    const once = () => void work().catch((thrown) => log[level(thrown)]({ err: toAppError(thrown) }, `${what} failed`));
    once();
    return setInterval(once, ms);
  };
  return [
    every(sweep, settings.cleanEvery, 'a sweep of workspaces'),
    every(forget, settings.cleanEvery, 'a sweep of sessions'),
    every(reap, settings.orphansEvery, 'a search for orphans'),
    every(release, settings.orphansEvery, 'a search for lost reservations'),
  ];
};

export const service = defineService({
  name: 'worker-agent',
  config,
  mode: 'take',
  slots: (settings) => settings.slots,
  open,
  handlers: { 'subtask.dispatched': onSubtaskDispatched, 'session.dismissed': onSessionDismissed },
});

if (import.meta.main) await serve(service);
