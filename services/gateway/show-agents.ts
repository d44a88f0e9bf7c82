/** The agents as people see them: definitions, and what live workers and today's counters say of them. */

import type { AgentDefinition } from '@nexus/shared/catalog';
import type { AgentList, AgentShown } from '@nexus/shared/client/api';
import { type Presence, serviceName } from '@nexus/shared/messages/domain';

export type Seen = {
  agents: Iterable<AgentDefinition>;
  presences: readonly Presence[];
  /** Today's counters: `agent:<id>:completed`, `agent:<id>:failed`. */
  stats: ReadonlyMap<string, number>;
  control: string;
  fabric: { ok: boolean; says: string };
};

export const showAgents = (seen: Seen): AgentList => {
  const workers = seen.presences.filter(({ service }) => service === 'worker-agent');
  const agents = [...seen.agents].map((agent) => showAgent(agent, workers, seen.stats));
  const { health, says } = healthOf(seen, workers);
  return {
    agents,
    system_health: health,
    says,
    total_agents: agents.length,
    active_agents: agents.filter(({ status }) => status === 'active').length,
    workers: workers.map(({ instance_id, host, state, slots, busy, runtimes }) => ({
      instance_id,
      host,
      state,
      slots,
      busy,
      runtimes,
    })),
  };
};

/**
 * A definition is never busy: active means that attempts of it run; error, that no worker could run one, not even
 * with a command that a task brings.
 */
const showAgent = (agent: AgentDefinition, workers: Presence[], stats: ReadonlyMap<string, number>): AgentShown => {
  const running = workers.flatMap(({ instance_id, running: runs }) =>
    runs.filter(({ agent_id }) => agent_id === agent.agent_id).map((run) => ({ ...run, instance_id })),
  );
  const completed = stats.get(`agent:${agent.agent_id}:completed`) ?? 0;
  const failed = stats.get(`agent:${agent.agent_id}:failed`) ?? 0;
  const able = workers.some(
    (worker) => [...usable(worker, agent.runtime?.name), ...lent(worker, agent.runtime?.name)][0],
  );
  return {
    agent_id: agent.agent_id,
    name: agent.name,
    role: agent.role,
    description: agent.description,
    status: running.length > 0 ? 'active' : able ? 'idle' : 'error',
    current_task: running[0]?.task_id ?? null,
    running,
    health_score: completed + failed === 0 ? null : Math.round((100 * completed) / (completed + failed)) / 100,
    tasks_completed_today: completed,
    tasks_failed_today: failed,
  };
};

const usable = (worker: Presence, name: string | undefined) =>
  worker.runtimes.filter((runtime) => runtime.usable && (name === undefined || runtime.name === name));

/** The runtime `command` runs what a task brings, also where no command is set for the fleet. */
const lent = (worker: Presence, name: string | undefined) =>
  worker.runtimes.filter((runtime) => runtime.name === 'command' && (name === undefined || name === 'command'));

type Health = { health: AgentList['system_health']; says: string };

const healthOf = (seen: Seen, workers: Presence[]): Health => {
  if (!seen.fabric.ok) return { health: 'bad', says: seen.fabric.says };
  const alive = new Set(seen.presences.map(({ service }) => service));
  const missing = serviceName.options.filter((service) => !alive.has(service));
  if (missing.length > 0) return { health: 'bad', says: `Not alive: ${missing.join(', ')}.` };
  const own = workers.some((worker) => usable(worker, undefined).length > 0);
  if (!own && !workers.some((worker) => lent(worker, undefined).length > 0)) {
    return { health: 'degraded', says: 'No worker has a usable runtime; `nexus doctor` says what is missing.' };
  }
  const silent = seen.presences.filter(({ silent_since }) => silent_since !== undefined);
  if (silent.length > 0) {
    const told = silent.map(({ instance_id, silent_since }) => `${instance_id} since ${silent_since}`);
    return { health: 'degraded', says: `Silent: ${told.join(', ')}.` };
  }
  const survivors = seen.presences.flatMap((presence) => presence.survivors);
  if (survivors.length > 0) {
    return { health: 'degraded', says: `Processes outlived a stop: ${survivors.join(', ')}.` };
  }
  if (seen.control !== 'running') return { health: 'degraded', says: `The fleet is ${seen.control}.` };
  if (own) return { health: 'good', says: 'Every service is alive and workers can run agents.' };
  return { health: 'good', says: 'Every service is alive. No agent command is set: each task has to bring one.' };
};
