/** The graph of planned subtasks: whatever makes it impossible to work through, found before anything starts. */

export type GraphNode = { id: string; depends_on: readonly string[] };
/** What is wrong, and where: a path into the list of subtasks, such as `[2, 'depends_on', 0]`. */
export type GraphProblem = { path: (string | number)[]; says: string };

/**
 * Every problem of a graph: ids that occur twice, dependencies on what does not exist or on oneself, and
 * cycles. `known` are the ids of a board that grows; new subtasks may depend on them, but not repeat them.
 */
export const graphProblems = (nodes: readonly GraphNode[], known: Iterable<string> = []): GraphProblem[] => {
  const existing = new Set(known);
  const ids = new Set([...existing, ...nodes.map((node) => node.id)]);
  const problems: GraphProblem[] = [];
  const seen = new Set(existing);
  for (const [at, node] of nodes.entries()) {
    if (seen.has(node.id)) {
      const says = existing.has(node.id) ? 'is taken by a subtask that the board has; choose another' : 'occurs twice';
      problems.push({ path: [at, 'id'], says: `the id "${node.id}" ${says}` });
    }
    seen.add(node.id);
    for (const [place, wanted] of node.depends_on.entries()) {
      if (ids.has(wanted)) continue;
      const says = `"${node.id}" depends on "${wanted}", which does not exist; there are: ${[...ids].join(', ')}`;
      problems.push({ path: [at, 'depends_on', place], says });
    }
  }
  const cycle = findCycle(nodes);
  if (cycle) {
    const at = nodes.findIndex((node) => node.id === cycle[0]);
    problems.push({ path: [at, 'depends_on'], says: `the dependencies form a cycle: ${cycle.join(' → ')}` });
  }
  return problems;
};

/** The ids of one cycle, the first one again at its end; null if there is none. */
const findCycle = (nodes: readonly GraphNode[]): string[] | null => {
  const waiting = new Map(nodes.map((node) => [node.id, new Set(node.depends_on)]));
  for (let moved = true; moved; ) {
    moved = false;
    for (const [id, needs] of waiting) {
      if ([...needs].some((need) => waiting.has(need))) continue;
      waiting.delete(id);
      moved = true;
    }
  }
  const [first] = waiting.keys();
  if (first === undefined) return null;
  // Every node left needs another one that is left, so following one need each must come back to itself.
  const path = [first];
  for (;;) {
    const needs = waiting.get(path.at(-1) as string) as Set<string>;
    const next = [...needs].find((need) => waiting.has(need)) as string;
    const back = path.indexOf(next);
    if (back >= 0) return [...path.slice(back), next];
    path.push(next);
  }
};
