/** What `nexus doctor` says of agents and workflows: those of this machine, as a fleet started here reads them. */
import { loadConfig } from '@nexus/shared/config';
import { toAppError } from '@nexus/shared/errors';
import type { Finding } from './doctor.ts';

/** Reads all of them; the first that does not hold would stop every service. `environment` is for tests. */
export const lookAtAgents = async (environment?: Record<string, string>): Promise<Finding> => {
  const { catalogConfig, foldersOf, openCatalog } = await import('@nexus/shared/catalog');
  try {
    const { agents, workflows, notices } = await openCatalog(foldersOf(loadConfig(catalogConfig, environment)));
    const says = [`${agents.size} agents and ${workflows.size} workflows are in order`, ...notices].join('; ');
    return { name: 'agents', state: 'ok', says, mend: '' };
  } catch (thrown) {
    const { message } = toAppError(thrown);
    return {
      name: 'agents',
      state: 'fail',
      says: message,
      mend: '`nexus agents validate FILE` says when it is mended',
    };
  }
};
