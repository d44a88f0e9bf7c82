/** What a started program may know of our environment. */

/**
 * The environment for agents and checks: PATH, HOME, language, time zone, temporary folder, user, terminal, proxies and
 * certificate files as we have them, then `extra`, which wins. Never Redis, tokens or credentials.
 */
export const allowedEnv = (_extra: Readonly<Record<string, string>> = {}): Record<string, string> => {
  throw new Error('to follow');
};
