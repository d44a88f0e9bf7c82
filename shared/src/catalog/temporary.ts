/** Agents that come with a request or a plan, and go with the board: definitions like all others, kept with it. */
import { fail, isFailure } from '@nexus/shared/errors';
import type { TemporaryAgent } from '@nexus/shared/messages/domain';
import { type AgentDefinition, readAgent } from './agent-definition.ts';
import type { Catalog } from './catalog.ts';
import { type AgentFields, writeAgent } from './write-agent.ts';

export type Temporary = { agent: AgentDefinition; source: string };

/** The definition that a temporary agent makes, or what is wrong with it. */
export const readTemporary = ({ prompt, ...fields }: TemporaryAgent): Temporary | string => {
  const source = writeAgent({ ...fields, persona: prompt } as AgentFields);
  try {
    const agent = readAgent(`The agent "${fields.name}"`, source);
    return agent === null ? `The agent "${fields.name}" cannot be read` : { agent, source };
  } catch (thrown) {
    if (!isFailure(thrown, 'DEFINITION_INVALID')) throw thrown;
    return thrown.message;
  }
};

/**
 * The catalog as one request sees it: with the agents that it brings. Throws `REQUEST_INVALID` where one does not hold,
 * or has the id or the role of somebody who is there already.
 */
export const withTemporary = (catalog: Catalog, given: readonly TemporaryAgent[] | undefined): Catalog => {
  if (given === undefined || given.length === 0) return catalog;
  const named = new Map<string, AgentDefinition>();
  const taken = new Set([...catalog.agents.values()].flatMap(({ agent_id, role }) => [agent_id, role]));
  for (const one of given) {
    const read = readTemporary(one);
    if (typeof read === 'string') throw fail('REQUEST_INVALID', { problem: `agents: ${read}` });
    const { agent } = read;
    for (const name of new Set([agent.agent_id, agent.role])) {
      const problem = `agents: there is an agent "${name}" already; name it in roles, or take another name`;
      if (taken.has(name)) throw fail('REQUEST_INVALID', { problem });
      taken.add(name);
      named.set(name, agent);
    }
  }
  const agents = new Map([...catalog.agents, ...[...named.values()].map((agent) => [agent.agent_id, agent] as const)]);
  return {
    agents,
    workflows: catalog.workflows,
    notices: catalog.notices,
    agentFor: (role) => named.get(role.trim().toLowerCase()) ?? catalog.agentFor(role),
    candidatesFor: (role) => {
      const own = named.get(role.trim().toLowerCase());
      return own ? [own] : catalog.candidatesFor(role);
    },
    othersFor: catalog.othersFor,
    workflow: catalog.workflow,
  };
};
