/**
 * What of a board is worth remembering, and in which words.
 *
 *   an attempt ended by itself            → a digest for its agent: what was asked, what came out
 *   … and failed through its own doing    → a lesson
 *   the gate sent its work back           → a lesson: what failed, with the end of the log; and a digest that it was so
 *   ended well, after a failure           → a lesson: what had gone wrong, and what mended it
 *
 * A lesson names its subtask in the first line, since that is what it is found by. It goes out with the settlement that
 * it tells of, under a name of its own attempt: so it is written once, and only of what counted.
 */
import type { PayloadInput, PayloadOf } from '@nexus/shared/messages';
import type { HandOver, Subtask } from '@nexus/shared/messages/domain';
import type { Draft } from './draft.ts';
import { short } from './ending.ts';

export type Noted = PayloadInput<'memory.noted'>;
type Finished = PayloadOf<'attempt.finished'>;

/** Failures that another way to work would avoid; a missing program or a full disk teaches nothing. */
const ownDoing = new Set([
  ...['AGENT_FAILED', 'AGENT_TIMED_OUT', 'AGENT_STUCK', 'AGENT_OUTPUT_LIMIT', 'AGENT_IDLE'],
  ...['CONFLICT_UNRESOLVED', 'FILE_TOO_LARGE'],
]);

const logMax = 900;
const saysMax = 1200;

/** An attempt told its end: its agent's history grows by one, and by a lesson where it failed through its own doing. */
export const noteAttempt = (draft: Draft, part: Subtask, payload: Finished): void => {
  if (payload.outcome === 'aborted' || payload.outcome === 'lost') return;
  const summary = payload.report?.summary || payload.says;
  // What the gate says of it is not known yet, and nobody may take the end of an attempt for that.
  const judged = payload.commit && payload.outcome === 'finished' ? ', and went to the gate' : '';
  const cameOut = payload.code === null ? `${payload.outcome}${judged}` : `${payload.outcome} (${payload.code})`;
  note(draft, part, payload.agent_id, {
    about: 'ended',
    importance: 0.3,
    tags: [part.role, part.kind],
    text: [
      headOf(part),
      `Asked: ${short(oneLine(part.goal), 500)}`,
      `Came out: ${cameOut}. ${short(oneLine(summary), 700)}`,
      ...(payload.files.length > 0 ? [`Files: ${payload.files.slice(0, 12).join(', ')}`] : []),
    ],
  });
  if (payload.outcome === 'finished' || !ownDoing.has(payload.code ?? '')) return;
  note(draft, part, payload.agent_id, {
    about: 'failed',
    importance: 0.5,
    tags: ['failed', part.role, ...codeTag(payload.code)],
    text: [
      headOf(part),
      `An attempt failed with ${payload.code}: ${short(oneLine(payload.says), saysMax)}`,
      ...logOf(payload.log_tail),
    ],
  });
};

/** The gate sent the work of a subtask back. */
export const noteSentBack = (draft: Draft, part: Subtask, { says, log_tail, why }: HandOver): void => {
  // A conflict says something of the moment, not of the work.
  if (why !== 'gate_failed') return;
  const names = part.checks.filter(({ state }) => state === 'failed').map(({ name }) => name);
  note(draft, part, part.agent_id, {
    about: 'returned',
    importance: 0.3,
    tags: [part.role, part.kind],
    text: [headOf(part), `Came out: sent back by the gate, not taken. ${short(oneLine(says), 700)}`],
  });
  note(draft, part, part.agent_id, {
    about: 'sent_back',
    importance: 0.6,
    tags: ['sent_back', part.role, ...names],
    text: [
      headOf(part),
      `Work on this did not pass the project’s checks: ${short(oneLine(says), saysMax)}`,
      ...logOf(log_tail),
    ],
  });
};

/** A subtask ended well that had failed before: what was wrong, and what its last attempt says it did. */
export const noteMended = (draft: Draft, part: Subtask): void => {
  const failures = part.history.filter(
    ({ outcome, code }) => outcome === 'gate_failed' || (outcome !== 'finished' && ownDoing.has(code ?? '')),
  );
  const summary = part.report?.summary ?? '';
  if (failures.length === 0 || summary === '') return;
  const wrong = [...new Set(failures.map(({ says }) => oneLine(says)))].slice(-3);
  note(draft, part, part.agent_id, {
    about: 'mended',
    importance: 0.8,
    tags: ['mended', part.role],
    text: [
      headOf(part),
      ...wrong.map((says) => `What went wrong at first: ${short(says, 500)}`),
      `What the attempt that passed says it did: ${short(oneLine(summary), saysMax)}`,
    ],
  });
};

type Note = Pick<Noted, 'about' | 'importance' | 'tags'> & { text: string[] };

const note = (draft: Draft, part: Subtask, agentId: string, { about, importance, tags, text }: Note): void =>
  draft.note({
    task_id: draft.taskId,
    subtask_id: part.id,
    attempt: Math.max(1, part.attempt),
    agent_id: agentId,
    about,
    importance,
    tags: [...new Set((tags ?? []).map(tagOf).filter((tag) => tag !== ''))].slice(0, 16),
    content: short(text.join('\n'), 3900),
  });

const headOf = ({ title, role }: Subtask): string => `${oneLine(title)} (${role})`;

const logOf = (log: string): string[] =>
  log.trim() === '' ? [] : [`The end of the log:\n${log.trim().slice(-logMax)}`];

const oneLine = (text: string): string => text.replaceAll(/\s+/g, ' ').trim();

const codeTag = (code: string | null): string[] => (code === null ? [] : [code]);

/** A name as a tag may be written. */
const tagOf = (name: string): string =>
  name
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}_.:]+/gu, '-')
    .replaceAll(/^[^\p{L}\p{N}]+|-+$/gu, '')
    .slice(0, 48);
