/**
 * Guests: agents that come with a plan and go with its board. A planner defines one where no agent of the fleet fits, a
 * request may bring some, and a worker hands on those of the repository where that is allowed. Each subtask of a
 * guest carries its definition, so nothing has to be cleaned up, and no other board ever sees it.
 */
import { readTemporary } from '@nexus/shared/catalog';
import type { PlannedSubtask, TemporaryAgent } from '@nexus/shared/messages/domain';

export type Guest = { agent_id: string; source: string };
export type Guests = {
  /** By id and by role. */
  named: ReadonlyMap<string, Guest>;
  /** What is wrong with them, a sentence each. */
  problems: string[];
};

/** Reads the guests of a plan. `isKnown` says whether the fleet has an agent of this id or role already. */
export const readGuests = (given: readonly TemporaryAgent[], isKnown: (roleOrId: string) => boolean): Guests => {
  const named = new Map<string, Guest>();
  const problems: string[] = [];
  for (const one of given) {
    const read = readTemporary(one);
    if (typeof read === 'string') {
      problems.push(read);
      continue;
    }
    const { agent_id, role } = read.agent;
    const taken = [agent_id, role].find((name) => isKnown(name) || named.has(name));
    if (taken) problems.push(`agent "${one.name}": there is an agent "${taken}" already; use it, or take another name`);
    for (const name of [agent_id, role]) named.set(name, { agent_id, source: read.source });
  }
  return { named, problems };
};

/** The agent for a role: a guest, else one of the fleet. Throws what `agentFor` throws. */
export const withGuests =
  ({ named }: Guests, agentFor: (role: string) => string) =>
  (role: string): string =>
    named.get(role.trim().toLowerCase())?.agent_id ?? agentFor(role);

/** The definition that a subtask carries; null where its agent is one of the fleet. */
export const guestFor = ({ named }: Guests, { role }: Pick<PlannedSubtask, 'role'>): string | null =>
  named.get(role.trim().toLowerCase())?.source ?? null;

export const noGuests: Guests = { named: new Map(), problems: [] };
