/**
 * Git: hubs, private clones, merges that cannot be lost, results and evidence. Plain git (2.39 or newer) by process.
 *
 * A task has a hub, a bare repository: a folder on a volume that all services see, or any git URL. All that the
 * fleet keeps in it lies under `refs/nexus/<task>/` (rule 23):
 *
 *     integration                     what is merged so far; it moves only by `pushMerge`
 *     attempt/<subtask>/<n>-<token>   the commit in which an attempt ended
 *     wip/<subtask>/<n>-<token>       its checkpoints (rule 27: ends in the claim token, pushed with a lease)
 *     tested/<subtask>/<n>            the merge commit that the gate ran on
 *     merged/<subtask>                the marker: this subtask is in (rule 24: git is the truth of merges)
 *     evidence/<name>                 prompts, transcripts, logs: trees without a work tree
 *
 * The journey of a change: `createHub` → `cloneAt` (a private clone, rule 26) → `mergeInto` (what was there before) →
 * the agent works, `snapshot` + `pushRef` keep checkpoints → `commitAll` + `pushRef` (attempt) → in another clone
 * `mergeCandidate` (the commit that the gate tests) → `pushMerge` (that very commit, one atomic push) → `pushResult`,
 * or `makeRepository` where the person has none.
 *
 * Promised: no prompt, no hook, no configuration of the person or the machine, a time limit on everything, credentials
 * neither in arguments nor in messages. The person's work tree, index and checked-out branch are never touched.
 *
 * Read: `refs.ts`, `run-git.ts` (how git is called), then one file per verb: `probe.ts`, `hub.ts`, `clone.ts`,
 * `commit.ts`, `large-files.ts`, `take-in.ts`, `merge.ts`, `push.ts`, `result.ts`, `new-repository.ts`, `evidence.ts`,
 * `look.ts`, `scratch.ts`. Nobody else runs git.
 */
export { cloneAt, fetchCommits, type Workspace } from './clone.ts';
export { type Author, type Committed, commitAll, conflictMarkers, snapshot } from './commit.ts';
export { commitEvidence, listEvidence, readEvidence } from './evidence.ts';
export { fingerprint } from './fingerprint.ts';
export { createHub, type Hub, hubExists, removeHub } from './hub.ts';
export { largeFiles, uncommit } from './large-files.ts';
export {
  type Change,
  changesBetween,
  type DiffStat,
  diffStat,
  headOf,
  isWhole,
  listRefs,
  patchBetween,
  type RefEntry,
  readFileAt,
  readRef,
  stateOfTree,
  type TreeState,
  trackedFiles,
  untrackedFiles,
} from './look.ts';
export { mergeCandidate, mergeInto } from './merge.ts';
export { makeRepository } from './new-repository.ts';
export { probeRepository, type RepositoryProbe } from './probe.ts';
export { pushMerge, pushRef } from './push.ts';
export { hubLocation, hubPath, refs, type TaskRefs } from './refs.ts';
export { isPushed, pushResult } from './result.ts';
export { sweepScratch } from './scratch.ts';
export { pushSideWork } from './side-work.ts';
export type { LeftOut } from './take-in.ts';
