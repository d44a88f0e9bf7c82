/**
 * Refuses requests that reach this gateway under a foreign name.
 *
 * A page on the internet can make a browser call local services, by a name that its owner lets point at
 * 127.0.0.1. Such a request carries that name in Host, and the page's own address in Origin. So both must
 * be names of ours: loopback, the address that the connection was made to, what we listen on, this
 * machine's name, and what NEXUS_HOSTS adds.
 */
import { hostname } from 'node:os';
import { fail } from '@nexus/shared/errors';
import type { FastifyRequest } from 'fastify';

const loopback = /^(localhost|.+\.localhost|127(\.\d{1,3}){3}|\[::1\])$/;

/** True for the address that is only reachable from this machine. */
export const isLoopback = (host: string): boolean => host === '::1' || loopback.test(host);

/** A hook that throws `HOST_FOREIGN`. `hosts` are names without port, or with one that is then not looked at. */
export const openGuard = (listening: string, hosts: readonly string[]) => {
  const ours = new Set([listening, hostname(), ...hosts].map((name) => hostOf(name) ?? name.toLowerCase()));
  const known = (host: string | null, local: string | undefined): boolean =>
    host !== null && (loopback.test(host) || ours.has(host) || host === bracketed(local));

  return async (request: FastifyRequest): Promise<void> => {
    const { host, origin } = request.headers;
    const local = request.socket.localAddress;
    if (!known(hostOf(host ?? ''), local)) throw foreign('Host', host ?? '');
    if (origin !== undefined && !known(originOf(origin), local)) throw foreign('Origin', origin);
  };
};

const foreign = (header: string, value: string) =>
  fail('HOST_FOREIGN', { header, value: value.slice(0, 200), setting: 'NEXUS_HOSTS' });

/** The name in a Host header, lower case and without the port; null if it is none. */
const hostOf = (value: string): string | null =>
  /^(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:\d{1,5})?$/.exec(value.toLowerCase())?.[1] ?? null;

const originOf = (value: string): string | null => {
  const match = /^https?:\/\/([^/]+)$/.exec(value.toLowerCase());
  return match?.[1] === undefined ? null : hostOf(match[1]);
};

/** A socket's address as it stands in Host: IPv4 within IPv6 as IPv4, IPv6 in brackets. */
const bracketed = (address: string | undefined): string | undefined => {
  if (address === undefined) return undefined;
  const plain = address.replace(/^::ffff:/, '');
  return plain.includes(':') ? `[${plain}]` : plain;
};
