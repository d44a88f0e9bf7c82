/** Definitions that cannot stand side by side: an id, and the name that commits carry, belongs to one agent. */

export type Named = { where: string; agent_id: string; name: string };

/** For each that meets one before it: what both have, and where the other one is. */
export const twinsOf = (all: readonly Named[]): { where: string; problem: string }[] =>
  all.flatMap(({ where, agent_id, name }, at) => {
    const before = all.slice(0, at);
    const twin = before.find((one) => one.agent_id === agent_id);
    if (twin)
      return [{ where, problem: `the agent "${agent_id}" is defined in ${twin.where} too: rename one of the two` }];
    const namesake = before.find((one) => one.name.toLowerCase() === name.toLowerCase());
    if (!namesake) return [];
    return [{ where, problem: `the name "${name}" is used in ${namesake.where} too: rename one of the two` }];
  });
