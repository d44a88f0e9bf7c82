/**
 * Who else can do what an agent does. Of the same role first; else whoever shares the most words of expertise and
 * capabilities with it, rare words before common ones. Nobody takes over who may not edit files where the agent may,
 * or the other way round, and nobody from the orchestrator's chair.
 */
import type { AgentDefinition } from './agent-definition.ts';

const editingTools = ['Edit', 'Write', 'MultiEdit', 'NotebookEdit'];
const orchestrating = 'orchestrator';

/** The others, the nearest first; nobody who has nothing in common with it. */
export const othersFor = (agents: readonly AgentDefinition[], agent: AgentDefinition): AgentDefinition[] => {
  const words = wordsOf(agent);
  const rarity = raritiesIn(agents);
  const nearness = (other: AgentDefinition): number =>
    other.role === agent.role
      ? Number.MAX_VALUE
      : [...wordsOf(other).intersection(words)].reduce((sum, word) => sum + (rarity.get(word) ?? 0), 0);
  return agents
    .filter((other) => other.agent_id !== agent.agent_id && other.role !== orchestrating)
    .filter((other) => mayEdit(other) === mayEdit(agent))
    .map((other) => ({ other, near: nearness(other) }))
    .filter(({ near }) => near > 0)
    .toSorted((one, two) => two.near - one.near)
    .map(({ other }) => other);
};

/** No tools named means every tool that the runtime has. */
export const mayEdit = ({ tools }: AgentDefinition): boolean =>
  tools.length === 0 || tools.some((tool) => editingTools.includes(tool));

/** A word that few have says more: design is what everybody does. */
const raritiesIn = (agents: readonly AgentDefinition[]): Map<string, number> => {
  const counts = new Map<string, number>();
  for (const word of agents.flatMap((agent) => [...wordsOf(agent)])) counts.set(word, (counts.get(word) ?? 0) + 1);
  return new Map([...counts].map(([word, count]) => [word, Math.log((agents.length + 1) / count)]));
};

/** Words, whether one or many of a thing. */
const wordsOf = ({ expertise, capabilities }: AgentDefinition): Set<string> => {
  const words = [...expertise, ...capabilities].flatMap((text) => text.toLowerCase().match(/[\p{L}\p{N}]{3,}/gu) ?? []);
  return new Set(words.filter((word) => !joining.has(word)).map((word) => word.replace(/s$/, '')));
};
const joining = new Set(['and', 'the', 'for', 'with', 'under', 'from']);
