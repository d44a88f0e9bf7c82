/** How a repository was named, by a path or a URL, perhaps with a password in it; and what of its answers may pass. */

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

/** Git's words for what another try may mend: a ref that somebody holds for the moment, a disk that is full. */
const passing = /early EOF|hung up unexpectedly|cannot lock ref|No space left/i;

export const mayPass = (error: Error): boolean => passing.test(error.message);
