/**
 * `npm run bench:reliability`: what a fleet does when it is hurt, in figures, each against its bar, in one table.
 *
 *   npm run bench:reliability                   every part at a small size: some minutes, to see that it works
 *   npm run bench:reliability -- --full         the sizes that the bars are about: an hour, on a quiet machine
 *   npm run bench:reliability -- killed stop    single parts; the others are lost, starved, restart, takeover, waiting,
 *                                               memory
 *   npm run bench:reliability -- --minutes 5    how long memory is watched; left out 1, with --full 30
 *   npm run bench:reliability -- --json         one line of JSON on standard output at the end
 *
 * Every part starts what it needs, a Redis of its own included, and ends it. Exit code 1 if a figure is short of its
 * bar.
 */
import { loadavg } from 'node:os';
import { readOptions } from '../options.ts';
import { type Figure, figureLines, meetsBar } from './figures.ts';
import { restart, takeover, waiting } from './reliability-fabric.ts';
import type { ReliabilityPart } from './reliability-part.ts';
import { memory } from './reliability-soak.ts';
import { starved } from './reliability-starved.ts';
import { stop } from './reliability-stop.ts';
import { killed, lost } from './reliability-workers.ts';

const parts: Record<string, ReliabilityPart> = { killed, lost, starved, stop, restart, takeover, waiting, memory };

const { values: options, positionals } = readOptions(import.meta.filename, {
  allowPositionals: true,
  options: {
    full: { type: 'boolean', default: false },
    minutes: { type: 'string' },
    json: { type: 'boolean', default: false },
  },
});

const began = performance.now();
const say = (line = ''): void => {
  process.stderr.write(`${line}\n`);
};
const progress = (line: string): void =>
  say(`${((performance.now() - began) / 1000).toFixed(0).padStart(4)} s  ${line}`);

const main = async (signal: AbortSignal): Promise<boolean> => {
  const unknown = positionals.filter((name) => !Object.hasOwn(parts, name));
  if (unknown.length > 0) {
    throw new Error(`there is no part ${unknown.join(', ')}; there are ${Object.keys(parts).join(', ')}`);
  }
  const minutes = Number(options.minutes ?? (options.full ? 30 : 1));
  const figures: Figure[] = [];
  const where: string[] = [];
  const data: Record<string, unknown> = {};
  for (const [name, part] of Object.entries(parts)) {
    if (positionals.length > 0 && !positionals.includes(name)) continue;
    const [load = 0] = loadavg();
    if (load > 1.5) progress(`this machine is busy (load ${load.toFixed(1)}): what follows is worse than it could be`);
    progress(name);
    const measured = await part({ full: options.full, minutes, say: progress, signal });
    figures.push(...measured.figures);
    where.push(...measured.where.map((line) => `${name.padEnd(8)}  ${line}`));
    data[name] = { load, figures: measured.figures, ...(measured.data as object) };
  }
  for (const line of ['', ...figureLines(figures), '', ...where]) say(line);
  if (options.json) process.stdout.write(`${JSON.stringify(data)}\n`);
  return figures.every(meetsBar);
};

const ending = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => ending.abort(signal));

try {
  process.exitCode = (await main(ending.signal)) ? 0 : 1;
} catch (error) {
  say(ending.signal.aborted ? `ended by ${ending.signal.reason}` : `bench:reliability: ${(error as Error).stack}`);
  process.exitCode = ending.signal.aborted ? 130 : 1;
}
