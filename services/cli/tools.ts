/** What every verb works with: settings, output, the API of the fleet, and its fabric where the API is away. */
import { connect } from 'node:net';
import { userInfo } from 'node:os';
import type { Bus } from '@nexus/shared/bus';
import { type Client, openClient } from '@nexus/shared/client';
import { readRedisAddress } from '@nexus/shared/config';
import { fail } from '@nexus/shared/errors';
import type { CliConfig } from './config.ts';
import { lives, readFleet } from './fleet-state.ts';
import type { Output } from './output.ts';

export type Tools = {
  config: CliConfig;
  output: Output;
  /** Aborted by Ctrl-C and SIGTERM. */
  signal: AbortSignal;
  /** Where the gateway is: NEXUS_URL, else the fleet that was started here, else the usual port. */
  url: string;
  /** The API, with a token if there is one to be had. */
  client(): Promise<Client>;
  /** NEXUS_TOKEN, else the one that the gateway made once and keeps in Redis, if Redis answers. */
  token(): Promise<string | undefined>;
  /** The fabric itself, as an observer, closed afterwards. Throws REDIS_UNREACHABLE within two seconds. */
  withBus<T>(use: (bus: Bus) => Promise<T>): Promise<T>;
  /** Asks the person at the terminal; null where there is none. */
  ask: Ask | null;
  /** Who is typing, as the control state names them. */
  actor: string;
};

export type Ask = (question: string) => Promise<string>;

export const openTools = (
  config: CliConfig,
  output: Output,
  { signal, ask = null }: { signal: AbortSignal; ask?: Ask | null },
): Tools => {
  const url = config.url ?? startedHere(config.home) ?? 'http://127.0.0.1:8080';
  const withBus = <T>(use: (bus: Bus) => Promise<T>) => useBus(config, use);
  const token = async () => config.token ?? (await storedToken(withBus));
  return {
    config,
    output,
    signal,
    url,
    withBus,
    token,
    ask,
    client: async () => openClient({ url, token: await token() }),
    actor: `cli:${nameOfUser()}`,
  };
};

const startedHere = (home: string): string | undefined => {
  const fleet = readFleet(home);
  return fleet?.processes.some((one) => one.name === 'gateway' && lives(one)) ? fleet.url : undefined;
};

/** The token that the gateway made once. Throws what is wrong with Redis: "a token is needed" would hide it. */
const storedToken = async (withBus: Tools['withBus']): Promise<string | undefined> =>
  (await withBus(({ store, keys }) => store.readText(keys.token))) ?? undefined;

const useBus = async <T>({ fabric }: CliConfig, use: (bus: Bus) => Promise<T>): Promise<T> => {
  await knock(fabric.redisUrl);
  // Loaded late: most commands never need them.
  const [{ openBus, redisFailure }, { silentLog, openMeters }] = await Promise.all([
    import('@nexus/shared/bus'),
    import('@nexus/shared/telemetry'),
  ]);
  const bus = await openBus({
    config: fabric,
    service: 'gateway',
    observer: true,
    log: silentLog(),
    meters: openMeters('cli'),
  });
  try {
    return await use(bus);
  } catch (error) {
    throw redisFailure(error, fabric.redisUrl) ?? error;
  } finally {
    await bus.close();
  }
};

/**
 * Finds out quickly whether anybody answers there: a service may wait for its Redis, a person does not. A server that
 * hangs still takes connections, so a PING is sent; whatever comes back, also NOAUTH, is an answer.
 */
export const knock = async (redisUrl: string, timeoutMs = 1500): Promise<void> => {
  const address = readRedisAddress(redisUrl);
  if (address === null) {
    throw fail('REDIS_UNREACHABLE', { url: redisUrl, message: 'that is no address; write redis://host:port' });
  }
  // Of several Sentinels one is enough.
  await Promise.any(address.servers.map((server) => knockAt(server, address.tls, timeoutMs))).catch(
    (all: AggregateError) => {
      throw all.errors[0];
    },
  );
};

const knockAt = (server: { host: string; port: number }, tls: boolean, timeoutMs: number): Promise<void> =>
  new Promise<void>((resolve, reject) => {
    const socket = connect(server);
    const refuse = (message: string) => {
      socket.destroy();
      reject(fail('REDIS_UNREACHABLE', { url: `${server.host}:${server.port}`, message }));
    };
    socket.setTimeout(timeoutMs, () => refuse(`no answer within ${timeoutMs} ms`));
    socket.on('error', (error: NodeJS.ErrnoException) => refuse(error.message || error.code || 'refused'));
    const answered = () => {
      socket.destroy();
      resolve();
    };
    socket.on('connect', () => {
      if (tls) answered();
      else socket.write('PING\r\n');
    });
    socket.on('data', answered);
    socket.on('close', () => refuse('it closed the connection'));
  });

/** A container may run as a user that has no name. */
const nameOfUser = (): string => {
  try {
    return userInfo().username;
  } catch {
    return String(process.getuid?.() ?? 'unknown');
  }
};
