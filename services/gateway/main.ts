/**
 * The gateway: the HTTP API of the fleet on one port, with its documentation, health and metrics.
 *
 * It owns no document of the ledger: it reads them, and asks for changes by messages.
 */
import { readFileSync } from 'node:fs';
import { foldersOf, openLiveCatalog } from '@nexus/shared/catalog';
import { fail } from '@nexus/shared/errors';
import { sweepScratch } from '@nexus/shared/git';
import { defineService, serve } from '@nexus/shared/service';
import { authProblems } from './auth.ts';
import { gatewayConfig } from './config.ts';
import type { Api } from './fleet.ts';
import { composeServer } from './server.ts';

const { version } = JSON.parse(readFileSync(new URL('./package.json', import.meta.url), 'utf8')) as { version: string };

export const service = defineService({
  name: 'gateway',
  config: gatewayConfig,
  check: authProblems,
  mode: 'none',
  slots: () => 0,
  open: async ({ config, bus, log, meters }) => {
    const closing = new AbortController();
    // Looking at repositories needs files with credentials, which a killed gateway leaves behind.
    void sweepScratch()
      .then((removed) => removed.length > 0 && log.info({ removed }, 'Files of a killed process were removed'))
      .catch((err: unknown) => log.warn({ err }, 'Files of a killed process could not be removed'));
    const catalog = await openLiveCatalog({ folders: foldersOf(config), bus, log, everyMs: config.catalogEvery });
    const app = await composeServer({ bus, catalog, config, version, log, meters, closing: closing.signal });
    const address = await listen(app, config);
    bus.present({ port: Number(new URL(address).port) });
    log.info({ address, docs: `${address}/api/docs` }, 'The API is served');
    return {
      close: async () => {
        closing.abort();
        await catalog.close();
        await app.close();
      },
    };
  },
  handlers: {},
});

/** Starts listening; throws `PORT_TAKEN` if somebody else does. */
export const listen = async (app: Api, { host, port }: { host: string; port: number }): Promise<string> => {
  try {
    return await app.listen({ host, port });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error;
    throw fail('PORT_TAKEN', { port, host, setting: 'NEXUS_PORT' }, { cause: error });
  }
};

if (import.meta.main) await serve(service);
