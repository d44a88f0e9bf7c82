/**
 * `npm run bench`: this product, raw ioredis and BullMQ in turn, in one run, as ratios.
 *
 *   npm run bench                  everything, three rounds
 *   npm run bench -- hop           one part: hop, chain, latency
 *   npm run bench -- --rounds 1    quicker, noisier
 *   npm run bench -- --json        one line of JSON at the end
 */
import { parseArgs } from 'node:util';
import { median, openServer, type Report, race, type Server, type Side } from './race.ts';

const { values: asked, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string', default: '3' },
    json: { type: 'boolean', default: false },
    messages: { type: 'string', default: '30000' },
  },
});
const rounds = Number(asked.rounds);
const messages = Math.ceil(Number(asked.messages) / 100) * 100;
const say = (line = ''): void => console.error(line);

type Way = 'product' | 'raw' | 'bullmq';
type Sides = (way: Way) => Side[];
type Limits = { messages: number; rate: number; concurrency: number };

/** The three ways in turn, so many rounds, medians of each. */
const compare = async (server: Server, sides: Sides, limits: Limits, ways: Way[] = ['raw', 'product', 'bullmq']) => {
  const reports: Record<string, Report[]> = {};
  for (let round = 0; round < rounds; round += 1) {
    for (const way of ways) {
      const few = way === 'bullmq' && limits.rate === 0 ? Math.ceil(limits.messages / 300) * 100 : limits.messages;
      const report = await race(server, sides(way), { ...limits, messages: few });
      if (way === 'product' && limits.rate === 0) script.push(await server.commandUs('evalsha'));
      reports[way] = [...(reports[way] ?? []), { ...report, cpu_ms: perMessage(report.cpu_ms, few) }];
    }
  }
  return Object.fromEntries(ways.map((way) => [way, summary(reports[way] ?? [])])) as Record<Way, Summary>;
};

type Summary = { per_second: number; p50_ms: number; p99_ms: number; cpu_us: Record<string, number> };
const script: number[] = [];

const perMessage = (cpu: Record<string, number>, count: number): Record<string, number> =>
  Object.fromEntries(Object.entries(cpu).map(([name, ms]) => [name, (ms * 1000) / count]));

const summary = (reports: Report[]): Summary => ({
  per_second: median(reports.map((report) => report.per_second)),
  p50_ms: median(reports.map((report) => report.p50_ms)),
  p99_ms: median(reports.map((report) => report.p99_ms)),
  cpu_us: Object.fromEntries(
    Object.keys(reports[0]?.cpu_ms ?? {}).map((name) => [
      name,
      median(reports.map((report) => report.cpu_ms[name] ?? 0)),
    ]),
  ),
});

const show = (
  title: string,
  result: Record<Way, Summary>,
  bars: { raw: number; bullmq: number },
): Record<string, number> => {
  const ratios = {
    to_raw: result.product.per_second / result.raw.per_second,
    to_bullmq: result.product.per_second / result.bullmq.per_second,
  };
  say(`\n${title}`);
  for (const [way, figures] of Object.entries(result)) {
    const cpu = Object.entries(figures.cpu_us).map(([name, us]) => `${name} ${us.toFixed(1)}`);
    say(
      `  ${way.padEnd(8)} ${Math.round(figures.per_second).toString().padStart(8)}/s   CPU µs a message: ${cpu.join(', ')}`,
    );
  }
  say(
    `  ratio to raw ${ratios.to_raw.toFixed(2)} (bar ${bars.raw}), to BullMQ ${ratios.to_bullmq.toFixed(2)} (bar ${bars.bullmq})`,
  );
  return ratios;
};

const hop: Sides = (way) => [{ role: `${way}-receive` }, { role: `${way}-send` }];
const chainIn =
  (processes: 1 | 5): Sides =>
  (way) => {
    const stations = processes === 1 ? [[0, 1, 2, 3, 4]] : [[0], [1], [2], [3], [4]];
    return [...stations.map((mine) => ({ role: `${way}-chain`, stations: mine })), { role: `${way}-feed` }];
  };
const parts: Record<string, (server: Server) => Promise<unknown>> = {
  hop: async (server) =>
    show('One hop: published, handled, settled', await compare(server, hop, { messages, rate: 0, concurrency: 200 }), {
      raw: 0.45,
      bullmq: 2.8,
    }),
  chain: async (server) =>
    show(
      'A chain of five hops with ledger writes, one process',
      await compare(server, chainIn(1), { messages: messages / 5, rate: 0, concurrency: 200 }),
      { raw: 0.42, bullmq: 2.6 },
    ),
  latency: async (server) => {
    const result = await compare(server, hop, { messages: 3000, rate: 500, concurrency: 200 });
    say('\nAt 500 messages a second');
    for (const [way, { p50_ms, p99_ms }] of Object.entries(result))
      say(`  ${way.padEnd(8)} p50 ${p50_ms.toFixed(2)} ms, p99 ${p99_ms.toFixed(2)} ms`);
    return result;
  },
};

const server = await openServer();
const results: Record<string, unknown> = {};
try {
  for (const [name, part] of Object.entries(parts)) {
    if (positionals.length === 0 || positionals.includes(name)) results[name] = await part(server);
  }
  if (script.length > 0)
    say(`\nA call of a script takes ${(median(script) / 1000).toFixed(2)} ms in the server on average (bar 2 ms)`);
} finally {
  await server.stop();
}
if (asked.json) console.log(JSON.stringify(results));
