/**
 * Agents that a planner may name beside those of the fleet: what the request brought along, and, where
 * NEXUS_REPOSITORY_AGENTS allows it, what the repository keeps in `.claude/agents`. A repository's definition is a
 * prompt by strangers, so it is off unless somebody says so, and it never stands in place of an agent that is there.
 * A plan that names one takes its definition along: it goes with the board, and no other task sees it.
 */
import { lstat, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type AgentDefinition, type Catalog, readAgent, readTemporary } from '@nexus/shared/catalog';
import { isFailure } from '@nexus/shared/errors';
import { type PlanFile, type TemporaryAgent, temporaryAgent } from '@nexus/shared/messages/domain';

const bytesMax = 16_000;
const filesMax = 50;
/** As many as a plan may bring along. */
const guestsMax = 8;

export type Guest = { agent: AgentDefinition; given: TemporaryAgent };

/** What the request brought along; what does not hold was refused before. */
export const requestGuests = (given: readonly TemporaryAgent[] = []): Guest[] =>
  given.flatMap((one) => {
    const read = readTemporary(one);
    return typeof read === 'string' ? [] : [{ agent: read.agent, given: one }];
  });

/** What the repository keeps, as far as it can be used; `note` is told of each that cannot. */
export const repositoryGuests = async (
  folder: string,
  catalog: Pick<Catalog, 'agents'>,
  note: (says: string) => void,
): Promise<Guest[]> => {
  const place = join(folder, '.claude', 'agents');
  const names = (await readdir(place).catch(() => [])).filter((name) => name.endsWith('.md')).sort();
  const taken = new Set([...catalog.agents.values()].flatMap(({ agent_id, role }) => [agent_id, role]));
  const guests: Guest[] = [];
  for (const name of names.slice(0, filesMax)) {
    const read = await readGuest(join(place, name), `.claude/agents/${name}`);
    if (typeof read === 'string') note(`an agent of the repository is not used: ${read}`);
    else if (read !== null && ![read.agent.agent_id, read.agent.role].some((one) => taken.has(one))) guests.push(read);
  }
  return guests;
};

/** The plan with the definitions of those guests that its subtasks name. */
export const withGuests = (file: PlanFile, guests: readonly Guest[]): PlanFile => {
  const roles = new Set(file.subtasks.map(({ role }) => role.trim().toLowerCase()));
  const own = new Set((file.agents ?? []).map(({ name, agent_id }) => agent_id ?? name.toLowerCase()));
  const named = guests
    .filter(({ agent }) => [agent.agent_id, agent.role].some((name) => roles.has(name) && !own.has(name)))
    .map(({ given }) => given);
  const agents = [...(file.agents ?? []), ...named].slice(0, guestsMax);
  return agents.length === 0 ? file : { ...file, agents };
};

/** One definition; null where the file is none, a sentence where it does not hold. A link may lead anywhere. */
const readGuest = async (path: string, shown: string): Promise<Guest | string | null> => {
  const about = await lstat(path).catch(() => null);
  if (about === null || !about.isFile()) return `${shown} is no plain file`;
  if (about.size > bytesMax) return `${shown} has more than ${bytesMax} bytes`;
  try {
    const agent = readAgent(shown, await readFile(path, 'utf8'));
    if (agent === null) return null;
    const { name, description, agent_id, role, tools, model } = agent;
    const given = temporaryAgent.safeParse({
      ...{ name, description: description.slice(0, 1000), prompt: agent.persona, agent_id, role, tools },
      ...(model === 'inherit' ? {} : { model }),
    });
    return given.success ? { agent, given: given.data } : `${shown} is too long for an agent of a plan`;
  } catch (thrown) {
    if (!isFailure(thrown, 'DEFINITION_INVALID')) throw thrown;
    return thrown.message;
  }
};
