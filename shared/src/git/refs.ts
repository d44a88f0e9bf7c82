/** Where hubs lie, and the names of refs in them (rule 23). */
import { resolve } from 'node:path';

export type TaskRefs = {
  integration: string;
  attempt(subtask: string, attempt: number, token: string): string;
  wip(subtask: string, attempt: number, token: string): string;
  tested(subtask: string, attempt: number): string;
  merged(subtask: string): string;
  evidence(name: string): string;
  /** The one branch: what a person sees in the repository in the end. */
  result: string;
};

/** The names of a task's refs. Tokens must be ref-safe, as claim tokens are. */
export const refs = (taskId: string): TaskRefs => {
  const under = `refs/nexus/${taskId}`;
  return {
    integration: `${under}/integration`,
    attempt: (subtask, attempt, token) => `${under}/attempt/${subtask}/${attempt}-${token}`,
    wip: (subtask, attempt, token) => `${under}/wip/${subtask}/${attempt}-${token}`,
    tested: (subtask, attempt) => `${under}/tested/${subtask}/${attempt}`,
    merged: (subtask) => `${under}/merged/${subtask}`,
    evidence: (name) => `${under}/evidence/${name}`,
    result: `refs/heads/nexus/${taskId}`,
  };
};

/** The folder of a task's hub under the home of the fleet (`NEXUS_HOME`), always absolute. */
export const hubPath = (home: string, taskId: string): string => resolve(home, 'hubs', `${taskId}.git`);

/** Where a task's hub is: under the home, or under `hubs`, a folder or URL that all services share. */
export const hubLocation = (config: { home: string; hubs?: string | undefined }, taskId: string): string => {
  if (!config.hubs) return hubPath(config.home, taskId);
  return isUrl(config.hubs)
    ? `${config.hubs.replace(/\/+$/, '')}/${taskId}.git`
    : resolve(config.hubs, `${taskId}.git`);
};

/** True for URLs and for the `host:path` form of ssh; false for paths. */
export const isUrl = (location: string): boolean =>
  /^[a-z][a-z0-9+.-]*:\/\//i.test(location) || /^[^/\\:]+@?[^/\\:]*:(?!\\)/.test(location);

/** A location as any working folder understands it: a URL, or an absolute path. */
export const located = (location: string): string => (isUrl(location) ? location : resolve(location));

/** The task that a hub belongs to: its name without `.git`. */
export const taskOf = (hub: string): string =>
  hub
    .replace(/\/+$/, '')
    .replace(/\.git$/, '')
    .replace(/^.*[/:]/, '');
