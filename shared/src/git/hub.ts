/**
 * Making and removing hubs.
 *
 * A hub is made in a folder beside its place and renamed into it: it is there as a whole or not at all. Beside git's
 * own files it holds `nexus.json`, what `createHub` answered.
 */
import { randomUUID } from 'node:crypto';
import { appendFile, mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { fail, isFailure } from '@nexus/shared/errors';
import { listRefs, readRef } from './look.ts';
import { probeForStart, type RepositoryProbe, refusalOf, type Start } from './probe.ts';
import { isUrl, located, refs, taskOf } from './refs.ts';
import { fetching, git, initialise, type Place, runGit, splitSecret, withScratch } from './run-git.ts';

export type Hub = { baseCommit: string; warnings: string[] };

type HubOptions = {
  hub: string;
  repository: string | null;
  base: string | null;
  credentials?: string | undefined;
  /** Default: the hub's name without `.git`. */
  taskId?: string | undefined;
  signal?: AbortSignal | undefined;
};

type Origin = { probe: RepositoryProbe; start: Start };

/** Rule 28: pushes beside each other must never meet a collection, and what was pushed must survive a power cut. */
const rule28 = `[receive]
\tautogc = false
\tunpackLimit = 1
\tdenyDeletes = false
[gc]
\tauto = 0
[maintenance]
\tauto = false
[core]
\tfsync = objects,reference
\thooksPath = /dev/null
\tlogAllRefUpdates = false
[uploadpack]
\tallowAnySHA1InWant = true
`;

/**
 * Makes the hub of a task and sets its integration ref: from nothing (`repository` null), or from a path or URL at
 * `base` (a branch, tag or commit; null: its HEAD). Asked again it finds the hub as it was made and returns the same.
 * A crash in the middle leaves nothing half. Throws what `probeRepository` throws.
 */
export const createHub = async (options: HubOptions): Promise<Hub> => {
  const hub = located(options.hub);
  const { integration } = refs(options.taskId ?? taskOf(hub));
  if (isUrl(hub)) return createBehindUrl(options, integration);
  const finished = await readHub(hub);
  if (finished) return finished;
  const origin = await lookAt(options);
  await mkdir(dirname(hub), { recursive: true });
  const making = `${hub}.making-${randomUUID()}`;
  try {
    await initialise(making, 'bare', origin?.start.commit ?? null);
    await appendFile(join(making, 'config'), rule28);
    const made = await fill({ bare: making }, options, origin, integration);
    await writeFile(join(making, 'nexus.json'), `${JSON.stringify(made)}\n`);
    await rename(making, hub);
    // What a process that was killed had begun. One that is only late finds the hub that stands.
    await removeBeside(hub, ['making']);
    return made;
  } catch (error) {
    // Whoever was faster made the same hub: theirs stays.
    const theirs = await readHub(hub);
    if (theirs) return theirs;
    throw error;
  } finally {
    await rm(making, { recursive: true, force: true });
  }
};

/**
 * Removes a hub as a whole: its folder and what crashes left beside it, or behind a URL the task's refs. No hub is no
 * error.
 */
export const removeHub = async (hub: string, taskId?: string): Promise<void> => {
  if (!isUrl(hub)) {
    // Renamed first, so that nobody finds a hub of which half is gone.
    const leaving = `${hub}.leaving-${randomUUID()}`;
    try {
      await rename(hub, leaving);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
    await removeBeside(hub, ['making', 'leaving']);
    return;
  }
  const found = await listRefs(hub, `refs/nexus/${taskId ?? taskOf(hub)}/`);
  if (found.length === 0) return;
  await withScratch(found[0]?.commit ?? null, (at) =>
    git(['push', '--quiet', '--', hub, ...found.map(({ ref }) => `:${ref}`)], { at }),
  );
};

const removeBeside = async (hub: string, what: readonly ('making' | 'leaving')[]): Promise<void> => {
  const beside = await readdir(dirname(hub)).catch(() => []);
  const ours = beside.filter((name) => what.some((one) => name.startsWith(`${basename(hub)}.${one}-`)));
  const going = ours.map((name) => rm(join(dirname(hub), name), { recursive: true, force: true }));
  // Into one somebody may be writing still, so it cannot go yet: the others go all the same.
  const stuck = (await Promise.allSettled(going)).find(({ status }) => status === 'rejected');
  if (stuck?.status === 'rejected') throw stuck.reason;
};

/** Whether a task has its hub; false also where there is nothing at all. */
export const hubExists = async (hub: string, taskId?: string, signal?: AbortSignal): Promise<boolean> => {
  if (!isUrl(hub)) return (await readHub(hub)) !== null;
  return (await readRef(hub, refs(taskId ?? taskOf(hub)).integration, signal)) !== null;
};

const readHub = async (hub: string): Promise<Hub | null> => {
  try {
    return JSON.parse(await readFile(join(hub, 'nexus.json'), 'utf8')) as Hub;
  } catch {
    return null;
  }
};

const lookAt = async (options: HubOptions): Promise<Origin | null> =>
  options.repository === null ? null : probeForStart({ ...options, repository: options.repository, writesHere: true });

/** Brings the first commit into a new bare repository and sets integration to it. */
const fill = async (
  at: { bare: string },
  options: HubOptions,
  origin: Origin | null,
  integration: string,
): Promise<Hub> => {
  const { repository, signal } = options;
  const warnings = origin?.probe.warnings ?? [];
  if (repository === null || !origin || origin.start.source === null) {
    return { baseCommit: await firstCommit(at, integration, signal), warnings };
  }
  await fetchStart(at, { ...options, repository }, origin.start, integration);
  const baseCommit = await git(['rev-parse', '--verify', `${integration}^{commit}`], { at, signal });
  // A tag with a message is an object of its own; integration is a commit.
  await git(['update-ref', integration, baseCommit], { at, signal });
  return { baseCommit, warnings };
};

const firstCommit = async (at: Place, integration: string, signal: AbortSignal | undefined): Promise<string> => {
  const tree = await git(['hash-object', '-t', 'tree', '-w', '--stdin'], { at, signal, input: '' });
  const commit = await git(['commit-tree', tree, '-F', '-'], { at, signal, input: 'Begin\n' });
  await git(['update-ref', integration, commit], { at, signal });
  return commit;
};

/** Only what leads to the start is fetched: no other branch, no tag. A shallow repository gives a shallow hub. */
const fetchStart = async (
  at: Place,
  options: HubOptions & { repository: string },
  start: Start,
  integration: string,
): Promise<void> => {
  const { repository, credentials } = splitSecret(options.repository, options.credentials);
  const { signal } = options;
  const result = await runGit([...fetching, '--', repository, `+${start.source}:${integration}`], {
    at,
    signal,
    credentials,
    answers: [0, 1, 128],
  });
  if (result.exitCode === 0) return;
  if (start.source === start.commit && /not our ref|unadvertised object|bad object/.test(result.stderr)) {
    throw fail('BASE_UNKNOWN', { repository, base: options.base ?? 'HEAD' });
  }
  throw refusalOf(repository, result);
};

/** Behind a URL the repository exists already; the task's refs begin in it, and only if nobody began them. */
const createBehindUrl = async (options: HubOptions, integration: string): Promise<Hub> => {
  const { hub, signal } = options;
  const begun = await readRef(hub, integration, signal);
  if (begun) return { baseCommit: begun, warnings: [] };
  const origin = await lookAt(options);
  return withScratch(origin?.start.commit ?? null, async (at) => {
    const made = await fill(at, options, origin, integration);
    const lease = `--force-with-lease=${integration}:`;
    try {
      await git(['push', '--quiet', lease, '--', hub, `${integration}:${integration}`], { at, signal });
      return made;
    } catch (error) {
      const theirs = isFailure(error, 'GIT_FAILED') ? await readRef(hub, integration, signal) : null;
      if (theirs) return { baseCommit: theirs, warnings: made.warnings };
      throw error;
    }
  });
};
