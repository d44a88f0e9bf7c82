/** The settings of the command line, and of the fleet that it starts. */
import { resolve } from 'node:path';
import {
  type ConfigOf,
  defineConfig,
  type Environment,
  type FabricConfig,
  fabricConfig,
  is,
  loadConfig,
  setting,
} from '@nexus/shared/config';

/** Where this installation lies: the folder with `services/` in it. */
export const projectRoot = resolve(import.meta.dirname, '../..');

export const cliConfig = defineConfig({
  url: setting(
    'NEXUS_URL',
    is.url('http://127.0.0.1:8080', 'http:', 'https:').optional(),
    'Where the gateway is, for `nexus`. Left out: the fleet that `nexus up` started, else http://127.0.0.1:8080.',
  ),
  token: setting(
    'NEXUS_TOKEN',
    is.optionalText,
    'The bearer token of the API. Left out: `nexus` reads the one that was made once from Redis.',
    { secret: true },
  ),
  port: setting('NEXUS_PORT', is.port, 'The port of the gateway that `nexus up` starts.', { default: '8080' }),
  host: setting('NEXUS_HOST', is.text, 'The address of the gateway that `nexus up` starts.', { default: '127.0.0.1' }),
  workers: setting('NEXUS_WORKERS', is.count(1, 64), 'How many workers `nexus up` starts.', { default: '1' }),
  noColour: setting('NO_COLOR', is.optionalText, 'Anything: no colours on the terminal (https://no-color.org).'),
  visual: setting('VISUAL', is.optionalText, 'The editor of `nexus dlq edit`, before EDITOR.'),
  editor: setting('EDITOR', is.optionalText, 'The editor of `nexus dlq edit`; left out, vi.'),
  terminal: setting('TERM', is.optionalText, 'The kind of terminal; on `dumb` nothing is redrawn.'),
});

export type CliConfig = ConfigOf<typeof cliConfig> & { home: string; fabric: FabricConfig };

/** Reads the settings; throws `CONFIG_INVALID` with every problem. */
export const readConfig = (environment?: Environment): CliConfig => {
  // Together, so that all problems are told at once; where both declare one, the command line's own counts.
  const own = loadConfig({ ...fabricConfig, ...cliConfig }, environment);
  return { ...own, fabric: own };
};
