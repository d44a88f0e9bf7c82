/**
 * Verdicts that were reached before: the same commit is not tested twice on the same head.
 *
 * A verdict lies in the hub, beside its logs, under a name of everything it depends on. Who is asked the same again
 * finds it there: a message that was delivered again because a checker died, or was stopped, between its verdict and
 * the settlement; and a candidate that comes back from a merge that could not be made. What the commit before said is
 * no part of the name, as it follows from that commit. A gate that broke has found out nothing, and runs again.
 */
import { createHash } from 'node:crypto';
import { commitEvidence, readEvidence } from '@nexus/shared/git';
import { catalog, type PayloadInput, type PayloadOf } from '@nexus/shared/messages';
import { z } from 'zod';

type Candidate = PayloadOf<'candidate.submitted'>;
type Verdict = PayloadInput<'verdict.reached'>;
type Place = { hub: string; evidence: string; payload: Candidate; messageId: string };

const kept = z.object({ message_id: z.string(), verdict: catalog['verdict.reached'].payload });

/** The verdict on this very question, or null. Its runs count with the message they were made for, and only there. */
export const earlierVerdict = async ({ hub, evidence, payload, messageId }: Place): Promise<Verdict | null> => {
  const text = await readEvidence({ hub, ref: evidence, path: fileOf(payload) });
  const read = text === null ? null : kept.safeParse(parsed(text));
  if (!read?.success) return null;
  const { message_id, verdict } = read.data;
  return message_id === messageId ? verdict : { ...verdict, gate_runs: 0 };
};

/** Keeps a verdict for whoever asks the same. */
export const keepVerdict = async (place: Place, verdict: Verdict): Promise<void> => {
  const { hub, evidence, payload, messageId } = place;
  if (verdict.verdict === 'broken' || verdict.verdict === 'conflict') return;
  const files = { [fileOf(payload)]: JSON.stringify({ message_id: messageId, verdict }) };
  await commitEvidence({ hub, ref: evidence, files, message: `Verdict on ${payload.subtask_id}: ${verdict.verdict}` });
};

/** An attempt has one ref of evidence, and may be tested on several heads. */
const fileOf = ({ commit, integration, kind, setup, checks, allowed_red, last }: Candidate): string => {
  const asked = JSON.stringify({ commit, integration, kind, setup, checks, allowed_red, last: last === true });
  return `verdicts/${createHash('sha256').update(asked).digest('hex').slice(0, 40)}.json`;
};

const parsed = (text: string): unknown => {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
};
