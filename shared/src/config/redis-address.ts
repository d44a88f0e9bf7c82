/**
 * The address of Redis, in one of two forms:
 *
 *   redis://[user:password@]host[:port][/db]                     one server; rediss:// with TLS
 *   redis+sentinel://[user:password@]host[:port],…/name[/db]     ask these Sentinels for the primary called `name`;
 *                                                                rediss+sentinel:// with TLS to the servers
 *
 * User and password are those of the servers.
 */
export type RedisAddress = {
  /** The server, or the Sentinels. */
  servers: { host: string; port: number }[];
  /** What Sentinel calls the primary; null where there is one server. */
  primary: string | null;
  tls: boolean;
  username: string | undefined;
  password: string | undefined;
  db: number;
};

const usualPort = { server: 6379, sentinel: 26_379 } as const;

/** Reads an address; null if it is none. */
export const readRedisAddress = (text: string): RedisAddress | null => {
  const match = /^redis(s?)(\+sentinel)?:\/\/(?:([^@/]*)@)?([^@/?#]+)(?:\/([^/?#]*))?(?:\/(\d+))?\/?$/.exec(
    text.trim(),
  );
  if (match === null) return null;
  const [, secure, sentinel, credentials = '', hosts = '', first = '', second = ''] = match;
  const port = sentinel ? usualPort.sentinel : usualPort.server;
  const servers = hosts.split(',').map((written) => readServer(written, port));
  const db = sentinel ? second : first;
  const fits = sentinel ? first !== '' : servers.length === 1 && second === '';
  if (!fits || servers.includes(null) || !/^\d*$/.test(db)) return null;
  const [username = '', ...rest] = credentials.split(':');
  return {
    servers: servers.filter((server) => server !== null),
    primary: sentinel ? decoded(first) : null,
    tls: secure === 's',
    username: username === '' ? undefined : decoded(username),
    password: rest.length === 0 ? undefined : decoded(rest.join(':')),
    db: Number(db),
  };
};

const readServer = (written: string, usual: number): { host: string; port: number } | null => {
  const match = /^(\[[0-9a-f:.]+\]|[^:[\]]+)(?::(\d{1,5}))?$/i.exec(written.trim());
  if (match === null) return null;
  const port = match[2] === undefined ? usual : Number(match[2]);
  return port > 65_535 ? null : { host: (match[1] ?? '').replace(/^\[|\]$/g, ''), port };
};

/** As it stands where it is not percent-encoded. */
const decoded = (text: string): string => {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
};
