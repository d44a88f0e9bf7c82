/**
 * `/health`, `/ready` and `/metrics` of a service, by node:http. Health says that the process lives and how
 * it stands with Redis; ready says whether work may be sent here.
 */
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Bus } from '@nexus/shared/bus';
import { fail } from '@nexus/shared/errors';
import type { Meters } from '@nexus/shared/telemetry';

/** null if the condition holds, else what is missing, in words. */
export type ReadyCheck = () => string | null | Promise<string | null>;

/** Readiness as far as Redis goes: what is wrong, since when, and what a person does. */
export const answersReady =
  (bus: Bus): ReadyCheck =>
  () => {
    const { ok, says, since, do: advice } = bus.health();
    return ok ? null : `${says} (since ${since}). ${advice ?? ''}`.trim();
  };

export type HealthOptions = {
  service: string;
  instance_id: string;
  bus: Bus;
  meters: Meters;
  checks: ReadonlyMap<string, ReadyCheck>;
  host: string;
  port: number;
};

/** Listens; throws PORT_TAKEN. `port` is the one really taken. */
export const openHealthServer = async (options: HealthOptions): Promise<{ port: number; close(): Promise<void> }> => {
  const { bus, meters } = options;
  const up = meters.gauge('nexus_redis_up', 'Whether Redis answers: 1 or 0.');
  const busy = meters.gauge('nexus_slots_busy', 'Deliveries that this process holds now.');
  const memory = meters.gauge('nexus_process_resident_bytes', 'Resident memory of this process.');
  const server = createServer(async (request, response) => {
    const path = request.url?.split('?')[0];
    if (path === '/health') json(response, 200, { ...healthOf(options), missing: await missingOf(options.checks) });
    else if (path === '/ready') {
      const missing = await missingOf(options.checks);
      json(response, Object.keys(missing).length === 0 ? 200 : 503, {
        ready: Object.keys(missing).length === 0,
        missing,
      });
    } else if (path === '/metrics') {
      up.set(bus.health().ok ? 1 : 0);
      busy.set(bus.busy());
      memory.set(process.memoryUsage.rss());
      response.writeHead(200, { 'content-type': 'text/plain; version=0.0.4' }).end(await meters.page());
    } else json(response, 404, { error: 'There is /health, /ready and /metrics.' });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const { host, port } = options;
      reject(
        error.code === 'EADDRINUSE'
          ? fail('PORT_TAKEN', { host, port, setting: 'NEXUS_HEALTH_PORT' }, { cause: error })
          : error,
      );
    });
    server.listen(options.port, options.host, resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
};

/** The body of `/health`: also what the gateway answers for itself. */
export const healthOf = (options: Pick<HealthOptions, 'service' | 'instance_id' | 'bus'>) => {
  const redis = options.bus.health();
  const { epoch, state } = options.bus.control.known();
  return {
    status: redis.ok && redis.code === undefined ? 'ok' : 'degraded',
    service: options.service,
    instance_id: options.instance_id,
    redis,
    fleet: { state, epoch },
    busy: options.bus.busy(),
    uptime_seconds: Math.round(process.uptime()),
  };
};

/** What keeps this process from being ready, by name. */
const missingOf = async (checks: ReadonlyMap<string, ReadyCheck>): Promise<Record<string, string>> => {
  const missing: Record<string, string> = {};
  for (const [name, check] of checks) {
    const says = await check();
    if (says !== null) missing[name] = says;
  }
  return missing;
};

const json = (response: ServerResponse, status: number, body: unknown): void => {
  response.writeHead(status, { 'content-type': 'application/json; charset=utf-8' }).end(`${JSON.stringify(body)}\n`);
};
