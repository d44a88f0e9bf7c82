/**
 * The credential proxy: a provider's key never reaches an agent, its shell or its transcript.
 *
 * One HTTP server on loopback a worker. An attempt that is admitted gets an address and a pass, a key of our own that
 * opens nothing but this door and only while the attempt lasts. What comes in with a valid pass goes out to the base
 * URL that the operator configured, with the real key; both ways are streams. Whatever else comes is refused:
 *
 *   no pass, another's, one of an attempt that has ended → 401     another host, CONNECT, a path out of the base → 403
 *   too large → 413     too many at once → 429     the provider cannot be reached → 502     takes too long → cut off
 *
 *   opened → admit → pass ── close → its requests are cut off, its pass opens nothing
 *      └─ close → all of that, and the port is free
 */
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import {
  createServer,
  Agent as HttpAgent,
  request as httpRequest,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
} from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import type { AddressInfo, ListenOptions } from 'node:net';
import { inheritedEnvironment } from '@nexus/shared/config';
import { forward } from './forward.ts';
import { makeSocketFolder, socketIn, sweepSocketFolders } from './socket-folder.ts';
import { noUsage, type TokenUse } from './usage-reader.ts';

export type Provider = 'anthropic' | 'openai';

/** A key, and the one place that it goes to. */
export type Account = {
  provider: Provider;
  baseUrl: string;
  key: string;
  /** What is said of it with each request, where that is more than the key in the provider's usual header. */
  authorize?: (going: Going) => Promise<Record<string, string>>;
  /** It signs what is sent, so that is held until all of it is there. */
  signs?: boolean;
};

/** A request as it goes out, before anything is said of who asks. `body` is null where nothing is signed. */
export type Going = { method: string; url: URL; headers: Readonly<Record<string, string>>; body: Buffer | null };

export type ProxyLimits = { requestBytesMax: number; responseBytesMax: number; timeoutMs: number; requestsMax: number };

/** What went through a pass. */
export type ProxyUse = {
  requests: number;
  /** Requests that came with the pass and were refused, cut off, or reached nobody. */
  refused: number;
  bytesSent: number;
  bytesReceived: number;
  /** As the provider told it in its answers. */
  tokens: TokenUse;
};

export type Pass = {
  /** What the agent finds in its environment instead of keys: addresses of ours, and the pass. */
  env: Record<string, string>;
  use(): ProxyUse;
  /** The attempt has ended: what is under way is cut off, and the pass opens nothing any more. */
  close(): void;
};

/** One account's own address and pass, for whoever makes its environment of them. */
export type Loan = { address: string; pass: string; env: Record<string, string> };

export type CredentialProxy = {
  /** The providers for which there is a key. */
  providers: Provider[];
  port: number;
  /** The same door as a socket in the file system, for agents without network. */
  socket: string;
  /** Lets an attempt use these providers, all if none is named; one without a key adds nothing to its environment. */
  admit(attempt: string, providers?: readonly Provider[]): Pass;
  /** Lets an attempt use an account that is none of the configured ones. */
  lend(attempt: string, account: Account): Pass & Loan;
  close(): Promise<void>;
};

/** A request that holds a pass, as `forward.ts` sees it. */
export type Visit = { account: Account; use: ProxyUse; signal: AbortSignal };
type Holder = { attempt: string; account: Account; use: ProxyUse; open: Set<AbortController> };

/** Opens the proxy on a free port of loopback. */
export const openProxy = async (options: {
  accounts: readonly Account[];
  limits: ProxyLimits;
}): Promise<CredentialProxy> => {
  const { accounts, limits } = options;
  const holders = new Map<string, Holder>();
  const ways = openWays();
  const serve: RequestListener = (request, response) => {
    const refuse = (status: number, says: string) => answer(response, status, says);
    const holder = holders.get(digestOf(passIn(request)));
    if (holder === undefined)
      return refuse(401, 'This pass opens nothing: it is none of ours, or its attempt has ended.');
    const { use, open, account } = holder;
    if (open.size >= limits.requestsMax) {
      use.refused += 1;
      return refuse(429, `${limits.requestsMax} requests are under way already (NEXUS_PROXY_REQUESTS).`);
    }
    const abort = new AbortController();
    const signal = AbortSignal.any([abort.signal, AbortSignal.timeout(limits.timeoutMs)]);
    open.add(abort);
    response.once('close', () => {
      open.delete(abort);
      // The agent is gone, or was cut off: nobody waits for the rest of the answer.
      if (!response.writableFinished) abort.abort();
    });
    use.requests += 1;
    forward(request, response, { account, use, signal }, { limits, ways, refuse });
  };
  void sweepSocketFolders().catch(() => undefined);
  const folder = await makeSocketFolder();
  const socket = socketIn(folder);
  const [server, beside] = [await listen(serve, { port: 0, host: '127.0.0.1' }), await listen(serve, { path: socket })];
  const { port } = server.address() as AddressInfo;
  return {
    providers: [...new Set(accounts.map(({ provider }) => provider))],
    port,
    socket,
    admit: (attempt, providers) =>
      admit({
        attempt,
        holders,
        port,
        accounts: accounts.filter((one) => !providers || providers.includes(one.provider)),
      }),
    lend: (attempt, account) => {
      const { passes, env: _env, ...pass } = admit({ attempt, holders, port, accounts: [account] });
      return { ...pass, address: `http://127.0.0.1:${port}`, pass: passes[0] ?? '', env: pastProxies() };
    },
    close: async () => {
      for (const holder of holders.values()) cutOff(holder);
      holders.clear();
      await Promise.all([server, beside].map(close));
      ways.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
};

const listen = async (serve: RequestListener, where: ListenOptions): Promise<Server> => {
  const server = createServer(serve);
  // A tunnel to anywhere is what this is not.
  server.on('connect', (_request, stream) => stream.end('HTTP/1.1 403 Forbidden\r\nconnection: close\r\n\r\n'));
  server.on('clientError', (_error, stream) => stream.end('HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n'));
  server.listen(where);
  await once(server, 'listening');
  // Open connections of agents must not keep a worker alive that has nothing else to do.
  return server.unref();
};

const close = async (server: Server): Promise<void> => {
  const closed = once(server, 'close');
  server.close();
  server.closeAllConnections();
  await closed;
};

const admit = (options: {
  attempt: string;
  holders: Map<string, Holder>;
  port: number;
  accounts: readonly Account[];
}): Pass & { passes: string[] } => {
  const { attempt, holders, port, accounts } = options;
  const use: ProxyUse = { requests: 0, refused: 0, bytesSent: 0, bytesReceived: 0, tokens: noUsage() };
  const env: Record<string, string> = {};
  const passes: string[] = [];
  for (const account of accounts) {
    // Of the shape of a key, so that it is redacted wherever it is printed.
    const pass = `sk-nexus-${randomBytes(24).toString('base64url')}`;
    passes.push(pass);
    holders.set(digestOf(pass), { attempt, account, use, open: new Set() });
    Object.assign(env, environmentOf(account.provider, port, pass));
  }
  return {
    passes,
    env: accounts.length === 0 ? env : { ...env, ...pastProxies() },
    use: () => structuredClone(use),
    close: () => {
      for (const digest of passes.map(digestOf)) {
        const holder = holders.get(digest);
        holders.delete(digest);
        if (holder) cutOff(holder);
      }
    },
  };
};

const cutOff = ({ open }: Holder): void => {
  for (const abort of open) abort.abort();
};

const environmentOf = (provider: Provider, port: number, pass: string): Record<string, string> =>
  provider === 'anthropic'
    ? { ANTHROPIC_BASE_URL: `http://127.0.0.1:${port}`, ANTHROPIC_API_KEY: pass }
    : { OPENAI_BASE_URL: `http://127.0.0.1:${port}/v1`, OPENAI_API_KEY: pass };

const proxyNames = ['HTTP_PROXY', 'HTTPS_PROXY', 'NO_PROXY', 'http_proxy', 'https_proxy', 'no_proxy'];

/** The way to us never leads through a company's proxy. */
const pastProxies = (): Record<string, string> => {
  const given = inheritedEnvironment(proxyNames);
  if (Object.keys(given).length === 0) return {};
  const list = [given.NO_PROXY ?? given.no_proxy, '127.0.0.1', 'localhost'].filter(Boolean).join(',');
  return { NO_PROXY: list, no_proxy: list };
};

const passIn = ({ headers }: IncomingMessage): string => {
  const key = headers['x-api-key'];
  return typeof key === 'string' ? key : (/^bearer\s+(\S+)$/i.exec(headers.authorization ?? '')?.[1] ?? '');
};

/** Looked up by its digest, so that how long a look takes tells nothing of a pass. */
const digestOf = (pass: string): string => createHash('sha256').update(pass).digest('base64');

/** In the shape of an error of both providers; nobody shall try again what is refused for good. */
const answer = (response: ServerResponse, status: number, says: string): void => {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  const type = status === 401 ? 'authentication_error' : status === 429 ? 'rate_limit_error' : 'invalid_request_error';
  const text = JSON.stringify({ type: 'error', error: { type, message: says, code: null, param: null } });
  const again = status === 429 || status >= 500;
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
    'x-should-retry': String(again),
    connection: 'close',
  });
  response.end(text);
};

/** How requests go out: straight, or through the company's proxy, as our own environment says. */
export type Ways = {
  start(
    url: URL,
    options: { method: string; headers: Record<string, string | string[]>; signal: AbortSignal },
  ): ReturnType<typeof httpRequest>;
  close(): void;
};

export const openWays = (): Ways => {
  const proxyEnv = inheritedEnvironment(proxyNames);
  const [http, https] = [new HttpAgent({ keepAlive: true, proxyEnv }), new HttpsAgent({ keepAlive: true, proxyEnv })];
  return {
    start: (url, options) =>
      url.protocol === 'https:'
        ? httpsRequest(url, { ...options, agent: https })
        : httpRequest(url, { ...options, agent: http }),
    close: () => {
      http.destroy();
      https.destroy();
    },
  };
};
