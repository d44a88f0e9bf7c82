/**
 * What the commands that measure have in common: parts one after the other, the load of the machine beside each, one
 * table of figures at the end, an exit code, and nothing left behind by one that was interrupted.
 */
import { loadavg } from 'node:os';
import { type Figure, figureLines, meetsBar } from './figures.ts';
import type { Measured } from './part.ts';

export type PartTools = {
  /** A line of progress. */
  say(line: string): void;
  signal: AbortSignal;
};

export type BenchRun = {
  /** As it is typed: `bench:agents`. */
  name: string;
  parts: Record<string, (tools: PartTools) => Promise<Measured>>;
  /** Those that are played, in the order of `parts`; none named: all. */
  names: readonly string[];
  /** One line of JSON on standard output at the end. */
  json: boolean;
  /** Ends whatever still runs, also after a part that threw. */
  clear(): Promise<void>;
};

/** Measures, and ends this process: 0 if all bars are met, 1 if not, 2 for an unknown part, 130 if interrupted. */
export const runBench = async (run: BenchRun): Promise<never> => {
  const unknown = run.names.filter((name) => !Object.hasOwn(run.parts, name));
  if (unknown.length > 0) {
    say(`there is no part ${unknown.join(', ')}; there are ${Object.keys(run.parts).join(', ')}`);
    process.exit(2);
  }
  const ending = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => ending.abort(signal));
  const interrupted = new Promise<never>((_, reject) => {
    ending.signal.addEventListener('abort', () => reject(new Error(`ended by ${ending.signal.reason}`)));
  });
  try {
    process.exit((await play(run, ending.signal, interrupted)) ? 0 : 1);
  } catch (error) {
    say(ending.signal.aborted ? (error as Error).message : `${run.name}: ${(error as Error).stack}`);
    process.exit(ending.signal.aborted ? 130 : 1);
  }
};

const play = async (run: BenchRun, signal: AbortSignal, interrupted: Promise<never>): Promise<boolean> => {
  const began = performance.now();
  const progress = (line: string): void =>
    say(`${((performance.now() - began) / 1000).toFixed(0).padStart(4)} s  ${line}`);
  const figures: Figure[] = [];
  const where: string[] = [];
  const data: Record<string, unknown> = {};
  try {
    for (const [name, part] of Object.entries(run.parts)) {
      if (run.names.length > 0 && !run.names.includes(name)) continue;
      const [load = 0] = loadavg();
      if (load > 1.5)
        progress(`this machine is busy (load ${load.toFixed(1)}): what follows is worse than it could be`);
      progress(name);
      const measured = await Promise.race([part({ say: progress, signal }), interrupted]);
      figures.push(...measured.figures);
      where.push(...measured.where.map((line) => `${name.padEnd(8)}  ${line}`));
      data[name] = { load, figures: measured.figures, ...(measured.data as object) };
    }
  } finally {
    await run.clear();
  }
  for (const line of ['', ...figureLines(figures), '', ...where]) say(line);
  if (run.json) process.stdout.write(`${JSON.stringify(data)}\n`);
  return figures.every(meetsBar);
};

const say = (line = ''): void => {
  process.stderr.write(`${line}\n`);
};
