/**
 * Checkpoints: what an attempt has so far, pushed where the next one finds it.
 *
 * A checkpoint commits everything in the workspace beside the agent's back, pushes it to the wip ref of this
 * claim with a lease (rule 27), and names the commit in the ledger; only that commit counts. It happens on
 * a time while the agent runs, and whenever an attempt ends in any other way than well.
 *
 *   idle ──save──▶ saving ──▶ idle          one at a time; a second caller waits for its turn
 *   any  ──close─▶ closed                   no timer any more; `save` still works, for the last word
 */
import type { HandlerTools } from '@nexus/shared/bus';
import { type Author, diffStat, pushRef, refs, snapshot } from '@nexus/shared/git';
import { readWip } from '@nexus/shared/ledger';
import { writeWip } from '@nexus/shared/ledger/write';
import { letIn } from './excluded.ts';
import { markSaved, type Workspace } from './workspace.ts';

export type Checkpoints = {
  /** Saves what is there now. Returns the commit; null if nothing differs from where the attempt began. */
  save(): Promise<string | null>;
  /** Saves every so often until `close`. A failure is told to `onTrouble`, and the next turn tries again. */
  every(intervalMs: number, onTrouble: (thrown: unknown) => void): void;
  /** Ends the timer, and waits for a checkpoint under way. */
  close(): Promise<void>;
};

type Tools = Pick<HandlerTools, 'checkpoint' | 'store' | 'keys'>;

/** Opens the checkpoints of a workspace. */
export const openCheckpoints = (options: {
  workspace: Workspace;
  author: Author;
  message: string;
  tools: Tools;
}): Checkpoints => {
  const { workspace, author, message, tools } = options;
  let last: string | null = null;
  let turn: Promise<unknown> = Promise.resolve();
  let timer: NodeJS.Timeout | undefined;

  const saveNow = async (): Promise<string | null> => {
    const { folder, note } = workspace;
    await letIn(folder);
    const { commit, changed } = await snapshot(folder, { message, author, since: note.base });
    if (commit === null || changed.length === 0) return last;
    if (last !== null && (await sameFiles(folder, last, commit))) return last;
    const ref = refs(note.task_id).wip(note.subtask_id, note.attempt, note.token);
    await pushRef({ folder, hub: note.hub, commit, ref, lease: last });
    last = commit;
    await remember(tools, workspace, commit);
    return commit;
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
    close: async () => {
      clearInterval(timer);
      await turn;
    },
  };
};

/** The last checkpoint of an attempt that does not end well: after it, the workspace holds nothing unsaved. */
export const saveForGood = async (checkpoints: Checkpoints, workspace: Workspace): Promise<string | null> => {
  await checkpoints.close();
  const commit = await checkpoints.save();
  await markSaved(workspace);
  return commit;
};

const sameFiles = async (folder: string, one: string, other: string): Promise<boolean> =>
  one === other || (await diffStat(folder, one, other)).files.length === 0;

/** Names the commit in the ledger, under the revision that stands there. */
const remember = async (tools: Tools, { note }: Workspace, commit: string): Promise<void> => {
  const { keys, store, checkpoint } = tools;
  const { revision } = await readWip(store, keys, note.task_id, note.subtask_id);
  await checkpoint(writeWip(keys, note.task_id, note.subtask_id, revision, commit));
};
