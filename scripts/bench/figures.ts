/**
 * What a benchmark says: figures, each with its bar, and what they are made of. Pure.
 */
export type Unit = 'ratio' | 'ms' | 's' | 'MB' | '%';

export type Figure = {
  /** Part and figure in words, such as `hop: to raw`. */
  name: string;
  unit: Unit;
  /** The median of the rounds. */
  value: number;
  rounds: number[];
  bar: { atLeast: number } | { atMost: number };
  /** Beyond the bar: what is aimed at. */
  aim?: number;
};

export const median = (values: readonly number[]): number => {
  if (values.length === 0) return Number.NaN;
  const sorted = [...values].sort((one, other) => one - other);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? upper) + upper) / 2;
};

/** The value below which so much (0 to 1) of the values lies; the nearest rank, so it is one of them. */
export const quantile = (values: readonly number[], share: number): number => {
  const sorted = [...values].sort((one, other) => one - other);
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? Number.NaN;
};

export const mean = (values: readonly number[]): number =>
  values.length === 0 ? Number.NaN : values.reduce((sum, value) => sum + value, 0) / values.length;

export const figure = (
  name: string,
  unit: Unit,
  rounds: number[],
  bar: Figure['bar'],
  more: { aim?: number } = {},
): Figure => ({ name, unit, value: median(rounds), rounds, bar, ...more });

/** Where nothing was measured the bar is not met. */
export const meetsBar = ({ value, bar }: Pick<Figure, 'value' | 'bar'>): boolean =>
  'atLeast' in bar ? value >= bar.atLeast : value <= bar.atMost;

/** Ratios of neighbours: what a machine did in one round it did to both. */
export const ratios = (ours: readonly number[], theirs: readonly number[]): number[] =>
  ours.slice(0, theirs.length).map((value, round) => value / (theirs[round] ?? Number.NaN));

/** A value as people read it: three digits that mean something. */
export const shown = (value: number, unit: Unit | 'us' | '/s'): string => {
  if (!Number.isFinite(value)) return 'not measured';
  const digits = unit === '/s' || Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2;
  const number = unit === '/s' ? Math.round(value).toLocaleString('en-US') : value.toFixed(digits);
  if (unit === 'ratio') return number;
  return unit === '/s' || unit === '%' ? `${number}${unit}` : `${number} ${unit === 'us' ? 'µs' : unit}`;
};

/** The closing table: a line per figure, those short of their bar marked. */
export const figureLines = (figures: readonly Figure[]): string[] => {
  const rows = figures.map((one) => [
    meetsBar(one) ? 'ok   ' : 'SHORT',
    one.name,
    shown(one.value, one.unit),
    'atLeast' in one.bar ? `bar ≥ ${shown(one.bar.atLeast, one.unit)}` : `bar ≤ ${shown(one.bar.atMost, one.unit)}`,
    one.rounds.length > 1
      ? `${shown(Math.min(...one.rounds), one.unit)} … ${shown(Math.max(...one.rounds), one.unit)}`
      : '',
    one.aim === undefined ? '' : `aim ${shown(one.aim, one.unit)}`,
  ]);
  const widths = [0, 1, 2, 3, 4].map((column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
};
