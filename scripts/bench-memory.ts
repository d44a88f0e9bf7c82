/**
 * What a recall costs at 100,000 memories: `npm run bench:memory [-- --memories 100000 --questions 400 --seed 1]`.
 *
 * Half of them lie in scopes of a thousand, as agents and projects have them, where a question asks three scopes; the
 * other half in one scope, which no fleet should have. Texts are drawn from a vocabulary by Zipf's law, as words of
 * people and programs are; each question knows four of the six words that its target is about, among thirty of no
 * meaning. Beside each recall a bare GET is timed on the same connection: a busy machine slows down both. What the
 * server itself spends is its CPU time, which a busy machine does not change.
 *
 * Exit code 1 if the 95th percentile of a recall is above 10 ms.
 */
import { type Bus, describeServer, openBus } from '@nexus/shared/bus';
import { fabricConfig, loadConfig } from '@nexus/shared/config';
import { type Memories, memoryConfig, openMemory } from '@nexus/shared/memory';
import { openMeters, silentLog } from '@nexus/shared/telemetry';
import { quantile, shown } from './bench/figures.ts';
import { openServer, type Server } from './bench/server.ts';
import { readOptions } from './options.ts';

const { values: asked } = readOptions(import.meta.filename, {
  options: {
    memories: { type: 'string', default: '100000' },
    questions: { type: 'string', default: '400' },
    seed: { type: 'string', default: '1' },
  },
});
const many = Number(asked.memories);
const questions = Number(asked.questions);
const p95MsMax = 10;

/** https://en.wikipedia.org/wiki/Linear_congruential_generator: the same texts each time. */
const openRandom = (seed: number) => {
  let state = BigInt(seed);
  return (): number => {
    state = BigInt.asUintN(64, state * 6364136223846793005n + 1442695040888963407n);
    return Number(state >> 33n) / 2 ** 31;
  };
};

const vocabulary = 50_000;
/** The nth word; letters alone, so that it counts as one. */
const wordAt = (n: number): string => {
  let word = 'w';
  for (let rest = n + 26; rest > 0; rest = Math.floor(rest / 26)) word += String.fromCharCode(97 + (rest % 26));
  return `${word}x`;
};

type Corpus = { heads: string[][]; text(at: number): string; noise(count: number): string };

const openCorpus = (seed: number): Corpus => {
  const random = openRandom(seed);
  // Zipf with exponent 1: the rank is the vocabulary's size to the power of a share.
  const zipf = () => Math.floor(vocabulary ** random()) - 1;
  const noise = (count: number) => Array.from({ length: count }, () => wordAt(zipf())).join(' ');
  const rare = () => wordAt(200 + Math.floor(random() * (vocabulary - 200)));
  const heads = Array.from({ length: many }, () => Array.from({ length: 6 }, rare));
  return { heads, noise, text: (at) => `${heads[at]?.join(' ')}\n${noise(60)}` };
};

type Way = { name: string; first: number; count: number; scopeOf(at: number): string; scopesFor(at: number): string[] };

const half = Math.floor(many / 2);
const smallOnes = Math.max(1, Math.round((many - half) / 1000));
const small = (at: number): string => `project:p-${at % smallOnes}`;
const ways: Way[] = [
  {
    ...{ name: `${smallOnes} scopes of a thousand, three of them asked`, first: 0, count: many - half },
    ...{ scopeOf: small, scopesFor: (at: number) => [small(at), small(at + 1), small(at + 2)] },
  },
  {
    ...{ name: 'one scope', first: many - half, count: half },
    ...{ scopeOf: () => 'shared', scopesFor: () => ['shared'] },
  },
];

const settings = { ...loadConfig(memoryConfig, {}), memoriesMax: 1_000_000 };

const remember = async (memories: Memories, corpus: Corpus, { first, count, scopeOf }: Way): Promise<void> => {
  const source = { kind: 'note' as const, by: 'bench', at: new Date().toISOString() };
  for (let from = first; from < first + count; from += 100) {
    const some = Array.from({ length: Math.min(100, first + count - from) }, (_, n) => from + n);
    const drafts = some.map((at) => ({ scope: scopeOf(at), content: corpus.text(at), key: `${at}`, source }));
    await Promise.all(drafts.map((draft) => memories.remember(draft)));
  }
};

type Measured = { recallMs: number[]; bareMs: number[]; cpuMs: number; found: number };

const recall = async (
  memories: Memories,
  corpus: Corpus,
  way: Way,
  { side, keys }: Bus,
  server: Server,
): Promise<Measured> => {
  const measured: Measured = { recallMs: [], bareMs: [], cpuMs: 0, found: 0 };
  const before = await server.cpuMs();
  const timed = async <T>(times: number[], work: () => Promise<T>): Promise<T> => {
    const began = performance.now();
    const answer = await work();
    times.push(performance.now() - began);
    return answer;
  };
  for (let n = 0; n < questions; n += 1) {
    const target = way.first + Math.floor((n / questions) * way.count);
    const head = corpus.heads[target] ?? [];
    const question = { scopes: way.scopesFor(target), about: head.slice(0, 4).join(' '), text: corpus.noise(30) };
    await timed(measured.bareMs, () => side.command('GET', keys.confirm));
    const found = await timed(measured.recallMs, () => memories.recall({ ...question, limit: 5 }));
    if (found.some(({ memory }) => memory.content.startsWith(head.join(' ')))) measured.found += 1;
  }
  measured.cpuMs = ((await server.cpuMs()) - before) / questions;
  return measured;
};

const tell = (way: Way, { recallMs, bareMs, cpuMs, found }: Measured): boolean => {
  const at = (share: number) => shown(quantile(recallMs, share), 'ms');
  const [bare, middle] = [quantile(bareMs, 0.5), quantile(recallMs, 0.5)];
  const holds = quantile(recallMs, 0.95) <= p95MsMax;
  const lines = [
    `${way.name}: ${way.count.toLocaleString('en-US')} memories, ${questions} questions`,
    `  recall   p50 ${at(0.5)}   p95 ${at(0.95)}   p99 ${at(0.99)}` +
      `   (p95 at most ${p95MsMax} ms: ${holds ? 'holds' : 'MISSED'})`,
    `  to a bare GET (p50 ${shown(bare, 'ms')}, p95 ${shown(quantile(bareMs, 0.95), 'ms')}): ` +
      `${shown(middle / bare, 'ratio')} at the median; the server’s CPU ${shown(cpuMs, 'ms')} each`,
    `  target among the first five: ${shown((100 * found) / questions, '%')}`,
  ];
  console.log(lines.join('\n'));
  return holds;
};

const main = async (): Promise<number> => {
  const server = await openServer();
  const config = loadConfig(fabricConfig, { REDIS_URL: server.url });
  const bus = await openBus({
    ...{ config, service: 'gateway', observer: true },
    ...{ log: silentLog(), meters: openMeters('gateway') },
  });
  try {
    const { side, keys } = bus;
    const memories = openMemory({ side, keys, settings, redact: (text) => text, log: silentLog() });
    const corpus = openCorpus(Number(asked.seed));
    const began = performance.now();
    for (const way of ways) await remember(memories, corpus, way);
    const rate = many / ((performance.now() - began) / 1000);
    const { usedBytes } = await describeServer({ url: server.url });
    console.log(
      `${many.toLocaleString('en-US')} memories: remembered ${shown(rate, '/s')}, ` +
        `${(usedBytes / 1e6).toFixed(0)} MB of Redis, ${(usedBytes / 1000 / many).toFixed(1)} kB each`,
    );
    let whole = true;
    for (const way of ways) whole = tell(way, await recall(memories, corpus, way, bus, server)) && whole;
    return whole ? 0 : 1;
  } finally {
    await bus.close();
    await server.stop();
  }
};

process.exitCode = await main();
