/** What an agent, and the set-up before it, find in their environment beside the fixed allow-list. */
import { resolve } from 'node:path';
import type { AgentDefinition } from '@nexus/shared/catalog';
import { inheritedEnvironment } from '@nexus/shared/config';
import type { Author } from '@nexus/shared/git';
import type { PayloadOf } from '@nexus/shared/messages';
import { cacheEnvironment } from '@nexus/shared/project';
import type { WorkerConfig } from './config.ts';
import { withoutKeys } from './safety/safety.ts';

/** An agent signs with its own name, under an address that is nobody's. */
export const authorOf = (agent: Pick<AgentDefinition, 'agent_id' | 'name'>): Author => ({
  name: agent.name,
  email: `${agent.agent_id}@nexus.local`,
});

/** Whatever a repository, or its set-up, configured: its hooks run for nobody, not even for the agent's own commits. */
const withoutHooks = {
  GIT_CONFIG_COUNT: '2',
  GIT_CONFIG_KEY_0: 'core.hooksPath',
  GIT_CONFIG_VALUE_0: '/dev/null',
  GIT_CONFIG_KEY_1: 'core.fsmonitor',
  GIT_CONFIG_VALUE_1: 'false',
};

/** Who and what the attempt is, whose name commits carry, where caches lie, and what the operator hands on. */
export const agentEnvironment = (
  order: PayloadOf<'subtask.dispatched'>,
  agent: AgentDefinition,
  config: WorkerConfig,
): Record<string, string> => {
  const { name, email } = authorOf(agent);
  return {
    ...cacheEnvironment(config.home),
    ...inheritedEnvironment(withoutKeys(config.agentEnvironment)),
    // With the mark it says whose processes these are: fleets of other homes may share the machine.
    NEXUS_MARK_HOME: resolve(config.home),
    NEXUS_TASK: order.task_id,
    NEXUS_SUBTASK: order.subtask_id,
    NEXUS_ATTEMPT: String(order.attempt),
    NEXUS_ROLE: order.role,
    NEXUS_KIND: order.kind,
    NEXUS_AGENT: agent.agent_id,
    GIT_AUTHOR_NAME: name,
    GIT_AUTHOR_EMAIL: email,
    GIT_COMMITTER_NAME: name,
    GIT_COMMITTER_EMAIL: email,
    GIT_TERMINAL_PROMPT: '0',
    ...withoutHooks,
  };
};
