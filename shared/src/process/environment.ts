/** What a started program may know of our environment. */
import { inheritedEnvironment } from '@nexus/shared/config';

/** Nothing here may hold a secret of ours; what is not on the list does not exist for agents and checks. */
const allowed = [
  ...['PATH', 'HOME', 'LANG', 'LANGUAGE', 'LC_*', 'TZ', 'TMPDIR', 'USER', 'LOGNAME', 'SHELL', 'TERM'],
  ...['HTTP_PROXY', 'HTTPS_PROXY', 'NO_PROXY', 'http_proxy', 'https_proxy', 'no_proxy'],
  // Paths of certificates, without which nothing can be fetched behind a company's proxy.
  ...['SSL_CERT_FILE', 'SSL_CERT_DIR', 'NODE_EXTRA_CA_CERTS', 'GIT_SSL_CAINFO', 'CURL_CA_BUNDLE', 'REQUESTS_CA_BUNDLE'],
];

/**
 * The environment for agents and checks: PATH, HOME, language, time zone, temporary folder, user, terminal, proxies and
 * certificate files as we have them, then `extra`, which wins. Never Redis, tokens or credentials.
 */
export const allowedEnv = (extra: Readonly<Record<string, string>> = {}): Record<string, string> => ({
  ...inheritedEnvironment(allowed),
  ...extra,
});
