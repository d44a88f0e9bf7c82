/** What a person can do about a task that did not end well: in sentences, the most helpful first. */
import { errorTable } from '@nexus/shared/errors';
import type { Subtask, TaskHead } from '@nexus/shared/messages/domain';
import { shellWord } from '@nexus/shared/process';
import type { CutOff } from './cut-off.ts';
import type { SavedWork } from './saved-work.ts';

export const adviceFor = (of: {
  head: TaskHead;
  outcome: 'failed' | 'cancelled' | 'not released';
  says: string;
  saved: SavedWork | null;
  /** Takes away again what was pushed before the task ended; null: nothing was. */
  undo: string | null;
  subtasks: readonly Subtask[];
  cutOff: readonly CutOff[];
}): string[] => {
  const { head, outcome, saved, subtasks } = of;
  const task = shellWord(head.task_id);
  const seen =
    subtasks.some(({ history }) => history.length > 0) || of.cutOff.some(({ evidence }) => evidence !== null);
  return [
    ...(outcome === 'cancelled' ? [] : operatorOf(of.says)),
    ...(of.undo ? [`Take away what was pushed before it ended: ${of.undo}`] : []),
    ...(saved?.fetch ? ['Take what was merged so far: the command above makes a branch of it.'] : []),
    ...(seen ? [`See what its agents said and did: nexus logs ${task}`] : []),
    ...(outcome === 'failed' ? ['See whether a message of it died, and of what: nexus dlq ls'] : []),
    saved?.fetch
      ? 'Ask again with what is there: the same request, with that branch as its base.'
      : 'Ask again: the same request, as a new task.',
    `Take everything of it away: DELETE /api/tasks/${head.task_id}`,
  ];
};

/** Reasons begin with the code of the error; its entry says what to do. */
const operatorOf = (says: string): string[] => {
  const code = /^([A-Z][A-Z_]+): /.exec(says)?.[1];
  const entry = errorTable().find(([name]) => name === code)?.[1];
  return entry ? [entry.operator] : [];
};
