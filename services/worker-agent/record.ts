/**
 * What the ledger knows of the attempts at a subtask, as the one delivery that runs it now keeps it.
 *
 *   asked ──take──▶ running ──save──▶ running ──end──▶ ended      (its writes go out with the settlement)
 *     └──refused─▶ nothing was written: another delivery of this attempt runs, or nobody wants it any more
 *
 * The same dispatch may come twice: copied, replayed, or given back and taken up again. Which of them runs is decided
 * here, by the revision of one document: whoever writes its claim there runs, as long as that claim stands.
 */
import type { HandlerTools, LedgerWrite } from '@nexus/shared/bus';
import { isFailure } from '@nexus/shared/errors';
import { type AttemptView, type Checkpoint, readAttempt, readBoardParts } from '@nexus/shared/ledger';
import { writeAttempt } from '@nexus/shared/ledger/write';
import type { PayloadOf } from '@nexus/shared/messages';

type Order = Pick<PayloadOf<'subtask.dispatched'>, 'task_id' | 'subtask_id' | 'attempt'>;
type Tools = Pick<HandlerTools, 'store' | 'keys' | 'claim' | 'now' | 'checkpoint'> & {
  /** Whether the claim that a token names still stands. */
  isClaimed(token: string): Promise<boolean>;
  config: { checkpointInterval: number };
};

type Fields = 'commit' | 'step' | 'spent_ms' | 'left' | 'session' | 'waits' | 'unreachable_since';
export type Saved = Pick<Checkpoint, Fields>;

export type AttemptRecord = {
  /** What was saved last before this delivery, of this attempt or of one that never told its end. */
  readonly before: Checkpoint | null;
  /** Since when, in ms, its provider cannot be reached; null: it was, when last seen. */
  readonly unreachableSince: number | null;
  /** Since when, in ms, this attempt has met a disk that others fill; null: it has not. */
  readonly fullSince: number | null;
  /** Writes a checkpoint down, under this claim. Throws CLAIM_LOST. */
  save(saved: Saved): Promise<void>;
  /** A conversation has begun: whoever comes next finds it, also where nothing else of this run was saved yet. */
  speaks(session: string): Promise<void>;
  /** It waits for room on its disk; the next delivery goes on from what was saved last. Throws CLAIM_LOST. */
  waits(why: Pick<Checkpoint, 'step' | 'session' | 'spent_ms'> & { waits: string; full_since: number }): Promise<void>;
  /** The writes that go with the end of the attempt: whoever comes after that finds it ended. */
  end(): Promise<LedgerWrite[]>;
};

/** As many others can be in the middle of the same question. */
const triesMax = 10;

/** Takes the attempt for this delivery; or says why it is not to be run. */
export const takeAttempt = async (order: Order, tools: Tools): Promise<AttemptRecord | { refused: string }> => {
  const { store, keys, claim } = tools;
  for (let tries = 1; ; tries += 1) {
    const unwanted = await whyUnwanted(order, tools);
    if (unwanted !== null) return { refused: unwanted };
    const found = await readAttempt(store, keys, order.task_id, order.subtask_id);
    if (found.ended >= order.attempt) return { refused: `attempt ${found.ended} has told its end already` };
    const other = found.running === null || found.running.token === claim.token ? null : found.running.token;
    if (other !== null && (await tools.isClaimed(other))) return { refused: `it runs already, by ${other}` };
    try {
      return await openRecord(order, found, tools);
    } catch (thrown) {
      if (!isFailure(thrown, 'TRANSITION_ILLEGAL') || tries >= triesMax) throw thrown;
    }
  }
};

/** A dispatch counts only for the attempt that its board is at, and that holds a slot there. */
const whyUnwanted = async (order: Order, { store, keys }: Tools): Promise<string | null> => {
  const board = await readBoardParts(store, keys, order.task_id, [order.subtask_id]);
  const part = board?.subtasks.get(order.subtask_id);
  if (!board || !part) return 'its board knows no such subtask (any more)';
  if (part.attempt !== order.attempt) return `its board is at attempt ${part.attempt}`;
  if (!board.head.dispatched.includes(part.id)) return `its board has it as ${part.state}`;
  return null;
};

type Parts = Parameters<typeof writeAttempt>[4];

/** It was put aside before any agent had begun, so there is nothing to go on from. */
const neverRan = (checkpoint: Checkpoint | null): boolean =>
  checkpoint?.waits !== undefined && checkpoint.commit === null && checkpoint.spent_ms === 0;

const openRecord = async (order: Order, found: AttemptView, tools: Tools): Promise<AttemptRecord> => {
  const { keys, claim } = tools;
  const { attempt } = order;
  let { revision } = found;
  let known = found.checkpoint?.commit ?? null;
  let latest = found.checkpoint;
  let turn: Promise<unknown> = Promise.resolve();
  const write = (parts: Parts): LedgerWrite[] => writeAttempt(keys, order.task_id, order.subtask_id, revision, parts);
  /** The revision as it stands, if the document is still ours: an answer that got lost may hide a write of our own. */
  const look = async (): Promise<boolean> => {
    const now = await readAttempt(tools.store, keys, order.task_id, order.subtask_id);
    if (now.running?.token === claim.token) revision = now.revision;
    return now.running?.token === claim.token;
  };
  const keep = async (parts: Parts, isProgress = false): Promise<void> => {
    try {
      await tools.checkpoint(write(parts), isProgress);
    } catch (thrown) {
      if (!isFailure(thrown, 'TRANSITION_ILLEGAL') || !(await look())) throw thrown;
      await tools.checkpoint(write(parts), isProgress);
    }
    revision += 1;
  };
  const at = () => new Date(tools.now()).toISOString();
  const inTurn = (work: () => Promise<void>): Promise<void> => {
    const kept = turn.then(work);
    turn = kept.catch(() => undefined);
    return kept;
  };
  let fullSince = (found.checkpoint?.attempt === attempt && found.checkpoint.full_since) || null;
  await keep({ running: { attempt, token: claim.token, since: at(), every_ms: tools.config.checkpointInterval } });
  return {
    before: neverRan(found.checkpoint) ? null : found.checkpoint,
    unreachableSince: found.checkpoint?.unreachable_since ?? null,
    get fullSince() {
      return fullSince;
    },
    save: (saved) => {
      // Only work that nobody had saved yet is progress; an attempt that was merely begun anew is not.
      const isProgress = saved.commit !== null && saved.commit !== known;
      // There was room for it, so that a disk which fills again is waited for anew.
      if (isProgress) fullSince = null;
      const since = fullSince === null ? {} : { full_since: fullSince };
      const checkpoint = { attempt, token: claim.token, at: at(), ...since, ...saved };
      known = saved.commit ?? known;
      latest = checkpoint;
      return inTurn(() => keep({ checkpoint }, isProgress));
    },
    speaks: (session) =>
      inTurn(() => {
        const none: Checkpoint = {
          attempt,
          token: claim.token,
          at: at(),
          commit: null,
          step: 'begins',
          spent_ms: 0,
          left: [],
          session,
        };
        const { waits: _over, unreachable_since: _away, ...rest } = latest ?? none;
        latest = { ...rest, session };
        return keep({ checkpoint: latest });
      }),
    waits: (why) =>
      inTurn(() => {
        const { commit = null, left = [] } = latest ?? {};
        latest = { attempt, token: claim.token, at: at(), commit, left, ...why };
        return keep({ checkpoint: latest });
      }),
    end: async () => {
      await turn;
      // Decided on what stands there now: a settlement that is refused would run the whole attempt again.
      await look();
      return write({ running: null, checkpoint: null, ended: attempt });
    },
  };
};
