/**
 * What checks and set-up find in their environment: the allow-list, `CI=true`, shared caches, and no secret. The Node
 * is the one on our search path, as agents and the person have it; ours comes last, for where there is no other.
 */
import { delimiter, dirname } from 'node:path';
import { allowedEnv } from '@nexus/shared/process';
import { cacheEnvironment } from '@nexus/shared/project';

/** The environment of everything that the gate runs. */
export const checkEnvironment = (home: string): Record<string, string> => {
  const inherited = allowedEnv();
  return {
    ...inherited,
    PATH: [inherited.PATH ?? '', dirname(process.execPath)].filter((part) => part !== '').join(delimiter),
    ...cacheEnvironment(home),
    CI: 'true',
    GIT_TERMINAL_PROMPT: '0',
  };
};
