/**
 * Which conversation a run goes on with, if any: looked up in the ledger, held against whoever had it last.
 *
 * Two processes in one conversation lose what one of them did, and nothing locks it. So it goes on under its own id
 * only where the end of its last process is certain: it was closed, or it ran on this machine and is not there any
 * more. Else a copy goes on, under a new id.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { readEvidence } from '@nexus/shared/git';
import { listSessions, readSession, type Session, statusNow } from '@nexus/shared/ledger';
import { endMarked, listMarked } from '@nexus/shared/process';
import type { Attempt } from '../attempt.ts';
import { markOf } from '../orphans.ts';
import type { Conversation, Runtime, RuntimeContext } from '../runtimes.ts';
import { bookedFor } from './booked.ts';
import { transcriptPath } from './keeper.ts';

export type Resumed = {
  /** The conversation to go on with; null: a new one. */
  session: string | null;
  conversation: Conversation | null;
  /** Removes what was brought for it. */
  close(): Promise<void>;
};

const none: Resumed = { session: null, conversation: null, close: async () => undefined };

export const findSession = async (attempt: Attempt, runtime: Runtime, context: RuntimeContext): Promise<Resumed> => {
  const { record, tools, note } = attempt;
  if (!runtime.capabilities.resume) return none;
  const id = record.before?.session ?? (await brokenOffIn(attempt));
  if (id === null) return none;
  const found = await readSession(tools.store, tools.keys, id);
  // Runtimes without transcripts of their own know best.
  if (found === null) return { ...none, session: id };
  const { session } = found;
  const why = await whyNot(session, attempt, runtime);
  if (why !== null) {
    note(`does not go on with the conversation ${id}: ${why}`);
    return none;
  }
  const isOver = await hasEnded(session, attempt);
  const isHere = ((await runtime.transcriptOf?.(id, context)) ?? null) !== null;
  const brought = isHere ? null : await bring(session, attempt);
  const from = brought === null ? 'here' : `brought from ${session.host}`;
  const how = isOver ? '' : ', as a copy: whoever had it last may still run';
  note(`goes on with the conversation ${id} (${from})${how}`);
  const { usd: usdBefore, usage: usageBefore } = await bookedFor(session, attempt.tools.spending);
  return {
    session: id,
    conversation: { transcript: brought?.file ?? null, fork: !isOver, usdBefore, usageBefore },
    close: async () => brought?.close(),
  };
};

/** As many of the newest are looked through for one that has ended. */
const lookedMax = 1000;

/**
 * The conversation of the attempt before, where that asked what is answered now, and there the answer is understood;
 * or where that was ended for want of money, or from outside: nothing was wrong with what it did.
 */
const brokenOffIn = async ({ order, questions, tools }: Attempt): Promise<string | null> => {
  const { task_id, subtask_id, attempt } = order;
  const asked = questions.some(
    (one) => one.subtask_id === subtask_id && one.attempt === attempt - 1 && one.answer !== null,
  );
  if (!asked && order.hand_over?.why !== 'stopped') return null;
  const all = await listSessions(tools.store, tools.keys, { limit: lookedMax });
  const found = all.find(
    ({ session: one }) =>
      one.task_id === task_id &&
      one.subtask_id === subtask_id &&
      one.attempt === attempt - 1 &&
      statusNow(one, tools.now(), tools.config.sessionKeep) === 'idle',
  );
  return found?.session.session_id ?? null;
};

const whyNot = async (session: Session, { tools, agent }: Attempt, runtime: Runtime): Promise<string | null> => {
  const status = statusNow(session, tools.now(), tools.config.sessionKeep);
  if (status === 'ended' || status === 'expired' || status === 'lost') return `it is ${status}. ${session.why}`.trim();
  if (session.runtime !== runtime.name) return `it is one of ${session.runtime}, and this is ${runtime.name}`;
  if (session.agent_id !== agent.agent_id) return `it is ${session.agent_id}'s, and this is ${agent.agent_id}`;
  const { holder } = session;
  const isHeld = holder !== null && holder !== tools.claim.token && (await tools.isClaimed(holder));
  return isHeld ? `${session.instance_id} holds it` : null;
};

/** Only what ran on this machine can be looked for; what is found of it is ended first. */
const hasEnded = async ({ holder, host }: Session, { order, tools }: Attempt): Promise<boolean> => {
  if (holder === null) return true;
  if (host !== hostname()) return false;
  const mark = markOf(tools.keys.prefix, order, holder);
  if (!listMarked().some((found) => found.mark === mark)) return true;
  return (await endMarked(mark, { graceMs: 1000 })).length === 0;
};

const bring = async ({ transcript }: Session, { hub }: Attempt) => {
  if (transcript === null) return null;
  const text = await readEvidence({ hub, ...transcript });
  if (text === null) return null;
  const folder = await mkdtemp(join(tmpdir(), 'nexus-session-'));
  const file = join(folder, transcriptPath);
  await writeFile(file, text);
  return { file, close: () => rm(folder, { recursive: true, force: true }) };
};
