/** What checks and set-up find in their environment: the allow-list, `CI=true`, shared caches, and no secret. */
import { delimiter, dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { allowedEnv } from '@nexus/shared/process';

const ownFolder = fileURLToPath(new URL('../../', import.meta.url));

/** The environment of everything that the gate runs. */
export const checkEnvironment = (home: string): Record<string, string> => {
  const inherited = allowedEnv();
  const cache = (name: string) => resolve(home, 'caches', name);
  return {
    ...inherited,
    PATH: withoutOurTools(inherited.PATH ?? ''),
    CI: 'true',
    GIT_TERMINAL_PROMPT: '0',
    npm_config_cache: cache('npm'),
    npm_config_audit: 'false',
    npm_config_fund: 'false',
    npm_config_update_notifier: 'false',
    YARN_CACHE_FOLDER: cache('yarn'),
    COREPACK_ENABLE_DOWNLOAD_PROMPT: '0',
  };
};

/**
 * npm puts our own `node_modules/.bin` first on the path, and a project that forgot to declare a tool would find
 * ours. Our Node stays, since it may be the only one that is new enough.
 */
const withoutOurTools = (path: string): string => {
  const foreign = path.split(delimiter).filter((folder) => !`${folder}/`.startsWith(ownFolder));
  return [...(process.execPath.startsWith(ownFolder) ? [dirname(process.execPath)] : []), ...foreign].join(delimiter);
};
