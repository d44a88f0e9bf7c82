/**
 * Who else can do what an agent does. Of the same role first; else whoever shares the most words of expertise and
 * capabilities with it. Nobody takes over who may not edit files where the agent may, or the other way round, and
 * nobody from the orchestrator's chair.
 */
import type { AgentDefinition } from './agent-definition.ts';

const editingTools = ['Edit', 'Write', 'MultiEdit', 'NotebookEdit'];
const orchestrating = 'orchestrator';
/** Nearer than any number of words in common. */
const sameRole = 1000;

/** The others, the nearest first; nobody who has nothing in common with it. */
export const othersFor = (agents: Iterable<AgentDefinition>, agent: AgentDefinition): AgentDefinition[] => {
  const words = wordsOf(agent);
  return [...agents]
    .filter((other) => other.agent_id !== agent.agent_id && other.role !== orchestrating)
    .filter((other) => mayEdit(other) === mayEdit(agent))
    .map((other) => ({ other, near: nearness(other, agent, words) }))
    .filter(({ near }) => near > 0)
    .toSorted((one, two) => two.near - one.near)
    .map(({ other }) => other);
};

/** No tools named means every tool that the runtime has. */
const mayEdit = ({ tools }: AgentDefinition): boolean =>
  tools.length === 0 || tools.some((tool) => editingTools.includes(tool));

const nearness = (other: AgentDefinition, agent: AgentDefinition, words: ReadonlySet<string>): number =>
  other.role === agent.role ? sameRole : wordsOf(other).intersection(words).size;

const wordsOf = ({ expertise, capabilities }: AgentDefinition): Set<string> =>
  new Set([...expertise, ...capabilities].flatMap((text) => text.toLowerCase().match(/[\p{L}\p{N}]{3,}/gu) ?? []));
