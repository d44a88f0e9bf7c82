/**
 * How a request becomes a task: the checks, in this order, and one message.
 *
 *   shape (before this file) → deadline → workflow, roles → scenario → drained, Redis full? → a worker →
 *   a runtime → its command → the repository → task.submitted, where the limit of tasks in flight is checked
 *
 * Whatever is refused leaves nothing behind. A fleet that is stopped or paused still accepts: the message
 * waits and runs after RESUME_ALL, and the answer says so in `warnings`; only DRAIN closes the door.
 */
import { createHash, randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { hostname } from 'node:os';
import { fileURLToPath } from 'node:url';
import { taskIdFor, validateRequest } from '@nexus/shared/catalog';
import type { TaskAccepted } from '@nexus/shared/client/api';
import { fail, isFailure } from '@nexus/shared/errors';
import { probeRepository } from '@nexus/shared/git';
import type { Presence, TaskRequest } from '@nexus/shared/messages/domain';
import { parseScenario } from '@nexus/shared/messages/scenario';
import type { Fleet } from './fleet.ts';
import { invalid } from './problem.ts';
import { trackingUrl } from './show-task.ts';

export type Asking = { actor: string; idempotencyKey: string | undefined };

/** Checks a request and publishes it. Throws what is wrong with it, or with the fleet, as an AppError. */
export const submit = async (fleet: Fleet, asked: TaskRequest, asking: Asking): Promise<TaskAccepted> => {
  const request = withPath(asked);
  const key = asking.idempotencyKey === undefined ? undefined : `${asking.actor}:${asking.idempotencyKey}`;
  const digest = createHash('sha256').update(JSON.stringify(request)).digest('hex');
  // Asked again, the answer is the same even if by now a check would refuse it.
  const before = key === undefined ? null : await fleet.bus.store.readText(fleet.bus.keys.seen(`key:${key}`));
  if (before !== null) return remembered(before, digest, asking);

  checkDeadline(request);
  validateRequest(fleet.catalog, request);
  checkScenario(request, fleet.config.rehearsal);
  const held = await checkOpen(fleet);
  await checkMemory(fleet);
  const workers = (await fleet.bus.presences()).filter(({ service }) => service === 'worker-agent');
  checkRuntime(request, workers);
  checkCommand(request, workers);
  const warnings = [...held, ...unbounded(request, fleet, workers), ...(await checkRepository(fleet, request))];

  const taskId = taskIdFor(request.request, randomUUID());
  const accepted: TaskAccepted = {
    task_id: taskId,
    status: 'accepted',
    estimated_completion: null,
    assigned_agents: [],
    tracking_url: trackingUrl(taskId),
    warnings,
  };
  const published = await fleet.bus.publish({
    type: 'task.submitted',
    ...packed(fleet, taskId, request),
    thread: taskId,
    actor: asking.actor,
    accept: true,
    tasksMax: fleet.config.tasksMax,
    remember: JSON.stringify({ digest, accepted }),
    ...(request.priority === undefined ? {} : { priority: request.priority }),
    ...(key === undefined ? {} : { idempotencyKey: key }),
  });
  return published.duplicate ? remembered(published.stored ?? '', digest, asking) : accepted;
};

/** The answer of the first call with this key; throws `IDEMPOTENCY_CONFLICT` if that asked for something else. */
const remembered = (stored: string, digest: string, { idempotencyKey = '' }: Asking): TaskAccepted => {
  const first = JSON.parse(stored) as { digest: string; accepted: TaskAccepted };
  if (first.digest !== digest) throw fail('IDEMPOTENCY_CONFLICT', { key: idempotencyKey });
  return first.accepted;
};

/** Requests that an envelope cannot carry lie under a key of their own, stored in the same script call. */
const inlineBytesMax = 48_000;
const packed = ({ bus }: Fleet, taskId: string, request: TaskRequest) => {
  const text = JSON.stringify(request);
  if (Buffer.byteLength(text) <= inlineBytesMax) return { payload: { task_id: taskId, request } };
  const key = bus.keys.request(taskId);
  return { payload: { task_id: taskId, request_key: key }, attach: [{ key, text }] };
};

/** A file URL is a path, and is looked at as one: what this fleet may see holds for both. Throws `REQUEST_INVALID`. */
const withPath = (request: TaskRequest): TaskRequest => {
  const { repository } = request;
  if (repository === undefined || !/^file:/i.test(repository)) return request;
  try {
    return { ...request, repository: fileURLToPath(repository) };
  } catch {
    throw invalid([{ field: 'repository', says: 'is no file URL of this machine; file:///srv/shop.git would be one' }]);
  }
};

// --- the checks --------------------------------------------------------------------------------

export const checkDeadline = ({ deadline }: TaskRequest): void => {
  const now = new Date();
  if (deadline !== undefined && Date.parse(deadline) <= now.getTime()) {
    throw fail('DEADLINE_PASSED', { deadline, now: now.toISOString() });
  }
};

const checkScenario = ({ scenario, runtime }: TaskRequest, rehearsal: boolean): void => {
  if (scenario === undefined) {
    if (runtime !== 'scripted') return;
    throw invalid([{ field: 'scenario', says: 'is missing; the runtime "scripted" plays one' }]);
  }
  if (!rehearsal) throw fail('REHEARSAL_OFF');
  if (runtime !== undefined && runtime !== 'scripted') {
    throw invalid([{ field: 'runtime', says: `is "${runtime}", but a scenario is played by "scripted"` }]);
  }
  parseScenario(scenario);
};

/** Throws `DRAINING`; else the warnings of a fleet that will not begin at once. */
const checkOpen = async ({ bus, config }: Fleet): Promise<string[]> => {
  const { state } = await bus.control.read();
  if (state === 'draining') throw fail('DRAINING', { state });
  return state === 'running'
    ? []
    : [`The fleet is ${state}: the task waits until \`${config.command ?? 'nexus'} resume --all\`.`];
};

/** A budget bounds only what tells what it uses; where nothing else can run, that is said before it does. */
const unbounded = (request: TaskRequest, { config }: Fleet, workers: readonly Presence[]): string[] => {
  const isBounded =
    request.budget !== undefined || config.budgetTaskUsd !== undefined || config.budgetTaskTokens !== undefined;
  if (!isBounded) return [];
  const asked = request.agent_command === undefined ? request.runtime : 'command';
  const wanted = asked ?? (request.scenario === undefined ? undefined : 'scripted');
  const fit = workers
    .flatMap(({ runtimes }) => runtimes)
    .filter(({ name, usable }) => (wanted === undefined ? usable && name !== 'scripted' : name === wanted));
  if (fit.some(({ tells_cost }) => tells_cost !== false)) return [];
  const names = unique(fit.map(({ name }) => name)).join(', ');
  return [`The budget cannot bound this task: the runtime ${names} does not tell what it uses. Its time boxes do.`];
};

/** Redis keeps room for the work that is under way: new work is refused while it can still finish the old. */
const checkMemory = async ({ bus, config }: Fleet): Promise<void> => {
  const percent = Math.round(100 * (await bus.memoryShare()));
  const percentMax = config.memoryPercentMax;
  if (percent >= percentMax) throw fail('BUS_MEMORY', { percent, percentMax });
};

/**
 * Somebody must be able to do it: a worker that lives, with a runtime that is usable there. A command that
 * comes with the task is looked up where it runs, so here the runtime `command` only has to exist.
 */
const checkRuntime = (request: TaskRequest, workers: readonly Presence[]): void => {
  if (workers.length === 0) throw fail('NO_WORKER');
  const runtimes = workers.flatMap((worker) => worker.runtimes);
  // A worker beats before it has looked around; what it has not told is no reason to refuse for good.
  if (runtimes.length === 0) throw fail('WORKERS_STARTING');
  const names = [...new Set(runtimes.map(({ name }) => name))];
  const wanted = request.runtime ?? (request.scenario === undefined ? undefined : 'scripted');
  if (wanted !== undefined && names.length > 0 && !names.includes(wanted)) {
    throw fail('RUNTIME_UNKNOWN', { runtime: wanted, known: names.join(', ') });
  }
  if (request.agent_command !== undefined) {
    if (wanted === undefined || wanted === 'command') return;
    throw invalid([{ field: 'agent_command', says: `is run by the runtime "command", not by "${wanted}"` }]);
  }
  // Nothing is ever rehearsed unless a scenario was given.
  const fit = runtimes.filter(({ name }) => (wanted === undefined ? name !== 'scripted' : name === wanted));
  if (fit.some(({ usable }) => usable)) return;
  const looked = unique(fit.map(({ name, looked: where }) => `${name} (${where})`)).join('; ');
  const mend = unique(fit.map((runtime) => runtime.mend))[0];
  throw fail('NO_RUNTIME', {
    looked: looked || `the runtime ${wanted ?? 'of an agent'}, of which no worker tells`,
    mend: mend || 'set NEXUS_AGENT_COMMAND on the workers, or give an agent command with the task',
  });
};

/**
 * A program by its full path is there or not, and can be looked for where every worker is on this machine. Any other
 * command is looked for by the worker: its first attempt ends with what was looked for, and is not tried again.
 */
const checkCommand = ({ agent_command }: TaskRequest, workers: readonly Presence[]): void => {
  const [program] = /^\/[\w./+@%:,-]+(?=\s|$)/.exec(agent_command?.trim() ?? '') ?? [];
  if (program === undefined || existsSync(program) || workers.some(({ host }) => host !== hostname())) return;
  throw fail('AGENT_COMMAND_MISSING', { program });
};

const unique = (texts: string[]): string[] => [...new Set(texts)].filter((text) => text !== '');

const sightSetting = 'NEXUS_REPOSITORIES_ROOT; docker compose mounts NEXUS_REPOSITORIES_DIR there';

/** Looks at the repository before anything is promised; returns what may surprise. */
export const checkRepository = async ({ config, bus }: Fleet, { repository, base }: TaskRequest): Promise<string[]> => {
  if (repository === undefined) {
    if (base === undefined) return [];
    throw invalid([{ field: 'base', says: 'names a place in a repository, but no repository is given' }]);
  }
  const root = config.repositoriesRoot;
  try {
    const { warnings } = await probeRepository({
      repository,
      base,
      credentials: config.gitCredentials,
      within: root === undefined ? undefined : { folders: [root], setting: sightSetting },
      timeoutMs: config.probeTimeoutMs,
    });
    return warnings;
  } catch (error) {
    if (!isFailure(error, 'REPOSITORY_LOCKED') || !(await finalizerHasKeyTo(repository, bus))) throw error;
    return ['Only the finalizer has the credentials of this repository; it looks at it when the task starts.'];
  }
};

/** Push credentials lie with the finalizer alone; it tells for which hosts it has some. */
const finalizerHasKeyTo = async (repository: string, bus: Fleet['bus']): Promise<boolean> => {
  const host = URL.canParse(repository) ? new URL(repository).host : '';
  const presences = await bus.presences();
  return host !== '' && presences.some((presence) => presence.credentials_for?.includes(host));
};
