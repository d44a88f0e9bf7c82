/** Removes conversations whose time is over from this machine, and sessions that nobody asks for from the ledger. */
import type { Keys, LedgerWrite, Store } from '@nexus/shared/bus';
import { listSessions, type SessionView, statusNow } from '@nexus/shared/ledger';
import { removeSession } from '@nexus/shared/ledger/write';
import type { Runtime, RuntimeContext } from '../runtimes.ts';

const batch = 200;
/** Sessions that are over are still shown for so long. */
const shownMs = 7 * 24 * 3600_000;

/** Conversations of this machine whose session has expired or ended are removed; returns how many. */
export const sweepSessions = async (options: {
  store: Store;
  keys: Keys;
  runtimes: Map<string, Runtime>;
  context: RuntimeContext;
  now: number;
  keepMs: number;
}): Promise<number> => {
  const { store, keys, runtimes, context, now, keepMs } = options;
  let removed = 0;
  const over = await listSessions(store, keys, { before: now - keepMs, limit: batch });
  for (const { session } of over) {
    if (!isOver({ session }, now, keepMs)) continue;
    const forget = runtimes.get(session.runtime)?.forget;
    if (forget && (await forget(session.session_id, context))) removed += 1;
  }
  return removed;
};

/** The writes that forget a few sessions that have been over for long. */
export const forgetOld = async (store: Store, keys: Keys, now: number, keepMs: number): Promise<LedgerWrite[]> => {
  const old = await listSessions(store, keys, { before: now - keepMs - shownMs, limit: 20 });
  return old
    .filter((view) => isOver(view, now, keepMs))
    .flatMap(({ session }) => removeSession(keys, session.session_id));
};

const isOver = ({ session }: Pick<SessionView, 'session'>, now: number, keepMs: number): boolean =>
  ['expired', 'ended', 'lost'].includes(statusNow(session, now, keepMs));
