/** How a repository was named, by a path or a URL, perhaps with a password in it; and whether it was reached. */

/** True for paths and `file://` URLs. */
export const isLocal = (repository: string): boolean =>
  repository.startsWith('file://') ||
  !(/^[a-z][a-z0-9+.-]*:\/\//i.test(repository) || /^[^/\\:]+:(?!\\)/.test(repository));

/** The same name as everybody may read it. */
export const withoutSecrets = (repository: string): string => {
  if (!URL.canParse(repository)) return repository;
  const url = new URL(repository);
  if (url.username === '' && url.password === '') return repository;
  // A name alone may be a token, except for ssh, where it is the login.
  if (url.protocol !== 'ssh:') url.username = '';
  url.password = '';
  return url.href;
};

/** The hosts that lines of git-credential-store are for; a line that is no URL is for none. */
export const hostsOf = (credentials: string | undefined): string[] => {
  const lines = (credentials ?? '').split(/\s+/).filter((line) => URL.canParse(line));
  return [...new Set(lines.map((line) => new URL(line).host))].filter((host) => host !== '');
};

/** Signs in git's words that the other side was not reached, rather than that it refused: git has no codes for it. */
const unreached =
  /could not resolve host|failed to connect|timed? out|no answer within|connection (?:refused|reset|closed)|network is unreachable|early EOF|hung up unexpectedly|error: 50\d|HTTP 50\d|cannot lock ref|No space left/i;

export const wasUnreached = (error: Error): boolean => unreached.test(error.message);
