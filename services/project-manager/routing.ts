/**
 * Routing: which of the agents that have a role gets a subtask. Pure: the same view and chance choose the same.
 *
 * Who can do it (the role, and files may be edited where a commit is wanted) → how well each has done this kind of
 * work, as a draw from what its history leaves open → less what it carries already, and what it was given before
 * others. A draw, not the best figure: whoever is new is tried now and then, and whoever had bad luck once is, too.
 * What nobody could have mended (a broken gate, no runtime) counts against nobody.
 */
import type { ErrorCode } from '@nexus/shared/errors';
import { historyField } from '@nexus/shared/ledger';
import type { Subtask, SubtaskKind } from '@nexus/shared/messages/domain';
import type { Draft } from './draft.ts';

export type Candidate = {
  id: string;
  /** How often it has done this kind of work well, and how often not. */
  ok: number;
  failed: number;
  /** Attempts that it runs now, in the whole fleet. */
  running: number;
};

/** What each running attempt takes from a chance, and each that was given in this decision. */
const loadWeight = 0.15;
/** Older successes count, but never so much that a new agent has no chance at all. */
const historyMax = 50;

/** One of the candidates, by a draw for each; `random` gives numbers of at least 0 and below 1. */
export const chooseAgent = (candidates: readonly Candidate[], random: () => number): string => {
  const drawn = candidates.map((candidate) => {
    const { ok, failed } = weighed(candidate);
    return { id: candidate.id, score: drawBeta(ok + 1, failed + 1, random) / (1 + loadWeight * candidate.running) };
  });
  const best = drawn.reduce((one, other) => (other.score > one.score ? other : one));
  return best.id;
};

/** The same share of successes, from fewer tries where there were very many. */
const weighed = ({ ok, failed }: Candidate): { ok: number; failed: number } => {
  const all = ok + failed;
  const by = all > historyMax ? historyMax / all : 1;
  return { ok: ok * by, failed: failed * by };
};

/** The agent for the first attempt of a subtask. One that was asked for by its id gets it. */
export const route = (draft: Draft, part: Subtask): string => {
  if (part.agent_source) return part.agent_id;
  const ids = draft.candidatesFor(part.role, part.kind);
  if (ids.length === 0) return homeOf(draft, part);
  const [only] = ids;
  if (ids.length === 1 && only !== undefined) return only;
  const { history, running } = draft.crew();
  const counted = (id: string, outcome: 'ok' | 'failed') =>
    history.get(historyField('agent', id, part.kind, outcome)) ?? 0;
  const candidates = ids.map((id) => ({
    id,
    ok: counted(id, 'ok'),
    failed: counted(id, 'failed'),
    running: (running.get(id) ?? 0) + draft.given(id),
  }));
  return chooseAgent(candidates, seeded(`${draft.taskId} ${part.id} ${draft.chance}`));
};

/** The agent that has the role of a subtask now; where nobody has it any more, the one that it had. */
export const homeOf = (draft: Draft, part: Pick<Subtask, 'role' | 'agent_id' | 'agent_source'>): string => {
  if (part.agent_source) return part.agent_id;
  try {
    return draft.agentFor(part.role);
  } catch {
    return part.agent_id;
  }
};

/** Failures that say nothing about whoever met them. */
const nobodysFault = new Set<string>([
  'NO_RUNTIME',
  'RUNTIME_UNKNOWN',
  'AGENT_COMMAND_MISSING',
  'COMMAND_MISSING',
  'AGENT_PROGRAM_MISSING',
  'WORKSPACE_SETUP',
  'MODEL_KEY_REFUSED',
  'LOGIN_REFUSED',
  'CREDIT_SPENT',
  'MODEL_UNKNOWN',
  'MODEL_UNREACHABLE',
  'MODEL_REQUEST_REFUSED',
  'POISON',
  'ROLE_UNKNOWN',
  'RETRIES_EXHAUSTED',
] satisfies ErrorCode[]);

/** Books how an attempt did, for its agent and for its role: what routing and the completion probability go by. */
export const book = (draft: Draft, part: Subtask, outcome: 'ok' | 'failed', code: string | null = null): void => {
  // What is known of a guest would lie there for ever, and nobody would ask for it again.
  if (nobodysFault.has(code ?? '') || part.agent_source) return;
  draft.history(historyField('agent', part.agent_id, part.kind, outcome));
  draft.history(historyField('role', part.role, part.kind, outcome));
};

export type Crew = {
  /** The counters of `keys.history`. */
  history: ReadonlyMap<string, number>;
  /** Agent → attempts that it runs now. */
  running: ReadonlyMap<string, number>;
};

/** Whoever may edit no files can do a report, and nothing else. */
export const canDo = (mayEdit: boolean, kind: SubtaskKind): boolean => mayEdit || kind === 'report';

/** A draw from Beta(a, b), by two draws from Gamma (Marsaglia and Tsang 2000); a and b are at least 1. */
const drawBeta = (a: number, b: number, random: () => number): number => {
  const [one, other] = [drawGamma(a, random), drawGamma(b, random)];
  return one / (one + other);
};

const drawGamma = (shape: number, random: () => number): number => {
  const d = shape - 1 / 3;
  const c = 1 / Math.sqrt(9 * d);
  for (;;) {
    const x = drawNormal(random);
    const v = (1 + c * x) ** 3;
    if (v <= 0) continue;
    if (Math.log(1 - random()) < 0.5 * x * x + d - d * v + d * Math.log(v)) return d * v;
  }
};

/** Box and Muller 1958. */
const drawNormal = (random: () => number): number =>
  Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());

/** Numbers that follow from a text alone (FNV-1a, then mulberry32). */
export const seeded = (text: string): (() => number) => {
  let state = 0x811c9dc5;
  for (let at = 0; at < text.length; at++) state = Math.imul(state ^ text.charCodeAt(at), 0x01000193);
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
};
