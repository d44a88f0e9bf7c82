/** What becomes of a subtask that was escalated, once the orchestrator has answered. */
import type { PayloadOf } from '@nexus/shared/messages';
import type { Subtask } from '@nexus/shared/messages/domain';
import { makeReady } from './dispatch.ts';
import type { Draft } from './draft.ts';

type Answered = PayloadOf<'escalation.answered'>;

/** The orchestrator has answered. An answer to an older escalation than the one that stands changes nothing. */
export const escalationAnswered = (draft: Draft, payload: Answered): void => {
  const part = draft.find(payload.subtask_id);
  if (!part || part.attempt !== payload.attempts || !isAsking(part)) return;
  if (payload.answer === 'person' && part.state === 'parked') {
    draft.change(part.id, { state: 'waiting_for_person', reason: payload.says.slice(0, 2000) });
  }
  if (payload.answer === 'retry') makeReady(draft, part.id, { reason: null }, true);
};

/** True while somebody above decides: parked without a time, or waiting for a person. */
const isAsking = ({ state, resume_at }: Subtask): boolean =>
  state === 'waiting_for_person' || (state === 'parked' && resume_at === null);
