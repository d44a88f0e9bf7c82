/** What each attempt and each gate of a task left in its hub: the record, field by field, and where the files lie. */
import type { AttemptRecord, GateRecord, TaskEvidence } from '@nexus/shared/client';
import { attemptRecord, gateRecord } from '@nexus/shared/client/api';
import { fail } from '@nexus/shared/errors';
import { hubLocation, listEvidence, readEvidence, refs } from '@nexus/shared/git';
import { readBoard, readReport } from '@nexus/shared/ledger';
import type { EvidenceRef, Subtask } from '@nexus/shared/messages/domain';
import { z } from 'zod';
import type { Fleet } from './fleet.ts';

type AttemptShown = TaskEvidence['attempts'][number];
type Asked = { subtask?: string | undefined; attempt?: number | undefined };

/** So many attempts at most in one answer: each takes git processes. */
const attemptsMax = 100;

/** Null: the task has no board. Throws `SUBTASK_UNKNOWN`. */
export const showEvidence = async (fleet: Fleet, id: string, asked: Asked): Promise<TaskEvidence | null> => {
  const board = await readBoard(fleet.bus.store, fleet.bus.keys, id);
  if (board === null) return null;
  const every = [...board.subtasks.values()];
  const subtasks = every.filter((subtask) => asked.subtask === undefined || subtask.id === asked.subtask);
  if (asked.subtask !== undefined && subtasks.length === 0) {
    throw fail('SUBTASK_UNKNOWN', { task: id, subtask: asked.subtask });
  }
  const meant = subtasks.flatMap((subtask) =>
    attemptsOf(subtask).flatMap((attempt) =>
      asked.attempt === undefined || asked.attempt === attempt ? [{ subtask, attempt }] : [],
    ),
  );
  const expiredAt = await expiryOf(fleet, id);
  const attempts: AttemptShown[] = [];
  // One after the other: each file is a git process.
  for (const { subtask, attempt } of meant.slice(0, attemptsMax)) {
    attempts.push(await showAttempt(fleet, id, { subtask, attempt, expiredAt }));
  }
  return { task_id: id, attempts, truncated: meant.length > attemptsMax };
};

/** When the hub of a task was removed with all evidence; null while there is one. Its report says so. */
export const expiryOf = async ({ bus }: Fleet, id: string): Promise<string | null> => {
  const report = await readReport(bus.store, bus.keys, id);
  return z.object({ evidence_expired_at: z.string() }).safeParse(report?.json).data?.evidence_expired_at ?? null;
};

export const expiredSays = (at: string): string =>
  `It has expired: the evidence of this task was removed at ${at} (NEXUS_RETENTION).`;

/** Attempts are counted from 1; the history forgets the oldest of many. */
const attemptsOf = ({ attempt, history }: Subtask): number[] => {
  const last = Math.max(attempt, ...history.map((entry) => entry.attempt));
  return Array.from({ length: last }, (_, at) => at + 1);
};

const showAttempt = async (
  fleet: Fleet,
  id: string,
  { subtask, attempt, expiredAt }: { subtask: Subtask; attempt: number; expiredAt: string | null },
): Promise<AttemptShown> => {
  const about = { subtask_id: subtask.id, title: subtask.title, attempt };
  const none = { record: null, prompt: null, transcript: null, log: null, report: null, kept: [], gates: [] };
  if (expiredAt !== null) return { ...about, ...none, says: expiredSays(expiredAt) };
  const hub = hubLocation(fleet.config, id);
  const ref = refs(id).evidence(`${subtask.id}-${attempt}`);
  try {
    const kept = refsOf(ref, await listEvidence({ hub, ref }));
    const record = recordOf(attemptRecord.shape, await jsonOf(hub, find(kept, 'attempt.json')));
    const gates = await gatesOf(hub, refs(id).evidence(`gate-${subtask.id}-${attempt}`));
    const files = {
      prompt: find(kept, 'prompt.md'),
      transcript: find(kept, 'transcript.jsonl'),
      log: find(kept, 'output.log'),
      report: find(kept, 'report.md'),
    };
    const says = record === null ? `There is no attempt.json at ${ref}.` : '';
    return { ...about, says, record: record as AttemptRecord | null, ...files, kept, gates };
  } catch (thrown) {
    // What cannot be read says why, and the others are still shown.
    return { ...about, ...none, says: (thrown as Error).message };
  }
};

/** Each delivery to the gate has a folder of its own, with its verdict in it. */
const gatesOf = async (hub: string, ref: string): Promise<AttemptShown['gates']> => {
  const every = refsOf(ref, await listEvidence({ hub, ref }));
  const gates = [];
  for (const [folder, kept] of Map.groupBy(every, ({ path }) => path.split('/')[0] ?? '')) {
    const record = recordOf(gateRecord.shape, await jsonOf(hub, find(kept, `${folder}/verdict.json`)));
    gates.push({ record: record as GateRecord | null, kept });
  }
  return gates;
};

const refsOf = (ref: string, paths: readonly string[]): EvidenceRef[] => paths.map((path) => ({ ref, path }));

const find = (kept: readonly EvidenceRef[], path: string): EvidenceRef | null =>
  kept.find((one) => one.path === path) ?? null;

/** Null where there is no such file, or where it is no JSON: it may have been cut at the size of a file of evidence. */
const jsonOf = async (hub: string, place: EvidenceRef | null): Promise<unknown> => {
  const text = place === null ? null : await readEvidence({ hub, ...place });
  try {
    return text === null ? null : JSON.parse(text);
  } catch {
    return null;
  }
};

/** What the record says, a field at a time: what another version did not write, or wrote otherwise, is null. */
const recordOf = (shape: Record<string, z.ZodType>, json: unknown): Record<string, unknown> | null => {
  const read = z.record(z.string(), z.unknown()).safeParse(json);
  if (!read.success) return null;
  const fields = Object.entries(shape);
  return Object.fromEntries(fields.map(([name, field]) => [name, field.safeParse(read.data[name]).data ?? null]));
};
