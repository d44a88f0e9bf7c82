/**
 * `npm run bench:memory`: what a recall costs at 100,000 memories, by words alone, each figure against its bar.
 *
 *   npm run bench:memory                      three rounds
 *   npm run bench:memory -- --rounds 1        quicker and noisier
 *   npm run bench:memory -- --memories 2000   left out 100000
 *   npm run bench:memory -- --questions 50    of a round, for each figure; left out 400
 *   npm run bench:memory -- --seed 2          other texts
 *   npm run bench:memory -- --json            one line of JSON on standard output at the end
 *
 * Half of them lie in scopes of a thousand, as agents and projects have them, where a question asks three scopes; the
 * other half in one scope, which no fleet should have. Texts are drawn from a vocabulary by Zipf's law, as words of
 * people and programs are; each question knows four of the six words that its target is about, among thirty of no
 * meaning. Beside each recall a bare GET is timed on the same connection: a busy machine slows down both. What the
 * server itself spends is its CPU time, which a busy machine does not change.
 *
 * A figure is the median of the rounds. Exit code 1 if one is short of its bar.
 */
import { type Bus, describeServer, openBus } from '@nexus/shared/bus';
import { fabricConfig, loadConfig } from '@nexus/shared/config';
import { type Memories, memoryConfig, openMemory } from '@nexus/shared/memory';
import { openMeters, silentLog } from '@nexus/shared/telemetry';
import { type PartTools, runBench } from './bench/bench-run.ts';
import { figure, mean, median, quantile, shown } from './bench/figures.ts';
import type { Measured } from './bench/part.ts';
import { openServer, type Server } from './bench/server.ts';
import { readOptions } from './options.ts';

const { values: asked } = readOptions(import.meta.filename, {
  options: {
    memories: { type: 'string', default: '100000' },
    questions: { type: 'string', default: '400' },
    rounds: { type: 'string', default: '3' },
    seed: { type: 'string', default: '1' },
    json: { type: 'boolean', default: false },
  },
});
const many = Number(asked.memories);
const questions = Number(asked.questions);

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

/** What a round of questions took; `found` counts those whose target was among the first five. */
type Round = { recallMs: number[]; bareMs: number[]; cpuMs: number; found: number };

type Ground = { memories: Memories; corpus: Corpus; bus: Bus; server: Server };

/** Every round asks for other targets. */
const recall = async ({ memories, corpus, bus, server }: Ground, way: Way, round: number): Promise<Round> => {
  const { side, keys } = bus;
  const measured: Round = { recallMs: [], bareMs: [], cpuMs: 0, found: 0 };
  const before = await server.cpuMs();
  const timed = async <T>(times: number[], work: () => Promise<T>): Promise<T> => {
    const began = performance.now();
    const answer = await work();
    times.push(performance.now() - began);
    return answer;
  };
  for (let n = 0; n < questions; n += 1) {
    const target = way.first + ((Math.floor((n / questions) * way.count) + round) % way.count);
    const head = corpus.heads[target] ?? [];
    const question = { scopes: way.scopesFor(target), about: head.slice(0, 4).join(' '), text: corpus.noise(30) };
    await timed(measured.bareMs, () => side.command('GET', keys.confirm));
    const found = await timed(measured.recallMs, () => memories.recall({ ...question, limit: 5 }));
    if (found.some(({ memory }) => memory.content.startsWith(head.join(' ')))) measured.found += 1;
  }
  measured.cpuMs = ((await server.cpuMs()) - before) / questions;
  return measured;
};

const p95 = ({ recallMs }: Round): number => quantile(recallMs, 0.95);

/** Everything but the 95th percentile, which is a figure. */
const inWords = (way: Way, rounds: readonly Round[]): string => {
  const [all, bare] = [rounds.flatMap(({ recallMs }) => recallMs), rounds.flatMap(({ bareMs }) => bareMs)];
  const cpu = mean(rounds.map(({ cpuMs }) => cpuMs));
  const found = rounds.reduce((sum, round) => sum + round.found, 0) / (questions * rounds.length);
  return (
    `${way.name}: ${way.count.toLocaleString('en-US')} memories; p50 ${shown(median(all), 'ms')}, ` +
    `p99 ${shown(quantile(all, 0.99), 'ms')}, to a bare GET (${shown(median(bare), 'ms')}) ` +
    `${shown(median(all) / median(bare), 'ratio')}; the server’s CPU ${shown(cpu, 'ms')} each; ` +
    `target among the first five: ${shown(100 * found, '%')}`
  );
};

const words = async ({ say }: PartTools): Promise<Measured> => {
  const config = loadConfig(fabricConfig, { REDIS_URL: server.url });
  const bus = await openBus({
    ...{ config, service: 'gateway', observer: true },
    ...{ log: silentLog(), meters: openMeters('gateway') },
  });
  try {
    const { side, keys } = bus;
    const memories = openMemory({ side, keys, settings, redact: (text) => text, log: silentLog() });
    const corpus = openCorpus(Number(asked.seed));
    const ground = { memories, corpus, bus, server };
    const began = performance.now();
    for (const way of ways) await remember(memories, corpus, way);
    const rate = many / ((performance.now() - began) / 1000);
    const { usedBytes } = await describeServer({ url: server.url });
    const kept = `remembered ${shown(rate, '/s')}; ${(usedBytes / 1e6).toFixed(0)} MB of Redis`;
    say(`words: ${many.toLocaleString('en-US')} memories, ${kept}, ${(usedBytes / 1000 / many).toFixed(1)} kB each`);
    const measured = ways.map((way) => ({ way, rounds: [] as Round[] }));
    for (let round = 1; round <= Number(asked.rounds); round += 1) {
      for (const { way, rounds } of measured) rounds.push(await recall(ground, way, round));
      const each = measured.map(({ way, rounds }) => `${way.name} ${shown(p95(rounds.at(-1) as Round), 'ms')}`);
      say(`words, round ${round} of ${asked.rounds}: p95 ${each.join(', ')}`);
    }
    return {
      figures: measured.map(({ way, rounds }) =>
        figure(`recall, ${way.name}, p95`, 'ms', rounds.map(p95), { atMost: 10 }),
      ),
      where: [kept, ...measured.map(({ way, rounds }) => inWords(way, rounds))],
      data: {
        memories: many,
        questions,
        per_second: rate,
        used_bytes: usedBytes,
        rounds: measured.map(({ rounds }) => rounds),
      },
    };
  } finally {
    await bus.close();
  }
};

const server = await openServer();
await runBench({ name: 'bench:memory', parts: { words }, names: [], json: asked.json, clear: server.stop });
