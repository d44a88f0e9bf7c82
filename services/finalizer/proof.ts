/** What the report needs from the hub: alarms of the gates, and the documents of subtasks that reported. */
import { readEvidence } from '@nexus/shared/git';
import type { BoardView } from '@nexus/shared/ledger';
import type { EvidenceRef, Subtask } from '@nexus/shared/messages/domain';
import { z } from 'zod';

export type Alarm = { subtask_id: string; says: string };
export type ReportDocument = { subtask_id: string; title: string; agent_id: string; text: string };
export type Proof = { alarms: Alarm[]; documents: ReportDocument[] };

/** So much of one document goes into a report; the whole lies in the evidence. */
const documentBytesMax = 100_000;
const alarmed = z.object({ alarms: z.array(z.string()) });

/** Reads it; what is not there is left out, since a report must never fail for want of an ornament. */
export const gatherProof = async (hub: string, board: BoardView | null, signal: AbortSignal): Promise<Proof> => {
  const proof: Proof = { alarms: [], documents: [] };
  for (const subtask of board?.subtasks.values() ?? []) {
    for (const says of await alarmsOf(hub, subtask, signal)) proof.alarms.push({ subtask_id: subtask.id, says });
    const text = subtask.state === 'reported' ? await documentOf(hub, subtask, signal) : null;
    if (text !== null) {
      proof.documents.push({ subtask_id: subtask.id, title: subtask.title, agent_id: subtask.agent_id, text });
    }
  }
  return proof;
};

/** The verdict lies beside the logs of the checks. */
const alarmsOf = async (hub: string, { checks }: Subtask, signal: AbortSignal): Promise<string[]> => {
  const log = checks.find((check) => check.log !== null)?.log;
  if (!log) return [];
  const path = log.path.replace(/[^/]*$/, 'verdict.json');
  const text = await readEvidence({ hub, ref: log.ref, path, signal });
  try {
    return alarmed.parse(JSON.parse(text ?? '')).alarms;
  } catch {
    return [];
  }
};

const documentOf = async (hub: string, subtask: Subtask, signal: AbortSignal): Promise<string | null> => {
  const place: EvidenceRef | undefined = subtask.evidence.at(-1);
  const text = place ? await readEvidence({ hub, ...place, bytesMax: documentBytesMax, signal }) : null;
  return text?.trim() ? text.trim() : (subtask.report?.summary ?? null);
};
