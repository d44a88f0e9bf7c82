/** What a part of the benchmark is: it measures, and gives figures, where the time goes, and all data for `--json`. */
import type { Bench } from './compare.ts';
import type { Figure } from './figures.ts';

export type Measured = { figures: Figure[]; where: string[]; data: unknown };
export type Part = (bench: Bench) => Promise<Measured>;
