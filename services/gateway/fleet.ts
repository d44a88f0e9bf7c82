/** What every route works with; made once in main.ts. */

import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Bus } from '@nexus/shared/bus';
import type { FollowingCatalog } from '@nexus/shared/catalog';
import type { ConfigOf, FabricConfig } from '@nexus/shared/config';
import type { Log, Meters } from '@nexus/shared/telemetry';
import type { FastifyBaseLogger, FastifyInstance, RawServerDefault } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import type { gatewayConfig } from './config.ts';

export type GatewayConfig = ConfigOf<typeof gatewayConfig> &
  Pick<FabricConfig, 'home' | 'hubs' | 'rehearsal' | 'command'>;

export type Fleet = {
  bus: Bus;
  catalog: FollowingCatalog;
  config: GatewayConfig;
  version: string;
  log: Log;
  meters: Meters;
  /** Aborted when the gateway shuts down: streams end then. */
  closing: AbortSignal;
};

/** A fastify whose handlers get what the zod schemas of their route make of the input. */
export type Api = FastifyInstance<
  RawServerDefault,
  IncomingMessage,
  ServerResponse,
  FastifyBaseLogger,
  ZodTypeProvider
>;
