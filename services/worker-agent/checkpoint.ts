/**
 * Checkpoints: what an attempt has so far, pushed where the next one finds it.
 *
 * A checkpoint commits everything in the workspace beside the agent's back, pushes it to the wip ref of this
 * claim with a lease (rule 27), and names the commit in the ledger; only that commit counts. It happens on
 * a time while the agent runs, when it has changed something and is quiet, and whenever an attempt ends in any other
 * way than well. The ledger is told also where nothing was new: that somebody looked is what an audit asks for.
 *
 *   idle ──save──▶ saving ──▶ idle          one at a time; a second caller waits for its turn
 *   any  ──close─▶ closed                   no timer any more; `save` still works, for the last word
 */
import { type Author, diffStat, headOf, pushRef, pushSideWork, refs, snapshot } from '@nexus/shared/git';
import { letIn } from './excluded.ts';
import type { AttemptRecord, Saved } from './record.ts';
import { markSaved, type Workspace } from './workspace.ts';

export type Checkpoints = {
  /** Saves what is there now. Returns the commit; null if nothing differs from where the attempt began. */
  save(): Promise<string | null>;
  /** Saves every so often until `close`. A failure is told to `onTrouble`, and the next turn tries again. */
  every(intervalMs: number, onTrouble: (thrown: unknown) => void): void;
  /** What could not be saved the last time: a path and why, each. */
  left(): string[];
  /** Ends the timer, and waits for a checkpoint under way. */
  close(): Promise<void>;
};

/** Opens the checkpoints of a workspace. `state` tells what is written down beside the commit. */
export const openCheckpoints = (options: {
  workspace: Workspace;
  author: Author;
  message: string;
  fileBytesMax: number;
  record: Pick<AttemptRecord, 'save'>;
  /** Whether nobody goes on from here any more: then the ledger is told nothing, and may be gone. */
  isOver?(): boolean;
  state(): Pick<Saved, 'step' | 'spent_ms' | 'session'>;
}): Checkpoints => {
  const { workspace, author, message, fileBytesMax, record } = options;
  let last: string | null = null;
  let left: string[] = [];
  let turn: Promise<unknown> = Promise.resolve();
  let timer: NodeJS.Timeout | undefined;

  const saveNow = async (): Promise<string | null> => {
    const { folder, note } = workspace;
    await letIn(folder);
    const made = await snapshot(folder, { message, author, since: note.base, fileBytesMax });
    left = (made.left ?? []).map(({ path, why }) => `${path} (${why})`);
    const { commit, changed } = made;
    if (commit !== null && changed.length > 0 && (last === null || !(await sameFiles(folder, last, commit)))) {
      const ref = refs(note.task_id).wip(note.subtask_id, note.attempt, note.token);
      await pushRef({ folder, hub: note.hub, commit, ref, lease: last });
      last = commit;
    }
    if (!options.isOver?.()) await record.save({ commit: last, left: left.slice(0, leftMax), ...options.state() });
    return last;
  };
  const save = (): Promise<string | null> => {
    const saved = turn.then(saveNow);
    turn = saved.catch(() => undefined);
    return saved;
  };
  return {
    save,
    every: (intervalMs, onTrouble) => {
      timer = setInterval(() => void save().catch(onTrouble), intervalMs);
      timer.unref();
    },
    left: () => left,
    close: async () => {
      clearInterval(timer);
      await turn;
    },
  };
};

/** So many paths that could not be saved are named in the ledger. */
const leftMax = 20;

/** The last checkpoint of an attempt that does not end well: after it, the workspace holds nothing unsaved. */
export const saveForGood = async (checkpoints: Checkpoints, workspace: Workspace): Promise<string | null> => {
  await checkpoints.close();
  const commit = await checkpoints.save();
  await saveSideWork(workspace, commit);
  await markSaved(workspace, checkpoints.left());
  return commit;
};

/** Stashes, and branches that the agent made and left: kept beside its work. Returns where, in words. */
export const saveSideWork = async ({ folder, note }: Workspace, commit: string | null): Promise<string[]> => {
  const prefix = `${refs(note.task_id).wip(note.subtask_id, note.attempt, note.token)}-side-`;
  const held = commit ?? (await headOf(folder));
  const pushed = await pushSideWork({ folder, hub: note.hub, held, prefix });
  return pushed.map(({ from, ref }) => `${from}: ${ref}`);
};

const sameFiles = async (folder: string, one: string, other: string): Promise<boolean> =>
  one === other || (await diffStat(folder, one, other)).files.length === 0;
