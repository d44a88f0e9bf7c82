/**
 * Pushes to the hub. Every one carries a lease: what the ref must be until then. A ref that moved is an answer, not a
 * failure.
 */
import { rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fail } from '@nexus/shared/errors';
import { readRefs } from './look.ts';
import { isUrl, located } from './refs.ts';
import { gitFailed, type Place, runGit, withHub } from './run-git.ts';

/** One update of one ref; `lease` null: it must not exist. */
type Update = { ref: string; commit: string; lease: string | null };

/** A lock on a ref is held for milliseconds; one this old was left by a process that was killed. */
const lockAgeMsMax = 60_000;
const waitsMs = [20, 50, 100, 200, 400, 800];

/**
 * Sets a ref of the hub to a commit of the clone. `lease` is what the ref must be until then; null: it must not exist.
 * A ref that already is that commit is fine. Throws `GIT_MOVED`.
 */
export const pushRef = async (options: {
  folder: string;
  hub: string;
  commit: string;
  ref: string;
  lease: string | null;
  signal?: AbortSignal | undefined;
}): Promise<void> => {
  const { folder, hub, commit, ref, lease, signal } = options;
  const pushed = await pushUpdates({ clone: folder }, hub, [{ ref, commit, lease }], signal);
  if (!pushed) throw fail('GIT_MOVED', { ref });
};

/**
 * Rule 24: integration from `base` to `tested`, a commit of the hub, and the marker of the subtask in one atomic push,
 * or neither.
 * `already`: the marker was there (asked again after a crash); `moved`: integration is no longer `base`.
 */
export const pushMerge = async (options: {
  hub: string;
  base: string;
  tested: string;
  integrationRef: string;
  markerRef: string;
  signal?: AbortSignal | undefined;
}): Promise<'merged' | 'already' | 'moved'> => {
  const { hub, base, tested, integrationRef, markerRef, signal } = options;
  const before = await readRefs(hub, [markerRef, integrationRef], signal);
  if (before.has(markerRef)) return 'already';
  if (before.get(integrationRef) !== base) return 'moved';
  const updates = [
    { ref: integrationRef, commit: tested, lease: base },
    { ref: markerRef, commit: tested, lease: null },
  ];
  const push = (at: Place) => pushUpdates(at, hub, updates, signal);
  if (await withHub({ hub, commit: tested, signal }, push)) return 'merged';
  // The one that was faster may have carried out this very merge.
  return (await readRefs(hub, [markerRef], signal)).has(markerRef) ? 'already' : 'moved';
};

/**
 * Pushes all updates or none. False: one of them had moved. A lock that somebody else holds for the moment is waited
 * for, as the refs then still are what the leases say.
 */
const pushUpdates = async (
  at: Place,
  hub: string,
  updates: Update[],
  signal: AbortSignal | undefined,
): Promise<boolean> => {
  const leases = updates.map(({ ref, lease }) => `--force-with-lease=${ref}:${lease ?? ''}`);
  const refspecs = updates.map(({ ref, commit }) => `${commit}:${ref}`);
  const args = [
    'push',
    '--quiet',
    '--porcelain',
    '--atomic',
    '--no-verify',
    ...leases,
    '--',
    located(hub),
    ...refspecs,
  ];
  for (const waitMs of [...waitsMs, null]) {
    const result = await runGit(args, { at, signal, answers: [0, 1, 128] });
    if (result.exitCode === 0) return true;
    if (!/stale info|cannot lock ref|\[rejected\]|\[remote rejected\]/.test(result.output))
      throw gitFailed(args, result);
    if (await haveMoved(hub, updates, signal)) return false;
    if (waitMs === null) throw gitFailed(args, result);
    await removeStaleLocks(hub, updates);
    await sleep(waitMs);
  }
  return false;
};

const haveMoved = async (hub: string, updates: Update[], signal: AbortSignal | undefined): Promise<boolean> => {
  const names = updates.map(({ ref }) => ref);
  const now = await readRefs(hub, names, signal);
  return updates.some(({ ref, lease }) => (now.get(ref) ?? null) !== lease);
};

const removeStaleLocks = async (hub: string, updates: Update[]): Promise<void> => {
  if (isUrl(hub)) return;
  for (const { ref } of updates) {
    const file = join(hub, `${ref}.lock`);
    const found = await stat(file).catch(() => null);
    if (found && Date.now() - found.mtimeMs > lockAgeMsMax) await rm(file, { force: true });
  }
};
