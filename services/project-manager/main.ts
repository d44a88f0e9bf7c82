/**
 * The project manager: makes a plan into a board, dispatches what is ready, and drives each subtask through
 * its attempts, the gate and the merge to its end. It alone writes `board:<task>`; see `board.ts`.
 */
import {
  type AgentDefinition,
  type Catalog,
  foldersOf,
  mayEdit,
  openLiveCatalog,
  writeAgent,
} from '@nexus/shared/catalog';
import { secretValues } from '@nexus/shared/config';
import { openMemory } from '@nexus/shared/memory';
import { openEmbed } from '@nexus/shared/model';
import { defineService, type ServiceContext, type ServiceTools, serve } from '@nexus/shared/service';
import { embeddingGate, openSpending } from '@nexus/shared/spend';
import { openRedactor } from '@nexus/shared/telemetry';
import { config, type Rules } from './config.ts';
import { onAttemptBegun } from './on-attempt-begun.ts';
import { onAttemptFinished } from './on-attempt-finished.ts';
import { type AuditTools, onAuditDue } from './on-audit-due.ts';
import { onBackoffElapsed } from './on-backoff-elapsed.ts';
import { onBoardCancelled } from './on-board-cancelled.ts';
import { onBoardDiscarded } from './on-board-discarded.ts';
import { onDecayDue } from './on-decay-due.ts';
import { onEscalationAnswered } from './on-escalation-answered.ts';
import { type MemoryTools, onMemoryNoted } from './on-memory-noted.ts';
import { onMergeFinished } from './on-merge-finished.ts';
import { onOrderLost } from './on-order-lost.ts';
import { onPlanAccepted } from './on-plan-accepted.ts';
import { onVerdictReached } from './on-verdict-reached.ts';
import { canDo } from './routing.ts';
import type { Tools } from './transition.ts';
import { attemptsOf, runtimesOf, servingIn, slotsOf } from './workers.ts';

type Config = ServiceContext<typeof config>['config'];

const auditMs = 60_000;
const decayMs = 3_600_000;

const open = async (
  context: ServiceContext<typeof config>,
): Promise<Tools & AuditTools & MemoryTools & ServiceTools> => {
  const { config: settings, bus, log } = context;
  // Whoever hears a word about an agent can tell whether there is one.
  const onChange = ({ agents }: Catalog) => bus.present({ agents: [...agents.keys()] });
  const folders = foldersOf(settings);
  const catalog = await openLiveCatalog({ folders, bus, log, everyMs: settings.catalogEvery, onChange });
  onChange(catalog);
  const workers = async () => servingIn(await context.bus.presences());
  const overdue = context.meters.gauge(
    'nexus_checkpoints_overdue',
    'Running attempts whose work was not saved for twice as long as their workers promised.',
  );
  let forget: NodeJS.Timeout | undefined;
  const { side, keys } = context.bus;
  const redact = openRedactor(secretValues()).text;
  const spending = openSpending({ bus: context.bus, config: settings, log, meters: context.meters });
  const gate = embeddingGate(spending, context.bus.instanceId);
  const embed = openEmbed(settings, { gate, priceOf: spending.prices.costOf });
  return {
    memories: openMemory({ side, keys, settings, redact, embed, log }),
    running: async () => (await context.bus.presences()).flatMap(({ running }) => running),
    countOverdue: (count) => {
      overdue.set(count);
      // The next audit may ring at another instance: what this one found is not true for ever.
      clearTimeout(forget);
      forget = setTimeout(() => overdue.set(0), 2 * auditMs);
      forget.unref();
    },
    rules: rulesOf(context.config),
    agentFor: (roleOrId) => catalog.agentFor(roleOrId).agent_id,
    refresh: catalog.refresh,
    othersFor: (agentId) => catalog.othersFor(agentId).map(({ agent_id }) => agent_id),
    ...routingBy(catalog),
    attempts: async () => attemptsOf(await workers()),
    random: Math.random,
    capacity: async () => slotsOf(await workers()),
    runtimes: async () => runtimesOf(await workers()),
    close: catalog.close,
  };
};

const routingBy = (catalog: Catalog): Required<Pick<Tools, 'candidatesFor' | 'definitionOf'>> => ({
  candidatesFor: (role, kind) => {
    const all = catalog.candidatesFor(role);
    const able = all.filter((agent) => canDo(mayEdit(agent), kind));
    return (able.length > 0 ? able : all).map(({ agent_id }) => agent_id);
  },
  definitionOf: (agentId) => {
    const agent = catalog.agents.get(agentId);
    if (!agent) return null;
    const source = sources.get(agent) ?? writeAgent(agent);
    sources.set(agent, source);
    return { file: agent.file, source };
  },
});

/** Written once for each definition: a decision may ask several times, and each dispatch does. */
const sources = new WeakMap<AgentDefinition, string>();

const rulesOf = ({ retryBase: retryBaseMs, retryWaitMax: retryWaitMaxMs, ...limits }: Config): Rules => ({
  ...limits,
  retryBaseMs,
  retryWaitMaxMs,
  readyListedMax: 32,
});

export const service = defineService({
  name: 'project-manager',
  config,
  mode: 'stream',
  slots: () => 64,
  schedules: () => [
    { name: 'audit', everyMs: auditMs, type: 'audit.due', payload: {} },
    { name: 'decay', everyMs: decayMs, type: 'decay.due', payload: {} },
  ],
  open,
  handlers: {
    'plan.accepted': onPlanAccepted,
    'attempt.begun': onAttemptBegun,
    'attempt.finished': onAttemptFinished,
    'verdict.reached': onVerdictReached,
    'merge.finished': onMergeFinished,
    'backoff.elapsed': onBackoffElapsed,
    'escalation.answered': onEscalationAnswered,
    'audit.due': onAuditDue,
    'order.lost': onOrderLost,
    'memory.noted': onMemoryNoted,
    'decay.due': onDecayDue,
    'board.cancelled': onBoardCancelled,
    'board.discarded': onBoardDiscarded,
  },
});

if (import.meta.main) await serve(service);
