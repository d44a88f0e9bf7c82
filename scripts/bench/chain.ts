/** A chain of five hops, each with a write of the ledger, in one process and in five. */
import { compare, ratioTo, summary, type Way, whereLines } from './compare.ts';
import { figure } from './figures.ts';
import type { Part } from './part.ts';
import type { Side } from './race.ts';
import { stationsMax } from './sample.ts';

const stations = Array.from({ length: stationsMax }, (_, station) => station);

const sidesIn =
  (processes: 'one' | 'five') =>
  (way: Way): Side[] => {
    const groups = processes === 'one' ? [stations] : stations.map((station) => [station]);
    return groups.map((mine) => ({
      role: `${way}-chain`,
      stations: mine,
      counts: mine.includes(stationsMax - 1),
    }));
  };

const chainIn =
  (processes: 'one' | 'five'): Part =>
  async (bench) => {
    const limits = { messages: bench.messages / 5, rate: 0, concurrency: chainsInFlight };
    const share = { raw: 2, bullmq: 1 / 3 };
    const rounds = await compare(bench, `chain in ${processes}`, sidesIn(processes), limits, share);
    const name = `five hops with ledger, ${processes} process${processes === 'one' ? '' : 'es'}`;
    return {
      figures: [
        figure(`${name}, to raw`, 'ratio', ratioTo(rounds, 'raw'), { atLeast: 0.42 }, { aim: 0.55 }),
        figure(`${name}, to BullMQ flows`, 'ratio', ratioTo(rounds, 'bullmq'), { atLeast: 2.6 }),
      ],
      where: whereLines(rounds),
      data: summary(rounds),
    };
  };
/** The concurrency at which the peers were measured, too. */
const chainsInFlight = 50;

export const chainInOne = chainIn('one');
export const chainInFive = chainIn('five');
