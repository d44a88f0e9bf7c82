/** What the ledger has of a conversation: a runtime tells its cost at its end alone, and one that is killed never. */
import type { Session } from '@nexus/shared/ledger';
import type { Spending } from '@nexus/shared/spend';

type Place = Pick<Session, 'task_id' | 'subtask_id' | 'attempt'>;

/** What was booked for one attempt so far, in USD, whoever is charged it. */
export const bookedOf = async (place: Place, spending: Spending | undefined): Promise<number> => {
  const lines = (await spending?.book.linesOf(place.task_id)) ?? [];
  const own = lines.filter((line) => line.subtask_id === place.subtask_id && line.attempt === place.attempt);
  return Math.max(
    0,
    own.reduce((sum, { usd, notional_usd }) => sum + usd + notional_usd, 0),
  );
};

/** What was booked for a conversation in all: what it told last, and what was booked of it since nobody told more. */
export const bookedFor = async (session: Session, spending: Spending | undefined): Promise<number> =>
  session.usd_total + Math.max(0, (await bookedOf(session, spending)) - session.usd_booked);
