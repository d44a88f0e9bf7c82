/**
 * The worker: runs attempts, `NEXUS_SLOTS` of them side by side. One worker can be any agent.
 *
 * Read on-subtask-dispatched.ts → attempt.ts → prepare.ts → runtimes.ts → conclude.ts; the rest serves these.
 */
import { foldersOf, openCatalog } from '@nexus/shared/catalog';
import { secretValues } from '@nexus/shared/config';
import { fail, toAppError } from '@nexus/shared/errors';
import { readTaskStatus } from '@nexus/shared/ledger';
import { taskId } from '@nexus/shared/messages/domain';
import { defineService, type ServiceContext, serve } from '@nexus/shared/service';
import { openRedactor } from '@nexus/shared/telemetry';
import type { WorkerTools } from './attempt.ts';
import { config } from './config.ts';
import { onSubtaskDispatched } from './on-subtask-dispatched.ts';
import { openRunning } from './running.ts';
import { loadRuntimes, lookAtRuntimes, type RuntimeContext } from './runtimes.ts';
import { sweepWorkspaces } from './workspace.ts';

const lookEveryMs = 15_000;
const sweepEveryMs = 3_600_000;

const open = async ({ config: settings, bus, log, meters }: ServiceContext<typeof config>): Promise<WorkerTools> => {
  const catalog = await openCatalog(foldersOf(settings));
  for (const notice of catalog.notices) log.info(notice);
  const runtimes = await loadRuntimes();
  if (settings.runtime !== 'auto' && !runtimes.has(settings.runtime)) {
    throw fail('RUNTIME_UNKNOWN', { runtime: settings.runtime, known: [...runtimes.keys()].join(', ') });
  }
  const context: RuntimeContext = {
    agentCommand: settings.agentCommand ?? null,
    rehearsal: settings.rehearsal,
    task: null,
  };
  const look = async () => bus.present({ runtimes: await lookAtRuntimes(runtimes, context) });
  const isGone = async (task: string) =>
    taskId.safeParse(task).success && (await readTaskStatus(bus.store, bus.keys, task)) === null;
  const sweep = async () => {
    const author = { name: 'NEXUS', email: 'worker@nexus.local' };
    const { home, keepFailed: keepMs } = settings;
    const { removed, kept } = await sweepWorkspaces({ home, keepMs, now: Date.now(), author, isGone });
    if (removed.length > 0) log.info({ removed: removed.length }, 'old workspaces were removed');
    if (kept.length > 0) log.warn({ kept }, 'old workspaces hold work that could not be saved');
  };
  const complain = (thrown: unknown) => log.warn({ err: toAppError(thrown) }, 'a sweep of workspaces failed');
  await look();
  void sweep().catch(complain);
  const timers = [
    setInterval(() => void look(), lookEveryMs),
    setInterval(() => void sweep().catch(complain), sweepEveryMs),
  ];
  const redactor = openRedactor(secretValues());
  const running = openRunning(bus.present);
  const attempts = meters.counter('nexus_attempts_total', 'Attempts that ended, by outcome.', ['outcome']);
  const count = (outcome: string) => attempts.inc({ outcome });
  const close = async () => {
    for (const timer of timers) clearInterval(timer);
  };
  return { config: settings, catalog, runtimes, redactor, running, count, close };
};

export const service = defineService({
  name: 'worker-agent',
  config,
  mode: 'take',
  slots: (settings) => settings.slots,
  open,
  handlers: { 'subtask.dispatched': onSubtaskDispatched },
});

if (import.meta.main) await serve(service);
