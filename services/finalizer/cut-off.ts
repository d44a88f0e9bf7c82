/**
 * Attempts that were still running when their task ended: no history tells of them, since no message came any more.
 * What they did lies in the hub by its names, as soon as their workers have saved it.
 */
import { listRefs, type RefEntry, refs } from '@nexus/shared/git';
import type { Subtask } from '@nexus/shared/messages/domain';

export type CutOff = {
  subtask_id: string;
  attempt: number;
  agent_id: string;
  duration_ms: number;
  /** Where its words lie; null: nothing was kept. */
  evidence: string | null;
};

/** What a hub holds of work that was not finished, as far as a report needs it. */
export type Leftover = { wips: RefEntry[]; evidence: RefEntry[] };

export const nothingLeft: Leftover = { wips: [], evidence: [] };

/** The refs of work in progress, and of evidence. */
export const readLeftover = async (hub: string, taskId: string, signal: AbortSignal): Promise<Leftover> => {
  const names = refs(taskId);
  const all = await listRefs(hub, `refs/nexus/${taskId}/`, signal);
  const under = (prefix: string) => all.filter(({ ref }) => ref.startsWith(prefix));
  return { wips: under(`refs/nexus/${taskId}/wip/`), evidence: under(names.evidence('')) };
};

/** The subtasks whose last attempt began and never told its end. */
export const cutOffOf = (subtasks: readonly Subtask[]): Subtask[] =>
  subtasks.filter(
    ({ began_at, attempt, history }) => began_at !== null && !history.some((one) => one.attempt === attempt),
  );

/** Whether a worker may still be saving what one of them did. */
export const isSaving = (taskId: string, subtasks: readonly Subtask[], { evidence }: Leftover): boolean =>
  cutOffOf(subtasks).some((part) => evidenceOf(taskId, part, evidence) === null);

/** What the report says of them. */
export const cutOffLines = (taskId: string, subtasks: readonly Subtask[], left: Leftover, now: number): CutOff[] =>
  cutOffOf(subtasks).map((part) => ({
    subtask_id: part.id,
    attempt: part.attempt,
    agent_id: part.agent_id,
    duration_ms: Math.max(0, (Date.parse(part.ended_at ?? '') || now) - Date.parse(part.began_at ?? '')),
    evidence: evidenceOf(taskId, part, left.evidence),
  }));

const evidenceOf = (taskId: string, { id, attempt }: Subtask, evidence: readonly RefEntry[]): string | null => {
  const name = refs(taskId).evidence(`${id}-${attempt}`);
  return evidence.some(({ ref }) => ref === name) ? name : null;
};

/** The work in progress of the last attempt of a subtask that saved any. */
export const lastWips = (taskId: string, { id }: Subtask, wips: readonly RefEntry[]): RefEntry[] => {
  const prefix = refs(taskId).wip(id, 0, '').replace(/0-$/, '');
  const ours = wips.filter(({ ref }) => ref.startsWith(prefix));
  const attemptOf = ({ ref }: RefEntry) => Number.parseInt(ref.slice(prefix.length), 10) || 0;
  const last = Math.max(0, ...ours.map(attemptOf));
  return ours.filter((one) => attemptOf(one) === last);
};
