/** What `nexus doctor` says of agents and workflows: those of this machine, as a fleet started here reads them. */

import type { Client } from '@nexus/shared/client';
import { loadConfig } from '@nexus/shared/config';
import { toAppError } from '@nexus/shared/errors';
import type { Finding } from './doctor.ts';
import { many } from './output.ts';

/** Reads all of them; the first that does not hold would stop every service. `environment` is for tests. */
export const lookAtAgents = async (environment?: Record<string, string>): Promise<Finding> => {
  const { catalogConfig, foldersOf, modelProblem, openCatalog } = await import('@nexus/shared/catalog');
  try {
    const { agents, workflows, notices } = await openCatalog(foldersOf(loadConfig(catalogConfig, environment)));
    const says = [
      `${many(agents.size, 'agent')} and ${many(workflows.size, 'workflow')} are in order`,
      ...notices,
    ].join('; ');
    const gone = [...agents.values()].flatMap((agent) => wordsOn(agent.file, modelProblem(agent)));
    return gone.length > 0 ? modelFinding('agents', gone) : { name: 'agents', state: 'ok', says, mend: '' };
  } catch (thrown) {
    const { code, message } = toAppError(thrown);
    return { name: 'agents', state: 'fail', says: message, mend: mends[code] ?? usualMend };
  }
};

const usualMend = '`nexus agents validate FILE` says when it is mended';
const mends: Readonly<Record<string, string>> = {
  CONFIG_INVALID: 'make that folder, or correct the setting',
  DEFINITION_TWICE: 'rename one of the two',
};

/** The definitions that the fleet was given: only it has them. Nothing is said where all of them are in order. */
export const lookAtGiven = async (client: Pick<Client, 'agents' | 'agent'>): Promise<Finding[]> => {
  const { modelProblem, readAgent } = await import('@nexus/shared/catalog');
  const ids = (await client.agents()).agents.map(({ agent_id }) => agent_id);
  const gone: string[] = [];
  for (let at = 0; at < ids.length; at += askedAtOnce) {
    const look = async (id: string): Promise<string[]> => {
      const { origin, source } = await client.agent(id);
      const agent = origin === 'fleet' ? readAgent(id, source) : null;
      return wordsOn(id, agent && modelProblem(agent));
    };
    // One that was taken away since the list was made, or that only a newer gateway can read, is no finding.
    const some = await Promise.allSettled(ids.slice(at, at + askedAtOnce).map(look));
    gone.push(...some.flatMap((one) => (one.status === 'fulfilled' ? one.value : [])));
  }
  return gone.length > 0 ? [modelFinding('given agents', gone)] : [];
};
const askedAtOnce = 16;

const wordsOn = (what: string, problem: string | null): string[] => (problem === null ? [] : [`${what}: ${problem}`]);

const modelFinding = (name: string, gone: readonly string[]): Finding => ({
  name,
  state: 'warn',
  says: gone.join('; '),
  mend:
    name === 'agents'
      ? 'correct the model there'
      : 'correct the model: `nexus agents show ID`, `nexus agents update FILE`',
});
