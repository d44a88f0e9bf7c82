/** One hop: published, handled, settled. As fast as it goes, and at 500 messages a second. */
import { type Bench, compare, ratioTo, summary, type Way, ways, whereLines } from './compare.ts';
import { figure, median, shown } from './figures.ts';
import type { Part } from './part.ts';
import type { Side } from './race.ts';

const sidesOf = (way: Way): Side[] => [{ role: `${way}-receive`, counts: true }, { role: `${way}-send` }];

/** The raw receiver waits for no acknowledgement at all; fewer slots would measure how long Redis takes to answer. */
const slots = 400;

export const hop: Part = async (bench) => {
  const limits = { messages: bench.messages, rate: 0, concurrency: slots };
  const rounds = await compare(bench, 'hop', sidesOf, limits, { raw: 2, bullmq: 1 / 3 });
  return {
    figures: [
      figure('one hop, to raw', 'ratio', ratioTo(rounds, 'raw'), { atLeast: 0.45 }, { aim: 0.55 }),
      figure('one hop, to BullMQ', 'ratio', ratioTo(rounds, 'bullmq'), { atLeast: 2.8 }),
    ],
    where: whereLines(rounds),
    data: summary(rounds),
  };
};

const rate = 500;

export const latency: Part = async (bench: Bench) => {
  const rounds = await compare(bench, 'latency', sidesOf, { messages: 8 * rate, rate, concurrency: slots });
  const of = (way: Way, name: 'p50_ms' | 'p99_ms'): number[] => rounds[way].map((round) => round[name]);
  const line = (way: Way): string => {
    const [p50, p99] = [median(of(way, 'p50_ms')), median(of(way, 'p99_ms'))];
    return `${way.padEnd(8)} p50 ${shown(p50, 'ms')}, p99 ${shown(p99, 'ms')}`;
  };
  return {
    figures: [
      figure(`at ${rate}/s, acknowledged p50`, 'ms', of('product', 'p50_ms'), { atMost: 0.4 }),
      figure(`at ${rate}/s, acknowledged p99`, 'ms', of('product', 'p99_ms'), { atMost: 2.5 }),
    ],
    where: [...ways.map(line), ...whereLines(rounds)],
    data: summary(rounds),
  };
};
