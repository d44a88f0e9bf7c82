/**
 * Who may do what: bearer tokens (RFC 6750) and the three scopes.
 *
 * `read` looks, `operate` submits, cancels and replays, `admin` stops the fleet and deletes; each includes
 * the ones before it. Every route declares its scope; `open` ones (health, the documentation) ask for none.
 */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import type { Bus } from '@nexus/shared/bus';
import type { ConfigOf } from '@nexus/shared/config';
import { fail } from '@nexus/shared/errors';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { gatewayConfig } from './config.ts';
import { isLoopback } from './guard.ts';

export const scopes = ['read', 'operate', 'admin'] as const;
export type Scope = (typeof scopes)[number];

declare module 'fastify' {
  interface FastifyContextConfig {
    /** What a caller must be allowed to do; `open`: nothing at all. */
    scope?: Scope | 'open';
  }
  interface FastifyRequest {
    /** Who asks, as envelopes and the control state name them. */
    actor: string;
  }
}

type Key = { digest: Buffer; scope: Scope; actor: string };
type AuthConfig = Pick<
  ConfigOf<typeof gatewayConfig>,
  'auth' | 'authOffAnywhere' | 'host' | 'token' | 'tokenRead' | 'tokenOperate'
>;

/**
 * Refuses a gateway without tokens where others could reach it: whoever can submit a task can run programs on this
 * machine. What is wrong by itself is undefined here, and told elsewhere.
 */
export const authProblems = ({ auth, authOffAnywhere, host }: Partial<AuthConfig>): string[] => {
  if (auth !== 'off' || authOffAnywhere !== false || host === undefined || isLoopback(host)) return [];
  return [
    `NEXUS_AUTH is "off" and NEXUS_HOST is "${host}": whoever reaches the port could run programs here; ` +
      'bind to 127.0.0.1, or set NEXUS_AUTH_OFF_ANYWHERE=yes',
  ];
};

/** The tokens that are valid here. Without NEXUS_TOKEN one is made, once for the whole fabric. */
export const openKeys = async (config: AuthConfig, bus: Pick<Bus, 'rememberOnce'>): Promise<Key[]> => {
  const token = config.token ?? (await bus.rememberOnce('token', randomBytes(24).toString('base64url')));
  const given: [string | undefined, Scope][] = [
    [token, 'admin'],
    [config.tokenOperate, 'operate'],
    [config.tokenRead, 'read'],
  ];
  return given.flatMap(([text, scope]) =>
    text === undefined ? [] : [{ digest: digestOf(text), scope, actor: `token:${scope}` }],
  );
};

/** A hook that throws `UNAUTHENTICATED` or `FORBIDDEN`, and else names the actor. `keys` null: auth is off. */
export const openAuth =
  (keys: Key[] | null) =>
  async (request: FastifyRequest, reply: FastifyReply): Promise<void> => {
    const { scope } = request.routeOptions.config;
    request.actor = 'anyone';
    if (keys === null || scope === 'open') return;
    const key = keyFor(keys, request.headers.authorization);
    if (key === undefined) {
      const wrong = request.headers.authorization !== undefined;
      reply.header('www-authenticate', `Bearer realm="nexus"${wrong ? ', error="invalid_token"' : ''}`);
      throw wrong ? fail('TOKEN_UNKNOWN') : fail('UNAUTHENTICATED');
    }
    // A path that does not exist has no scope: whoever has a token may know that.
    const needed = scope ?? 'read';
    if (scopes.indexOf(key.scope) < scopes.indexOf(needed)) {
      reply.header('www-authenticate', `Bearer realm="nexus", error="insufficient_scope", scope="${needed}"`);
      throw fail('FORBIDDEN', { scope: needed });
    }
    request.actor = key.actor;
  };

/** Compares digests, all of them and in constant time, so that the time tells nothing about a token. */
const keyFor = (keys: Key[], header: string | undefined): Key | undefined => {
  const token = /^bearer +(\S+)$/i.exec(header ?? '')?.[1] ?? '';
  const digest = digestOf(token);
  return keys.filter((key) => timingSafeEqual(key.digest, digest))[0];
};

const digestOf = (token: string): Buffer => createHash('sha256').update(token).digest();
