/** What makes planned subtasks a graph that can be worked off by the agents there are. */
import { type GraphNode, graphProblems } from '@nexus/shared/catalog';
import { type PlannedSubtask, timeBoxProblem } from '@nexus/shared/messages/domain';

/** A subtask's own text must leave room in the envelope for what its dependencies reported. */
const plannedBytesMax = 24_000;
/** As many as the schema of a subtask holds. */
export const dependenciesMax = 64;

/**
 * What is wrong with subtasks that are to stand on a board beside others (`known`), as sentences for their
 * planner; empty if nothing is. `agentFor` throws for a role that nobody has. `taken` are ids that no one may bear.
 */
export const problemsOf = (
  planned: readonly PlannedSubtask[],
  known: readonly string[],
  agentFor: (role: string) => string,
  taken: readonly string[] = [],
): string[] => [
  ...planned.filter(({ id }) => taken.includes(id)).map(({ id }) => `"${id}" was worked on before; take another id`),
  ...graphProblems(planned, known).map(({ says }) => says),
  ...planned.flatMap((node) => problemsOfOne(node, agentFor)),
];

const problemsOfOne = (node: PlannedSubtask, agentFor: (role: string) => string): string[] => {
  const problems: string[] = [];
  if (new Set(node.depends_on).size < node.depends_on.length) problems.push(`"${node.id}" names a dependency twice`);
  if (Buffer.byteLength(JSON.stringify(node)) > plannedBytesMax) {
    problems.push(`"${node.id}" has more than ${plannedBytesMax} bytes of text; put long material into a file`);
  }
  const box = timeBoxProblem(node.time_box_minutes, node.time_box_level);
  if (box !== null) problems.push(`"${node.id}": ${box}`);
  return [...problems, ...roleProblems(node.id, node.role, agentFor)];
};

/** What is wrong with the role of a subtask, as a sentence; nothing if somebody has it. */
export const roleProblems = (id: string, role: string, agentFor: (role: string) => string): string[] => {
  try {
    agentFor(role);
    return [];
  } catch (error) {
    return [`"${id}": ${(error as Error).message}`];
  }
};

/** Who depends on whom, turned round: id → ids of those that depend on it, in the order of the nodes. */
export const dependentsIn = (nodes: readonly GraphNode[]): Map<string, string[]> => {
  const dependents = new Map<string, string[]>(nodes.map(({ id }) => [id, []]));
  for (const node of nodes) for (const on of node.depends_on) dependents.get(on)?.push(node.id);
  return dependents;
};
