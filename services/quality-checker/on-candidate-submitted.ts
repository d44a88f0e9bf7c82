/** The gate: a candidate comes in, is merged and tested, and a verdict goes out with what proves it. */
import { done, followUp, giveBack, type Handler } from '@nexus/shared/bus';
import { isFailure } from '@nexus/shared/errors';
import { endMarked } from '@nexus/shared/process';
import { closeWorkshop, makeCandidate } from './candidate.ts';
import { earlierVerdict, keepVerdict } from './earlier.ts';
import { type Gate, openGate, testCandidate } from './gate.ts';
import type { CheckerTools } from './tools.ts';
import { conflictVerdict } from './verdict-message.ts';

export const onCandidateSubmitted: Handler<'candidate.submitted', CheckerTools> = async (message, tools) => {
  await tools.begin();
  // An earlier delivery of it may have ended with its process; that claim is lost by now.
  tools.sweep();
  const gate = await openGate(message, tools);
  try {
    const verdict = await decide(gate, message.message_id, message.timestamp);
    return done({ publish: [followUp('verdict.reached', verdict)] });
  } catch (thrown) {
    // A stopped gate has nothing worth a checkpoint: it begins anew after RESUME_ALL.
    if (isFailure(tools.signal.aborted ? tools.signal.reason : thrown, 'STOPPED')) return giveBack('stopped');
    throw thrown;
  } finally {
    const survivors = await endMarked(gate.mark);
    if (survivors.length > 0) tools.log.warn({ survivors }, 'processes of a check could not be ended');
    await closeWorkshop(gate.workshop);
  }
};

const decide = async (gate: Gate, messageId: string, date: string) => {
  const { payload, ref, evidence, tools } = gate;
  const place = { hub: gate.workshop.hub, evidence, payload, messageId };
  const earlier = await earlierVerdict(place);
  if (earlier !== null) {
    const { task_id, subtask_id, attempt } = payload;
    const text = `The verdict on the same commits is used again: ${earlier.verdict}`;
    tools.tell({ event: 'check.finished', task_id, subtask_id, attempt, text, data: { again: true } });
    return earlier;
  }
  const message = `Merge ${payload.subtask_id}: ${payload.title}`;
  const asked = { base: payload.integration, commit: payload.commit, message, date, ref };
  const candidate = await makeCandidate(gate.workshop, asked);
  if (candidate.merged === null) return conflictVerdict(payload, candidate, gate.redact);
  const verdict = await testCandidate(gate, candidate.merged, candidate.folder);
  await keepVerdict(place, verdict);
  return verdict;
};
