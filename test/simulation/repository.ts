/**
 * A model of a task's hub: commits as what they contain, the integration ref, and the markers of merges. It
 * refuses what git's leases refuse, and asserts what must never be asked of it.
 */
import assert from 'node:assert/strict';
import { baseCommit, commitOf } from '../tools/board.ts';

/** What a commit holds: the subtasks merged into it, and the tests that are red at it. */
type Content = { subtasks: ReadonlySet<string>; red: ReadonlySet<string> };
type Work = { subtask: string; attempt: number; adds: readonly string[]; greens: readonly string[] };

export type Repository = ReturnType<typeof openRepository>;

export const openRepository = (taskId: string) => {
  const contents = new Map<string, Content>([[baseCommit, { subtasks: new Set(), red: new Set() }]]);
  const work = new Map<string, Work>();
  const merges = new Map<string, string>();
  const gated = new Set<string>();
  const markers = new Map<string, string>();
  let integration = baseCommit;
  let commits = 0;
  const name = (what: string): string => {
    commits++;
    return commitOf(`${commits}.${what}.${taskId}`.slice(0, 20));
  };
  const content = (commit: string): Content => contents.get(commit) ?? assert.fail(`nobody made the commit ${commit}`);
  return {
    content,
    get integration(): string {
      return integration;
    },
    /** An attempt's commit: red tests that it adds, red tests that it turns green. */
    commit: (made: Work): string => {
      const id = name('w');
      work.set(id, made);
      return id;
    },
    /** What the gate tests: the candidate merged onto a head. */
    candidate: (commit: string, attempt: number, base: string): { commit: string; red: ReadonlySet<string> } => {
      const { subtask, attempt: by, adds, greens } = work.get(commit) ?? assert.fail(`nobody committed ${commit}`);
      assert.equal(by, attempt, `${subtask} is gated with the commit of another attempt`);
      const on = content(base);
      assert(!on.subtasks.has(subtask), `${subtask} is gated though it is merged`);
      const red = on.red.union(new Set(adds)).difference(new Set(greens));
      const id = name('t');
      merges.set(id, commit);
      contents.set(id, { subtasks: on.subtasks.union(new Set([subtask])), red });
      return { commit: id, red };
    },
    /** Which attempt's commit a tested merge brings in. */
    broughtInBy: (tested: string): string | undefined => merges.get(tested),
    /** The gate found that this merge may become integration. */
    prove: (tested: string): void => {
      gated.add(tested);
    },
    /** One atomic push of integration and marker, refused if integration has moved (rule 24). */
    merge: (subtask: string, base: string, tested: string): { outcome: 'merged' | 'moved'; commit: string } => {
      if (markers.has(subtask)) return { outcome: 'merged', commit: integration };
      if (integration !== base) return { outcome: 'moved', commit: integration };
      assert(gated.has(tested), `${subtask} is merged ungated`);
      assert(content(tested).subtasks.has(subtask), 'the merge holds another subtask');
      integration = tested;
      markers.set(subtask, tested);
      return { outcome: 'merged', commit: tested };
    },
    isMerged: (subtask: string): boolean => markers.has(subtask),
    /** Somebody else moves integration. */
    disturb: (): void => {
      const id = name('x');
      contents.set(id, content(integration));
      integration = id;
    },
  };
};
