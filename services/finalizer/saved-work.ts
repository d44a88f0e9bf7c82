/** The work of a task that was not released: where it lies, and the commands that get it. */

import type { RefEntry } from '@nexus/shared/git';
import { refs } from '@nexus/shared/git';
import type { Subtask, TaskHead } from '@nexus/shared/messages/domain';
import { shellWord } from '@nexus/shared/process';
import { lastWips } from './cut-off.ts';
import { isLocal, withoutSecrets } from './repository.ts';

export type SavedWork = {
  hub: string;
  ref: string;
  /** The head of what was merged; null where nothing was. */
  commit: string | null;
  /** Shell commands: one that makes a branch of it, one that shows it. */
  fetch: string | null;
  look: string | null;
  /** Commits in which attempts ended and that no gate has let through; with a `ref`, work that was in progress. */
  unmerged: { subtask_id: string; title: string; commit: string; ref: string | null; fetch: string }[];
};

/** What the hub holds of it; null where that is nothing beyond what the task began with. */
export const savedWork = (of: {
  head: TaskHead;
  hub: string;
  merged: string | null;
  subtasks: readonly Subtask[];
  wips: readonly RefEntry[];
}): SavedWork | null => {
  const { head, subtasks } = of;
  const { integration, result } = refs(head.task_id);
  const hub = withoutSecrets(of.hub);
  const branch = result.replace('refs/heads/', '');
  const commit = of.merged === head.base_commit ? null : of.merged;
  const at = `git${placeOf(head)}`;
  const unmerged = subtasks
    .filter(({ merged_commit, state }) => merged_commit === null && state !== 'reported')
    .flatMap((one) => {
      const entry = (commit: string, ref: string | null) => ({
        ...{ subtask_id: one.id, title: one.title, commit, ref },
        fetch: `${at} fetch ${shellWord(hub)} ${ref ?? commit}`,
      });
      const begun = lastWips(head.task_id, one, of.wips).map(({ ref, commit }) => entry(commit, ref));
      return one.commit === null ? begun : [entry(one.commit, null), ...begun];
    });
  if (commit === null && unmerged.length === 0) return null;
  const range = head.base_commit === null ? branch : `${head.base_commit.slice(0, 12)}..${branch}`;
  return {
    ...{ hub, ref: integration, commit, unmerged },
    fetch: commit && `${at} fetch ${shellWord(hub)} ${integration}:refs/heads/${branch}`,
    look: commit && `${at} log --stat ${range}`,
  };
};

/** In the person's repository, where it lies on a disk; else in whichever clone they stand. */
const placeOf = ({ repository }: TaskHead): string =>
  repository !== null && isLocal(repository) ? ` -C ${shellWord(repository.replace(/^file:\/\//, ''))}` : '';
