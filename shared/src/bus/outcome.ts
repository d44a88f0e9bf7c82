/**
 * What a handler may return. A handler never publishes, acknowledges or retries: it says what should
 * happen, and `settle` makes all of it happen in one script, or none.
 */
import type { ErrorCode } from '@nexus/shared/errors';
import type { Kind, PayloadInput } from '@nexus/shared/messages';
import type { Priority } from '@nexus/shared/messages/domain';

/** A message that the settlement publishes. Its id follows from the cause, the kind and `key` (rule 13). */
export type FollowUp = {
  type: Kind;
  payload: unknown;
  /** Tells follow-ups of one kind and one cause apart. */
  key: string;
  priority?: Priority;
  /** Parked first, and released by its alarm after so many milliseconds. */
  delayMs?: number;
};

/** Writes of the ledger that a settlement carries out, guarded by the revision they were decided on. */
export type LedgerWrite =
  /** Sets and deletes fields of a document; refused if its revision is not `revision` (0: it must not exist). */
  | { op: 'patch'; key: string; revision: number; set: Record<string, string>; del?: string[] }
  /** Removes whole keys that belong to a document. */
  | { op: 'remove'; key: string }
  | { op: 'index'; key: string; member: string; score: number }
  | { op: 'unindex'; key: string; member: string }
  /** Removes one field of a hash, whatever its revision. */
  | { op: 'unset'; key: string; field: string }
  /** Adds to a counter, a field of a hash; one that comes to 0 goes. `seconds`: the hash expires so long after. */
  | { op: 'count'; key: string; field: string; by: number; seconds?: number };

export type Outcome =
  | { is: 'done'; publish: FollowUp[]; write: LedgerWrite[] }
  | { is: 'retry'; code: ErrorCode; says: string; causes: string[]; afterMs: number | null }
  | { is: 'postpone'; untilMs: number; why: string }
  | { is: 'dead'; code: ErrorCode; says: string; causes: string[] }
  | { is: 'give_back'; why: string };

/** The work is done; publish these, write that. */
export const done = (also: { publish?: FollowUp[]; write?: LedgerWrite[] } = {}): Outcome => ({
  is: 'done',
  publish: also.publish ?? [],
  write: also.write ?? [],
});

/** Not now: handle it again at `untilMs` (Unix time in milliseconds). Counts no attempt. */
export const postpone = (untilMs: number, why: string): Outcome => ({ is: 'postpone', untilMs, why });

/** Back to the inbox as it came, for any idle process. Counts no attempt. */
export const giveBack = (why: string): Outcome => ({ is: 'give_back', why });

/** A typed follow-up: the compiler checks the payload against the catalog. */
export const followUp = <K extends Kind>(
  type: K,
  payload: PayloadInput<K>,
  options: { key?: string; priority?: Priority; delayMs?: number } = {},
): FollowUp => ({ type, payload, key: options.key ?? '', ...options });
