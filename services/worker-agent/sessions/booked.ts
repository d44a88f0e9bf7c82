/** What the ledger has of a conversation: a runtime tells its cost at its end alone, and one that is killed never. */
import type { Session } from '@nexus/shared/ledger';
import { noUsage, type Spending, type Usage } from '@nexus/shared/spend';

type Place = Pick<Session, 'task_id' | 'subtask_id' | 'attempt'>;
export type Booked = { usd: number; usage: Usage };

/** What was booked for one attempt so far, in USD, whoever is charged it, and in tokens. */
export const bookedOf = async (place: Place, spending: Spending | undefined): Promise<Booked> => {
  const lines = (await spending?.book.linesOf(place.task_id)) ?? [];
  const own = lines.filter((line) => line.subtask_id === place.subtask_id && line.attempt === place.attempt);
  const sumOf = (amounts: number[]) => Math.max(0, sum(amounts));
  return {
    usd: sumOf(own.map(({ usd, notional_usd }) => usd + notional_usd)),
    usage: eachOf((kind) => sumOf(own.map((line) => line[kind]))),
  };
};

/** What was booked for a conversation in all: what it told last, and what was booked of it since nobody told more. */
export const bookedFor = async (
  session: Session,
  spending: Spending | undefined,
): Promise<{ usd: number; usage: Usage | undefined }> => {
  const { usd, usage } = await bookedOf(session, spending);
  const { usage_total: total, usage_booked: before } = session;
  return {
    usd: session.usd_total + Math.max(0, usd - session.usd_booked),
    // Where nobody has counted tokens, none can be missed.
    usage: total && before ? eachOf((kind) => total[kind] + Math.max(0, usage[kind] - before[kind])) : undefined,
  };
};

const sum = (amounts: number[]): number => amounts.reduce((total, amount) => total + amount, 0);

const eachOf = (count: (kind: keyof Usage) => number): Usage => ({
  ...noUsage,
  ...Object.fromEntries(Object.keys(noUsage).map((kind) => [kind, count(kind as keyof Usage)])),
});
