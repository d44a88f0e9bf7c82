/**
 * The candidate: the commit of an attempt, merged onto the head of integration in a clean clone.
 *
 *     clone of integration ─ merges ──→ the merge commit, pushed as tested/<subtask>/<attempt>
 *          └─ does not ──→ conflict, with its files and what stands against what
 *
 * The merge commit is the same whenever it is made of the same two commits by the same message, so a second delivery
 * pushes what is already there.
 */
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { isFailure } from '@nexus/shared/errors';
import { cloneAt, fetchCommits, mergeCandidate, mergeInto, pushRef, readRef } from '@nexus/shared/git';
import { openGround } from '@nexus/shared/project';
import { tailOf } from './run-checks.ts';

export type Workshop = {
  /** Where clones are made: a folder of this claim alone. */
  folder: string;
  hub: string;
  signal: AbortSignal;
};

export type Candidate =
  | { merged: string; folder: string }
  | { merged: null; files: string[]; says: string; logTail: string };

/** The file that says which fabric the claim of a gate belongs to. */
export const fabricFile = 'fabric';

/** What every process of a gate carries. */
export const markOf = (prefix: string, token: string): string => `${prefix}.${token}`;

/**
 * Makes the folder of a claim, with the name of its task in it: a deleted task takes its gates along. Throws
 * `DISK_FULL` rather than letting a check fail for want of room.
 */
export const openWorkshop = async (options: {
  home: string;
  taskId: string;
  token: string;
  prefix: string;
  hub: string;
  diskReserve: number;
  signal: AbortSignal;
}): Promise<Workshop> => {
  const { hub, signal } = options;
  await openGround(gatesOf(options.home), options.diskReserve);
  const folder = join(gatesOf(options.home), options.token);
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, fabricFile), options.prefix);
  await writeFile(join(folder, 'task'), options.taskId);
  return { folder, hub, signal };
};

/** Where the gates of a home lie. */
export const gatesOf = (home: string): string => resolve(home, 'gates');

export const closeWorkshop = ({ folder }: Workshop): Promise<void> =>
  rm(folder, { recursive: true, force: true, maxRetries: 3 });

/** Clones, merges, and pushes the merge commit to `ref`. */
export const makeCandidate = async (
  workshop: Workshop,
  asked: { base: string; commit: string; message: string; date: string; ref: string },
): Promise<Candidate> => {
  const { hub, signal } = workshop;
  const folder = await checkOut(workshop, 'candidate', asked.base);
  await fetchCommits({ folder, hub, commits: [asked.commit], signal });
  const { merged, conflicts } = await mergeCandidate({ folder, signal, ...asked });
  if (merged === null) return conflictOf(folder, asked.commit, asked.message, conflicts, signal);
  await pushTested(workshop, folder, merged, asked.ref);
  return { merged, folder };
};

/** A clone of the hub at a commit, in the folder of this claim. */
export const checkOut = async (workshop: Workshop, name: string, commit: string): Promise<string> => {
  const folder = join(workshop.folder, name);
  await rm(folder, { recursive: true, force: true });
  await cloneAt({ hub: workshop.hub, folder, commit, signal: workshop.signal });
  return folder;
};

/**
 * The ref of an attempt moves when the same commit is tested again on a newer head. Only one gate of a task is in work,
 * so whoever moved it in between was an earlier delivery of this very message.
 */
const pushTested = async ({ hub, signal }: Workshop, folder: string, commit: string, ref: string): Promise<void> => {
  for (let tries = 1; ; tries++) {
    const lease = await readRef(hub, ref, signal);
    try {
      await pushRef({ folder, hub, commit, ref, lease, signal });
      return;
    } catch (error) {
      if (tries === 3 || !isFailure(error, 'GIT_MOVED')) throw error;
    }
  }
};

const filesMax = 100;
const hunksMax = 20;

const conflictOf = async (
  folder: string,
  commit: string,
  message: string,
  conflicts: string[],
  signal: AbortSignal,
): Promise<Candidate> => {
  const { files } = await mergeInto(folder, commit, { message, signal });
  const texts = await Promise.all(files.slice(0, filesMax).map((path) => hunksOf(folder, path)));
  const all = [...new Set([...conflicts, ...files])];
  const shown = all.slice(0, 10).join(', ') + (all.length > 10 ? ` and ${all.length - 10} more` : '');
  return {
    merged: null,
    files: all.slice(0, filesMax),
    says: `It cannot be merged onto what others have merged meanwhile: ${shown}.`,
    logTail: headOf(texts.join('\n')),
  };
};

/** The places of a file in which both sides differ, as git marked them; a file that one side deleted has none. */
const hunksOf = async (folder: string, path: string): Promise<string> => {
  const text = await readFile(join(folder, path), 'utf8').catch(() => '');
  const hunks = text.match(/^<{7} [\s\S]*?^>{7} .*$/gm) ?? [];
  const shown = hunks.length === 0 ? '(deleted on one side, or not text)' : hunks.slice(0, hunksMax).join('\n…\n');
  return `--- ${path}\n${shown}`;
};

const headOf = (text: string): string => {
  const charsMax = 3900;
  return text.length <= charsMax ? tailOf(text) : `${text.slice(0, charsMax)}\n(…)`;
};
