/** What a started program may know of our environment. */
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { inheritedEnvironment } from '@nexus/shared/config';

/** By name: people send all sorts of things under LC_*, which ssh passes on. */
const languages =
  'ALL COLLATE CTYPE MESSAGES MONETARY NUMERIC TIME ADDRESS IDENTIFICATION MEASUREMENT NAME PAPER TELEPHONE'
    .split(' ')
    .map((part) => `LC_${part}`);

/** Nothing here may hold a secret of ours; what is not on the list does not exist for agents and checks. */
const allowed = [
  ...['PATH', 'HOME', 'LANG', 'LANGUAGE', ...languages, 'TZ', 'TMPDIR', 'USER', 'LOGNAME', 'SHELL', 'TERM'],
  ...['HTTP_PROXY', 'HTTPS_PROXY', 'NO_PROXY', 'http_proxy', 'https_proxy', 'no_proxy'],
  // Paths of certificates, without which nothing can be fetched behind a company's proxy.
  ...['SSL_CERT_FILE', 'SSL_CERT_DIR', 'NODE_EXTRA_CA_CERTS', 'GIT_SSL_CAINFO', 'CURL_CA_BUNDLE', 'REQUESTS_CA_BUNDLE'],
];

/**
 * The environment for agents and checks: PATH, HOME, language, time zone, temporary folder, user, terminal, proxies and
 * certificate files as we have them, then `extra`, which wins. Never Redis, tokens or credentials, and not the
 * folders that npm put before PATH for us: a person's check must not meet our compiler or test runner.
 */
export const allowedEnv = (extra: Readonly<Record<string, string>> = {}): Record<string, string> => {
  const inherited = inheritedEnvironment(allowed);
  return { ...inherited, ...(inherited.PATH === undefined ? {} : { PATH: withoutOurs(inherited.PATH) }), ...extra };
};

/** A search path without what npm adds for a script of this installation: its own and its parents' `.bin` folders. */
export const withoutOurs = (path: string, installation: string = root): string => {
  const ours = new Set<string>();
  for (let folder = installation; ; folder = dirname(folder)) {
    ours.add(join(folder, 'node_modules', '.bin'));
    if (folder === dirname(folder)) break;
  }
  const kept = path.split(delimiter).filter((folder) => !ours.has(folder) && !folder.endsWith('node-gyp-bin'));
  return kept.join(delimiter);
};

const root = fileURLToPath(new URL('../../..', import.meta.url)).replace(/\/$/, '');
