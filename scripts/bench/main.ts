/**
 * `npm run bench`: how fast it is, each figure against its bar, and where the time goes.
 *
 *   npm run bench                  all parts of the fabric and of the fleet: about ten minutes
 *   npm run bench -- fabric        hop, chain, chain5, latency, settlement, board
 *   npm run bench -- fleet         start, idle, agents, rehearsal, crowd
 *   npm run bench -- hop board     single parts
 *   npm run bench -- --rounds 1    quicker and noisier; left out: 3 for the fabric
 *   npm run bench -- --messages 20000   a round of a hop; left out 180000: a process compiles itself for a second
 *   npm run bench -- --json        one line of JSON on standard output at the end; progress on standard error
 *
 * This product, raw ioredis and BullMQ take turns against one redis-server of the benchmark's own (AOF everysec);
 * messages have 700 bytes. A figure is the median of the rounds; a ratio is taken within each round. Exit code 1 if
 * a figure is short of its bar.
 */
import { loadavg } from 'node:os';
import { readOptions } from '../options.ts';
import { endFleets } from './bench-fleet.ts';
import { board } from './board.ts';
import { chainInFive, chainInOne } from './chain.ts';
import { type Figure, figureLines, meetsBar } from './figures.ts';
import { agents, idle, start } from './fleet.ts';
import { hop, latency } from './hop.ts';
import type { Part } from './part.ts';
import { crowd, rehearsal } from './rehearsals.ts';
import { openServer } from './server.ts';
import { settlement } from './settlement.ts';

const fabric: Record<string, Part> = { hop, chain: chainInOne, chain5: chainInFive, latency, settlement, board };
const fleet: Record<string, Part> = { start, idle, agents, rehearsal, crowd };
const groups: Record<string, Record<string, Part>> = { fabric, fleet };

const { values: options, positionals } = readOptions(import.meta.filename, {
  allowPositionals: true,
  options: {
    rounds: { type: 'string', default: '3' },
    messages: { type: 'string', default: '180000' },
    json: { type: 'boolean', default: false },
  },
});

const began = performance.now();
const say = (line = ''): void => {
  process.stderr.write(`${line}\n`);
};
const progress = (line: string): void =>
  say(`${((performance.now() - began) / 1000).toFixed(0).padStart(4)} s  ${line}`);

/** The parts that were named, alone or by their group; without a name all of them. */
const chosen = (names: string[]): [string, Part][] => {
  const all = Object.values(groups).flatMap(Object.entries<Part>);
  const known = [...Object.keys(groups), ...all.map(([name]) => name)];
  const unknown = names.filter((name) => !known.includes(name));
  if (unknown.length > 0) throw new Error(`there is no part ${unknown.join(', ')}; there are ${known.join(', ')}`);
  const wanted = names.flatMap((name) => (groups[name] ? Object.keys(groups[name]) : [name]));
  return all.filter(([name]) => names.length === 0 || wanted.includes(name));
};

const main = async (interrupted: Promise<never>): Promise<boolean> => {
  const parts = chosen(positionals);
  const figures: Figure[] = [];
  const data: Record<string, unknown> = {};
  const server = await openServer();
  try {
    for (const [name, part] of parts) {
      const [load = 0] = loadavg();
      if (load > 1.5)
        progress(`this machine is busy (load ${load.toFixed(1)}): what follows is worse than it could be`);
      const limits = { rounds: Number(options.rounds), messages: Number(options.messages) };
      const measured = await Promise.race([part({ server, ...limits, say: progress }), interrupted]);
      say();
      for (const line of figureLines(measured.figures)) say(line);
      for (const line of measured.where) say(`        ${line}`);
      say();
      figures.push(...measured.figures);
      data[name] = { load, figures: measured.figures, ...(measured.data as object) };
    }
  } finally {
    await endFleets();
    await server.stop();
  }
  if (parts.length > 1) for (const line of ['All of it:', ...figureLines(figures)]) say(line);
  if (options.json) process.stdout.write(`${JSON.stringify(data)}\n`);
  return figures.every(meetsBar);
};

const ending = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => ending.abort(signal));
const interrupted = new Promise<never>((_, reject) => {
  ending.signal.addEventListener('abort', () => reject(new Error(`ended by ${ending.signal.reason}`)));
});

try {
  process.exit((await main(interrupted)) ? 0 : 1);
} catch (error) {
  if (!ending.signal.aborted) throw error;
  say(`bench: ${(error as Error).message}`);
  process.exit(130);
}
