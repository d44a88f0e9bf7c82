/**
 * Memories: what agents have learned, per agent, per project and for all; kept in Redis, found by what they are about.
 *
 *   const memories = openMemory({ side: bus.side, keys: bus.keys, settings, redact: redactor.text, log });
 *   await memories.remember({ scope: 'project:shop-1a2b3c4d', content: '…', key: 'task/subtask/1', source });
 *   await memories.recall({ scopes: ['agent:builder', 'shared'], text: 'CSV export', limit: 5 });
 *
 * What it promises. The same key in a scope is remembered once, whoever says it how often; what says the same as a
 * memory that is there becomes one more source of it. A scope holds so many at most: what is worth least (importance,
 * halved with each half-life without use) leaves first. Nothing is stored that the redactor takes out. Every key goes
 * with the last memory that needs it. What it does not: order between two who remember at the same time, and rank by
 * meaning where no embedding model is configured or the server has no vector sets; then words alone decide.
 *
 * Text is found by an index of our own, in sorted sets, so any Redis 7 or Valkey 8 will do: `words.ts` makes words and
 * their impacts, `find.ts` reads the impact-ordered lists, the rarest words first, within a budget.
 *
 * Order to read: shape.ts (what a memory is), words.ts, scripts/remember-7.lua, find.ts, rank.ts, this file. To extend
 * it: another source of relevance is one more list in `rank.ts`.
 */
import type { Keys, Side } from '@nexus/shared/bus';
import { fail } from '@nexus/shared/errors';
import type { Log } from '@nexus/shared/telemetry';
import { find, pairs } from './find.ts';
import { type Found, type Ranked, rank } from './rank.ts';
import type { MemorySettings } from './settings.ts';
import { type Memory, type MemoryDraft, memoryDraft, memoryIdOf } from './shape.ts';
import { fieldsOf, readMemory, sourceField } from './stored.ts';
import { type Embed, openVectors, type Vectors } from './vectors.ts';
import { fingerprintOf, impactsOf, likeness, type Words, wordsOf } from './words.ts';

export type { Found, Ranked } from './rank.ts';
export { type MemorySettings, memoryConfig, recallConfig } from './settings.ts';
export {
  agentScope,
  contentCharsMax,
  type Memory,
  type MemoryDraft,
  type MemoryKind,
  type MemoryScope,
  memory,
  memoryDraft,
  memoryId,
  memoryIdOf,
  memoryKind,
  memoryScope,
  memoryTag,
  type Provenance,
  projectScope,
} from './shape.ts';
export type { Embed } from './vectors.ts';

export type Question = {
  scopes: readonly string[];
  /** What it is about, in short: its words count twice. */
  about?: string;
  text?: string;
  /** Only what bears one of these. */
  tags?: readonly string[];
  limit: number;
  /** Leaves out what answers less of the question, 0 to 1, or shares a single word with it. */
  fit?: number;
  /** False: leaves it out. */
  where?: (memory: Memory) => boolean;
};

export type Remembered = { id: string; how: 'kept' | 'merged' | 'known' };
export type Which = { ids: readonly string[] } | { scope: string } | { task: string };

export type Memories = {
  remember(draft: MemoryDraft): Promise<Remembered>;
  /** The best first. */
  recall(question: Question): Promise<Ranked[]>;
  /** Books that these came into a prompt. */
  used(ids: readonly string[]): Promise<void>;
  /** The newest first; `scope` left out: of all. */
  list(page: { scope?: string; limit: number; offset: number }): Promise<{ memories: Memory[]; total: number }>;
  scopes(): Promise<{ scope: string; count: number }[]>;
  /** Throws MEMORY_UNKNOWN. */
  show(id: string): Promise<Memory>;
  /** Returns how many went. Of a task: its part in them, and what has no other source. */
  remove(which: Which): Promise<number>;
  /** Forgets what has lost its worth; returns how many went. */
  decay(): Promise<number>;
};

export type MemoryOptions = {
  side: Side;
  keys: Keys;
  settings: MemorySettings;
  /** Takes secrets out of a text. */
  redact: (text: string) => string;
  /** Turns texts into vectors; left out where no embedding model is configured. */
  embed?: Embed | null;
  /** Told why nothing is found by meaning, where it should be. */
  log: Log;
  now?: () => number;
};

type Store = Required<Omit<MemoryOptions, 'embed' | 'log'>> & { vectors: Vectors | null; prefix: string };

/** Sources that a memory names; beyond that it only counts them. */
const sourcesMax = 16;
/** Lessons that have so much in common say the same. */
const sameFrom = 0.8;
/** Memories that one call forgets at most: each takes a write for every word of it. */
const forgottenAtOnce = 200;

/** Opens the memories of a fabric; nothing is read or written before it is asked for. */
export const openMemory = (options: MemoryOptions): Memories => {
  const { side, keys, settings, redact, log, embed = null, now = Date.now } = options;
  side.register('memory', new URL('./scripts/', import.meta.url));
  const likenessMin = settings.memoryLikeness;
  const vectors = embed === null ? null : openVectors({ side, keys, embed, likenessMin, log });
  const store: Store = {
    side,
    keys,
    settings,
    redact,
    now,
    vectors,
    prefix: keys.memory('').slice(0, -'item:'.length),
  };
  return {
    remember: (draft) => remember(store, draft),
    recall: (question) => recall(store, question),
    used: async (ids) => {
      if (ids.length === 0) return;
      await side.run('memory/touch', [keys.memoryScopes], [store.prefix, now(), settings.memoryHalfLife, ...ids]);
    },
    list: (page) => list(store, page),
    scopes: () => scopesOf(store),
    show: async (id) => (await readOne(store, id)) ?? Promise.reject(fail('MEMORY_UNKNOWN', { id })),
    remove: async (which) => {
      if ('scope' in which) return forget(store, 'scope', which.scope);
      return 'task' in which ? forget(store, 'task', which.task) : forgetEach(store, which.ids);
    },
    decay: () => decay(store),
  };
};

// --- remembering -------------------------------------------------------------------------------

const remember = async (store: Store, given: MemoryDraft): Promise<Remembered> => {
  const { keys, settings, side } = store;
  const { scope, content, tags, importance, source, key } = memoryDraft.parse({
    ...given,
    content: store.redact(given.content),
  });
  const id = memoryIdOf(scope, key);
  const words = wordsOf(content);
  const impacts = [
    ...impactsOf(words, settings.memoryWordsMax),
    ...tags.map((tag): [string, number] => [`#${tag}`, 100]),
  ];
  const like = source.kind === 'lesson' ? await likeOf(store, scope, id, words) : '';
  const task = source.task_id ?? '';
  const lies = [keys.memoryScopes, keys.memory(id), keys.memoryWorth(scope), keys.memoryDates(scope)];
  const found = [keys.memoryWords(scope), keys.memorySame(scope), task ? keys.memoriesOf(task) : keys.memoryScopes];
  const [how, which, count] = (await side.run(
    'memory/remember',
    [...lies, ...found],
    [
      ...[id, scope, store.now(), importance, settings.memoryHalfLife],
      ...[printOf(source.kind, id, content, words), like, sourceField(source, key), JSON.stringify(source), task],
      ...[sourcesMax, settings.memoryPostingsMax, keys.memory(''), keys.memoryWord(scope, '')],
      ...[content, JSON.stringify(tags), source.kind, ...impacts.flat()],
    ],
  )) as [Remembered['how'], string, number];
  if (count > settings.memoriesMax) await forget(store, 'over', scope, settings.memoriesMax);
  if (how === 'kept') await store.vectors?.keep(scope, id, content);
  return { id: which, how };
};

/** A digest is of one attempt, and a note says what it says; of lessons the numbers in them do not matter. */
const printOf = (kind: string, id: string, content: string, words: Words): string => {
  if (kind === 'digest') return id;
  if (kind === 'lesson' && words.size > 0) return fingerprintOf(words);
  return memoryIdOf('', content.toLowerCase().replaceAll(/\s+/g, ' '));
};

/** A lesson of the scope that says the same in slightly other words; '' if there is none. */
const likeOf = async (store: Store, scope: string, id: string, words: Words): Promise<string> => {
  const own = new Set(words.keys());
  const near = await find(store, { scopes: [scope], words, limit: 6 });
  const same = near.find(
    ({ memory }) =>
      memory.id !== id &&
      memory.kind === 'lesson' &&
      likeness(own, new Set(wordsOf(memory.content).keys())) >= sameFrom,
  );
  return same?.memory.id ?? '';
};

// --- recalling ---------------------------------------------------------------------------------

const recall = async (store: Store, question: Question): Promise<Ranked[]> => {
  const { scopes, about = '', text = '', tags = [], limit, fit = 0, where = () => true } = question;
  const words = wordsOf(`${about}\n${text}`);
  const near = (await store.vectors?.near(scopes, `${about}\n${text}`.trim(), 4 * limit)) ?? new Map();
  const also = [...near].map(([id, { scope }]): [string, string] => [scope, id]);
  const tagged = tags.map((tag) => tag.toLowerCase());
  const found = await find(store, { scopes, words, limit: 4 * limit, tags: tagged, also });
  const fits = (one: Found): boolean => {
    if (tagged.length > 0 && !one.memory.tags.some((tag) => tagged.includes(tag))) return false;
    if (words.size === 0) return true;
    if (one.likeness !== null) return true;
    return one.score > 0 && one.fit >= fit && (fit === 0 || one.shared >= Math.min(2, words.size));
  };
  const told = found.map((one) => ({ ...one, likeness: near.get(one.memory.id)?.likeness ?? null }));
  const halfLifeMs = store.settings.memoryHalfLife;
  return rank(
    told.filter((one) => fits(one) && where(one.memory)),
    { now: store.now(), halfLifeMs },
  ).slice(0, limit);
};

// --- looking -----------------------------------------------------------------------------------

const readOne = async ({ side, keys }: Store, id: string): Promise<Memory | null> => {
  const flat = (await side.command('HGETALL', keys.memory(id))) as string[];
  return readMemory(id, fieldsOf(flat));
};

const scopesOf = async ({ side, keys }: Store): Promise<{ scope: string; count: number }[]> => {
  const rows = await side.command('ZRANGE', keys.memoryScopes, 0, -1, 'REV', 'WITHSCORES');
  return pairs(rows).map(([scope, count]) => ({ scope, count: Number(count) }));
};

const list = async (
  store: Store,
  { scope, limit, offset }: { scope?: string; limit: number; offset: number },
): Promise<{ memories: Memory[]; total: number }> => {
  const { side, keys } = store;
  const scopes = (await scopesOf(store)).filter((one) => scope === undefined || one.scope === scope);
  const total = scopes.reduce((sum, { count }) => sum + count, 0);
  const dated = await Promise.all(
    scopes.map((one) =>
      side.command('ZRANGE', keys.memoryDates(one.scope), 0, offset + limit - 1, 'REV', 'WITHSCORES').then(pairs),
    ),
  );
  const ids = dated
    .flat()
    .sort(([, one], [, other]) => Number(other) - Number(one))
    .slice(offset, offset + limit)
    .map(([id]) => id);
  const memories = await Promise.all(ids.map((id) => readOne(store, id)));
  return { memories: memories.filter((one) => one !== null), total };
};

// --- forgetting --------------------------------------------------------------------------------

/** Forgets until nothing is left to forget, a few at a time: nobody else waits long meanwhile. */
const forget = async (store: Store, how: 'over' | 'below' | 'scope' | 'task', ...what: (string | number)[]) => {
  let sum = 0;
  for (let left = 1; left > 0; ) {
    const answer = await forgetSome(store, how, ...what);
    sum += answer.went;
    left = answer.left;
  }
  return sum;
};

const forgetSome = async ({ side, keys, prefix }: Store, how: string, ...what: (string | number)[]) => {
  const asked = [prefix, forgottenAtOnce, how, ...what];
  const [went, left] = (await side.run('memory/forget', [keys.memoryScopes], asked)) as [number, number];
  return { went, left };
};

const forgetEach = async (store: Store, ids: readonly string[]): Promise<number> => {
  let sum = 0;
  for (let at = 0; at < ids.length; at += forgottenAtOnce) {
    sum += (await forgetSome(store, 'ids', ...ids.slice(at, at + forgottenAtOnce))).went;
  }
  return sum;
};

/** Worth is kept as the time at which a memory of full importance would have been used last. */
const decay = async (store: Store): Promise<number> => {
  const { memoryForgetBelow: least, memoryHalfLife: halfLifeMs } = store.settings;
  if (least === 0) return 0;
  const limit = store.now() + halfLifeMs * Math.log2(least);
  let sum = 0;
  for (const { scope } of await scopesOf(store)) sum += await forget(store, 'below', scope, limit);
  return sum;
};
