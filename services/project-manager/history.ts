/** The history of a subtask: a line for each attempt that ended and each verdict on it; the last 20 are kept. */
import type { AttemptEntry, Cost, Subtask } from '@nexus/shared/messages/domain';
import type { Draft } from './draft.ts';

const linesMax = 20;

type Line = Pick<AttemptEntry, 'outcome' | 'says'> & Partial<AttemptEntry>;

const nothingSpent: Cost = { usd: null, tokens: null };

/** The history with one line more; what the line does not say is taken from the subtask. */
export const remember = (draft: Draft, part: Subtask, line: Line): AttemptEntry[] => [
  ...part.history.slice(1 - linesMax),
  {
    attempt: part.attempt,
    step: part.step,
    agent_id: line.agent_id ?? part.agent_id,
    runtime: line.runtime ?? null,
    instance_id: line.instance_id ?? part.instance_id,
    outcome: line.outcome,
    code: line.code ?? null,
    says: line.says.slice(0, 500),
    commit: line.commit ?? null,
    began_at: line.began_at ?? null,
    ended_at: draft.at,
    duration_ms: line.duration_ms ?? 0,
    cost: line.cost ?? nothingSpent,
  },
];
