/**
 * A model of a task's hub for the fleet's simulation: what was committed, tested and merged, whatever the ledger
 * says. It refuses what git's leases refuse, and notes every merge, so that nothing can be merged twice unseen.
 */
import assert from 'node:assert/strict';
import { baseCommit } from '../tools/board.ts';

/** Rules of the hub that can be taken out. */
export type HubBreak = 'merge without marker' | 'marker after settle' | 'merge without lease' | 'merge ungated';

export type Merge = { subtask: string; base: string; tested: string };

export type Hub = ReturnType<typeof openHub>;

export const openHub = (taskId: string, breaks: ReadonlySet<string>) => {
  const contents = new Map<string, ReadonlySet<string>>([[baseCommit, new Set()]]);
  const gated = new Set<string>();
  const markers = new Map<string, string>();
  const merges: Merge[] = [];
  let integration = baseCommit;
  let commits = 0;
  let released: string | null = null;
  const name = (): string => {
    commits += 1;
    return `${taskId}${commits}`.padEnd(40, '0');
  };
  const contentOf = (commit: string): ReadonlySet<string> =>
    contents.get(commit) ?? assert.fail(`nobody made the commit ${commit}`);
  return {
    merges,
    markers,
    contentOf,
    get integration(): string {
      return integration;
    },
    get released(): string | null {
      return released;
    },
    /** An attempt's commit. Who works on what is merged already works on something of its own. */
    commit: (): string => name(),
    /** The gate merges a candidate onto a base; what the base holds already changes nothing. */
    test: (subtask: string, base: string): string => {
      const on = contentOf(base);
      if (on.has(subtask)) return base;
      const tested = name();
      contents.set(tested, new Set([...on, subtask]));
      return tested;
    },
    prove: (tested: string): void => {
      gated.add(tested);
    },
    /** One atomic push of integration and marker, the marker looked at first (rule 24). */
    merge: (subtask: string, base: string, tested: string): 'merged' | 'already' | 'moved' => {
      if (markers.has(subtask) && !breaks.has('merge without marker')) return 'already';
      if (integration !== base && !breaks.has('merge without lease')) return 'moved';
      assert(gated.has(tested), `${subtask} was merged ungated`);
      assert(!merges.some((one) => one.subtask === subtask), `${subtask} was merged twice`);
      merges.push({ subtask, base, tested });
      assert(
        [...contentOf(base)].every((held) => contentOf(tested).has(held)),
        'a merge takes nothing away',
      );
      assert(contentOf(integration).size <= contentOf(base).size, `${subtask} took another merge away`);
      integration = tested;
      if (!breaks.has('marker after settle')) markers.set(subtask, tested);
      return 'merged';
    },
    /** As whoever pushes the marker by itself would do it. */
    mark: (subtask: string, tested: string): void => {
      markers.set(subtask, tested);
    },
    release: (commit: string): void => {
      released = commit;
    },
  };
};
