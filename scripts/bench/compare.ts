/**
 * The three ways in turn, round for round: this product, raw ioredis, BullMQ. Neighbours of one round are compared,
 * since a machine is never twice the same.
 */
import { median, ratios, shown } from './figures.ts';
import { type Limits, race, type Side } from './race.ts';
import type { Server } from './server.ts';

export const ways = ['raw', 'product', 'bullmq'] as const;
export type Way = (typeof ways)[number];

export type Round = { per_second: number; p50_ms: number; p99_ms: number; cpu_us: Record<string, number> };
export type Rounds = Record<Way, Round[]>;

/** What every part of the benchmark is given. */
export type Bench = {
  server: Server;
  rounds: number;
  /** Messages of a round, by which each part measures its own. */
  messages: number;
  /** A line of progress. */
  say(line: string): void;
};

/** Plays each way once a round; `share` makes a round of a slow way smaller. */
export const compare = async (
  bench: Bench,
  title: string,
  sidesOf: (way: Way) => Side[],
  limits: Limits,
  share: Partial<Record<Way, number>> = {},
): Promise<Rounds> => {
  const rounds: Rounds = { raw: [], product: [], bullmq: [] };
  for (let round = 1; round <= bench.rounds; round += 1) {
    for (const way of ways) {
      const messages = Math.ceil((limits.messages * (share[way] ?? 1)) / 100) * 100;
      const { result, cpu_ms } = await race(bench.server, sidesOf(way), { ...limits, messages });
      const cpu_us = Object.fromEntries(Object.entries(cpu_ms).map(([side, ms]) => [side, (ms * 1000) / messages]));
      const done = { p50_ms: Number.NaN, p99_ms: Number.NaN, ...result, cpu_us } as Round;
      rounds[way].push(done);
      bench.say(`${title}, round ${round} of ${bench.rounds}: ${way.padEnd(8)} ${shown(done.per_second, '/s')}`);
    }
  }
  return rounds;
};

export const rates = (rounds: Round[]): number[] => rounds.map((round) => round.per_second);

/** The product's rate as a ratio to another way's, round for round. */
export const ratioTo = (rounds: Rounds, other: Way): number[] => ratios(rates(rounds.product), rates(rounds[other]));

/** A line per way: its rate, and the CPU time of a message (or a chain) on each side and in the server. */
export const whereLines = (rounds: Rounds): string[] =>
  ways.map((way) => {
    const sides = Object.keys(rounds[way][0]?.cpu_us ?? {});
    const each = sides.map((side) => [side, median(rounds[way].map((round) => round.cpu_us[side] ?? 0))] as const);
    const whole = each.reduce((sum, [, us]) => sum + us, 0);
    const parts = each.map(([side, us]) => `${side} ${shown(us, 'us')}`).join(', ');
    const perSecond = shown(median(rates(rounds[way])), '/s').padStart(9);
    return `${way.padEnd(8)} ${perSecond}   CPU ${shown(whole, 'us')} each: ${parts}`;
  });

/** The medians of all rounds, for `--json`. */
export const summary = (rounds: Rounds): Record<Way, Round> =>
  Object.fromEntries(
    ways.map((way) => {
      const of = (read: (round: Round) => number): number => median(rounds[way].map(read));
      const sides = Object.keys(rounds[way][0]?.cpu_us ?? {});
      const cpu_us = Object.fromEntries(sides.map((side) => [side, of((round) => round.cpu_us[side] ?? 0)]));
      return [
        way,
        { per_second: of(rate), p50_ms: of(({ p50_ms }) => p50_ms), p99_ms: of(({ p99_ms }) => p99_ms), cpu_us },
      ];
    }),
  ) as Record<Way, Round>;
const rate = ({ per_second }: Round): number => per_second;
