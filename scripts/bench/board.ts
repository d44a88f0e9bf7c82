/** A transition on a board of 1,000 subtasks against one of 10: reads, decision and settlement together. */
import type { Shape, Size, Step } from './board-role.ts';
import { figure, mean, median, shown } from './figures.ts';
import type { Part } from './part.ts';
import { race } from './race.ts';

const transitions = 200;

export const board: Part = async (bench) => {
  const rounds: Step[][] = [];
  for (let round = 1; round <= bench.rounds; round += 1) {
    const limits = { messages: transitions, rate: 0, concurrency: 1 };
    const { result } = await race(bench.server, [{ role: 'product-board', counts: true }], limits);
    rounds.push(result.steps as Step[]);
    bench.say(
      `board, round ${round} of ${bench.rounds}: ${shown(grown(rounds.at(-1) ?? [], 'strands', median), 'ratio')}`,
    );
  }
  const steps = rounds.flat();
  return {
    figures: [
      figure(
        'a transition, 1,000 subtasks to 10',
        'ratio',
        rounds.map((round) => grown(round, 'strands', median)),
        { atMost: 1.2 },
      ),
      figure(
        'the same where nobody waits for anybody',
        'ratio',
        rounds.map((round) => grown(round, 'wide', median)),
        { atMost: 1.2 },
      ),
    ],
    where: [...lines(steps, 'strands'), ...lines(steps, 'wide')],
    data: (['strands', 'wide'] as const).map((shape) => ({
      shape,
      small_ms: median(times(steps, shape, 'small')),
      large_ms: median(times(steps, shape, 'large')),
      mean_ratio: grown(steps, shape, mean),
    })),
  };
};

const times = (steps: Step[], shape: Shape, size: Size, kind?: string): number[] =>
  steps
    .filter((step) => step.shape === shape && step.size === size && (!kind || step.kind === kind))
    .map(({ ms }) => ms);

type Typical = (values: number[]) => number;
const grown = (steps: Step[], shape: Shape, typical: Typical): number =>
  typical(times(steps, shape, 'large')) / typical(times(steps, shape, 'small'));

const lines = (steps: Step[], shape: Shape): string[] => {
  const kinds = [...new Set(steps.map(({ kind }) => kind))];
  const pair = (of: Typical, kind?: string): string =>
    `${shown(of(times(steps, shape, 'small', kind)), 'ms')} → ${shown(of(times(steps, shape, 'large', kind)), 'ms')}`;
  return [
    `${shape}: median ${pair(median)}, mean ${pair(mean)} (ratio ${shown(grown(steps, shape, mean), 'ratio')})`,
    ...kinds.map((kind) => `  ${kind.padEnd(17)} ${pair(median, kind)}`),
  ];
};
