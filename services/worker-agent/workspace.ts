/**
 * Workspaces: a private clone per delivery, `<home>/workspaces/<task>/<subtask>-<attempt>-<token>`.
 *
 * The claim token in the path makes it nobody else's, so nothing is ever adopted (rule 26). What an earlier
 * delivery left behind is saved first (`rescue`) and then comes in by a merge, like any other work. Each
 * clone holds a note beside its git data that says whose it is and whether everything in it was pushed:
 *
 *   open ──saved──▶ saved ──▶ removed at once (finished), or by age (failed)
 *   open ──worker dies──▶ left ──rescue──▶ saved
 *
 * Only what is saved, or whose hub is gone, is ever removed. Where a disk is short, of a clone that is saved then only
 * its note stays (`note.wip`), for the next attempt to go on with what was pushed: relief.ts.
 */
import { existsSync } from 'node:fs';
import { readdir, readFile, rename, rm, rmdir, stat, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { toAppError } from '@nexus/shared/errors';
import { type Author, cloneAt, pushRef, pushSideWork, readRef, refs, snapshot } from '@nexus/shared/git';
import { endMarked } from '@nexus/shared/process';
import { openGround } from '@nexus/shared/project';
import { z } from 'zod';
import { excludeFor, letIn } from './excluded.ts';
import { type Disk, saveMakingRoom } from './rebuildable.ts';

const noteSchema = z.object({
  task_id: z.string(),
  subtask_id: z.string(),
  attempt: z.int(),
  token: z.string(),
  mark: z.string(),
  base: z.string(),
  hub: z.string(),
  made_at: z.string(),
  saved: z.boolean(),
  /** What could not be pushed with it, and is only here. */
  left: z.array(z.string()).default([]),
  /** The commit of its work, which no attempt has gone on with yet. */
  wip: z.string().nullable().default(null),
});

/** The note of a clone: whose it is, where it began, and whether all of it was pushed. */
export type Note = z.infer<typeof noteSchema>;
export type Workspace = { folder: string; note: Note };

/** Where the workspaces of a home lie. */
const workspacesOf = (home: string): string => resolve(home, 'workspaces');

/** Makes the clone of a delivery at its commit. Throws `DISK_FULL`, or `GIT_FAILED`; then nothing is left over. */
export const openWorkspace = async (options: {
  home: string;
  note: Omit<Note, 'saved' | 'made_at' | 'left' | 'wip'>;
  now: number;
  diskReserve: number;
  signal: AbortSignal;
}): Promise<Workspace> => {
  const { note, signal } = options;
  const folder = folderOf(options.home, note);
  await openGround(workspacesOf(options.home), options.diskReserve);
  if (existsSync(folder)) {
    throw new Error(`The workspace ${folder} exists already, though its claim token is new: two claims share a token.`);
  }
  const clone = () => cloneAt({ hub: note.hub, folder, commit: note.base, signal });
  // The task's folder may go, empty, in the moment before the clone lies in it: the second time it is made anew.
  await clone().catch((thrown: NodeJS.ErrnoException) => (thrown.code === 'ENOENT' ? clone() : Promise.reject(thrown)));
  await excludeFor(folder);
  const workspace: Workspace = {
    folder,
    note: { ...note, made_at: new Date(options.now).toISOString(), saved: false, left: [], wip: null },
  };
  await writeNote(workspace);
  return workspace;
};

/** Says that everything in the workspace was pushed, but what is `left`: from now on it may be removed. */
export const markSaved = async (workspace: Workspace, left: string[] = []): Promise<void> => {
  workspace.note.saved = true;
  workspace.note.left = left;
  await writeNote(workspace);
};

/**
 * Removes a workspace whose work was pushed, with its task's folder if it was the last. One that holds what could not
 * be pushed stays, until its age removes it.
 */
export const removeWorkspace = async ({ folder, note }: Workspace): Promise<void> => {
  if (!note.saved || note.left.length > 0) return;
  await rm(folder, { recursive: true, force: true, maxRetries: 3 });
  await removeIfEmpty(dirname(folder));
};

/** One that is being filled stays. */
const removeIfEmpty = (folder: string): Promise<void> => rmdir(folder).catch(() => undefined);

/** Work that was found, under which claim it was done, and what of it could not be saved. */
export type Rescued = { commit: string; token: string; left: string[] };
/** What was found, and the folders whose work cannot be saved now, with why: they stay as they are. */
export type Rescue = { rescued: Rescued[]; failed: string[] };

/**
 * Saves what earlier deliveries of a subtask left unsaved in this home, the newest first, and returns the commits.
 * Only where their claim is really lost: their processes are ended before, should some still run.
 */
export const rescue = async (options: {
  home: string;
  taskId: string;
  subtaskId: string;
  token: string;
  author: Author;
  signal: AbortSignal;
  isClaimed(token: string): Promise<boolean>;
  fileBytesMax?: number | undefined;
  disk?: Disk | undefined;
}): Promise<Rescue> => {
  const found: Rescue = { rescued: [], failed: [] };
  const left = (await listFolders(options.home, options.taskId))
    .flatMap(({ folder, note }) => (note === null ? [] : [{ folder, note }]))
    .filter(({ note }) => note.subtask_id === options.subtaskId && note.token !== options.token)
    .filter(({ note }) => !note.saved || note.wip !== null)
    .sort((one, other) => other.note.made_at.localeCompare(one.note.made_at));
  for (const workspace of left) {
    const { folder, note } = workspace;
    if (await options.isClaimed(note.token)) continue;
    await endMarked(note.mark, { graceMs: 0, folder });
    try {
      const commit = note.wip ?? (await save(workspace, options));
      if (note.wip !== null) await writeNote({ folder, note: { ...note, wip: null } });
      if (commit !== null) found.rescued.push({ commit, token: note.token, left: note.left });
    } catch (thrown) {
      // A clone that is broken must not keep every further attempt from beginning.
      if (options.signal.aborted) throw thrown;
      found.failed.push(`${folder}: ${toAppError(thrown).message}`);
    }
  }
  return found;
};

/**
 * Removes the workspaces of a home that are older than `keepMs`. One that is not saved is saved first; where that
 * fails while its hub still stands, it stays. Those of a task that is gone, and its hub with it, go at once: a
 * ledger that was lost, or that of another fleet, leaves the hub standing. Returns what was removed and what was kept.
 */
export const sweepWorkspaces = async (options: {
  home: string;
  keepMs: number;
  now: number;
  author: Author;
  disk?: Disk | undefined;
  /** Whether the ledger has no such task (any more). */
  isGone(taskId: string): Promise<boolean>;
  /** Whether somebody still holds the claim under which it was made: then it is left alone. */
  isClaimed(token: string): Promise<boolean>;
}): Promise<{ removed: string[]; kept: string[] }> => {
  const swept = { removed: [] as string[], kept: [] as string[] };
  const tasks = await readdir(workspacesOf(options.home)).catch(() => []);
  for (const task of tasks) {
    const folders = await listFolders(options.home, task);
    const isGone = folders.length > 0 && (await options.isGone(task));
    for (const { folder, note, madeAt } of folders) {
      const isLeft = isGone && note !== null && !mayStand(note.hub);
      if (!isLeft && options.now - madeAt < options.keepMs) continue;
      if (note !== null && (await options.isClaimed(note.token))) continue;
      const safe = isLeft || note === null || note.saved || (await saveOrGone({ folder, note }, options, isGone));
      if (safe) await rm(folder, { recursive: true, force: true });
      (safe ? swept.removed : swept.kept).push(folder);
    }
    await removeIfEmpty(join(workspacesOf(options.home), task));
  }
  return swept;
};

const folderOf = (home: string, note: Pick<Note, 'task_id' | 'subtask_id' | 'attempt' | 'token'>): string =>
  join(workspacesOf(home), note.task_id, `${note.subtask_id}-${note.attempt}-${note.token}`);

const noteFile = (folder: string): string => join(folder, '.git', 'nexus.json');

/** Whole or not at all: on a full disk the note before stays, and with it the knowledge of what is not saved. */
const writeNote = async (workspace: Workspace): Promise<void> => {
  const file = noteFile(workspace.folder);
  await writeFile(`${file}.draft`, JSON.stringify(workspace.note));
  await rename(`${file}.draft`, file);
};

type Folder = { folder: string; note: Note | null; madeAt: number };

/** Every clone of a home that has a note. */
export const listWorkspaces = async (home: string): Promise<Workspace[]> => {
  const tasks = await readdir(workspacesOf(home)).catch(() => []);
  const found = (await Promise.all(tasks.map((task) => listFolders(home, task)))).flat();
  return found.flatMap(({ folder, note }) => (note === null ? [] : [{ folder, note }]));
};

/** Of a clone whose work was pushed nothing stays but its note, with where that lies. */
export const shrinkToNote = async ({ folder, note }: Workspace, wip: string | null): Promise<void> => {
  note.wip = wip;
  await writeNote({ folder, note });
  const rest = async (under: string, but: string) => {
    for (const name of await readdir(under)) {
      if (name !== but) await rm(join(under, name), { recursive: true, force: true });
    }
  };
  await rest(folder, '.git');
  await rest(join(folder, '.git'), 'nexus.json');
};

/** The folders of one task. One without a readable note is half made or half removed, and holds nobody's work. */
const listFolders = async (home: string, taskId: string): Promise<Folder[]> => {
  const under = join(workspacesOf(home), taskId);
  const names = await readdir(under).catch(() => []);
  const found = await Promise.all(
    names.map(async (name): Promise<Folder[]> => {
      const folder = join(under, name);
      const text = await readFile(noteFile(folder), 'utf8').catch(() => null);
      const read = text === null ? null : noteSchema.safeParse(parsed(text));
      if (read?.success) return [{ folder, note: read.data, madeAt: Date.parse(read.data.made_at) }];
      const half = await stat(folder).catch(() => null);
      return half === null ? [] : [{ folder, note: null, madeAt: half.mtimeMs }];
    }),
  );
  return found.flat();
};

const parsed = (text: string): unknown => {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
};

type How = { author: Author; signal?: AbortSignal; fileBytesMax?: number | undefined; disk?: Disk | undefined };

/** Pushes what an abandoned workspace holds to the wip ref of its own claim; null if it holds nothing new. */
export const save = (workspace: Workspace, how: How): Promise<string | null> =>
  saveMakingRoom(workspace.folder, how.disk, () => saveNow(workspace, how));

const saveNow = async (workspace: Workspace, { author, signal, fileBytesMax }: How): Promise<string | null> => {
  const { folder, note } = workspace;
  const message = `Work in progress of ${note.subtask_id}, attempt ${note.attempt}, found after its worker was gone`;
  await letIn(folder);
  const made = await snapshot(folder, { message, author, since: note.base, signal, fileBytesMax });
  if (made.commit !== null) {
    const ref = refs(note.task_id).wip(note.subtask_id, note.attempt, note.token);
    await pushRef({ folder, hub: note.hub, commit: made.commit, ref, lease: await readRef(note.hub, ref), signal });
  }
  const prefix = `${refs(note.task_id).wip(note.subtask_id, note.attempt, note.token)}-side-`;
  await pushSideWork({ folder, hub: note.hub, held: made.commit ?? note.base, prefix, signal });
  await markSaved(
    workspace,
    (made.left ?? []).map(({ path, why }) => `${path} (${why})`),
  );
  return made.commit;
};

/** False for a hub that is not there; one elsewhere may always stand. */
const mayStand = (hub: string): boolean => isElsewhere(hub) || existsSync(hub);
const isElsewhere = (hub: string): boolean => /^[a-z+]+:\/\//.test(hub);

/** Saves, or says that there is nothing left to save it for. */
const saveOrGone = async (workspace: Workspace, how: How, isGone: boolean): Promise<boolean> => {
  const { hub } = workspace.note;
  if (!mayStand(hub)) return true;
  try {
    await save(workspace, how);
    return true;
  } catch {
    // Not reachable now: the next sweep tries again, and the folder stays until then, unless nobody will want it.
    return isGone && isElsewhere(hub);
  }
};
