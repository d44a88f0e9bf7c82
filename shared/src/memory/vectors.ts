/**
 * Meaning beside words: vectors of memories in a vector set for each scope, where the server has such (Redis 8).
 *
 *   untried ─ the first answer → able | absent (the server knows no vector sets: nobody is asked again)
 *
 * Nothing of this may keep a memory from being kept or found: an embedding that fails is no vector, said once until one
 * succeeds; a set of another model's dimensions begins anew. https://redis.io/docs/latest/commands/vsim/
 */
import type { Keys, Side } from '@nexus/shared/bus';
import { toAppError } from '@nexus/shared/errors';
import type { Log } from '@nexus/shared/telemetry';

/** Turns texts into vectors of one length, in the same order. It has its own limits of time. */
export type Embed = (texts: readonly string[]) => Promise<readonly (readonly number[])[]>;

export type Vectors = {
  keep(scope: string, id: string, content: string): Promise<void>;
  /** Memories of these scopes that mean something alike, by id. */
  near(scopes: readonly string[], text: string, limit: number): Promise<Map<string, Near>>;
};
export type Near = { scope: string; likeness: number };

type Parts = {
  side: Side;
  keys: Keys;
  embed: Embed;
  /** Less than that is no likeness: unrelated texts have some, too. VSIM gives (1 + cosine) / 2. */
  likenessMin: number;
  log: Log;
};

export const openVectors = ({ side, keys, embed, likenessMin, log }: Parts): Vectors => {
  let absent = false;
  let failing = false;
  const isAbsent = (): void => {
    if (!absent) log.info('Memories are found by their words alone: this Redis has no vector sets');
    absent = true;
  };
  const vectorOf = async (text: string): Promise<readonly number[] | null> => {
    if (absent || text === '') return null;
    try {
      const [vector = null] = await embed([text]);
      failing = false;
      return vector;
    } catch (thrown) {
      if (!failing) log.warn({ err: toAppError(thrown) }, 'Memories are found by their words alone for now');
      failing = true;
      return null;
    }
  };
  const nearIn = async (scope: string, vector: readonly number[], limit: number): Promise<[string, Near][]> => {
    const asked = ['VALUES', vector.length, ...vector, 'WITHSCORES', 'COUNT', limit];
    const rows = await side.command('VSIM', keys.memoryVectors(scope), ...asked).catch((error: Error) => {
      // Only an answer of the server says something of its vectors.
      if (error.name !== 'ReplyError') throw error;
      if (/unknown command/i.test(error.message)) isAbsent();
      // Of another model, until the next memory is kept.
      else log.debug({ err: error }, 'The vectors of a scope do not fit');
      return [];
    });
    const flat = (rows as (string | string[])[]).flat();
    return flat.flatMap((id, at): [string, Near][] => {
      const likeness = Number(flat[at + 1]);
      return at % 2 === 0 && likeness >= likenessMin ? [[id, { scope, likeness }]] : [];
    });
  };
  return {
    keep: async (scope, id, content) => {
      const vector = await vectorOf(content);
      if (vector === null) return;
      const said = await side.run('memory/vector', [keys.memory(id), keys.memoryVectors(scope)], [id, ...vector]);
      if (said === 'absent') isAbsent();
      if (said === 'anew') log.warn({ scope }, 'The vectors of its memories were of another model, and begin anew');
    },
    near: async (scopes, text, limit) => {
      const vector = await vectorOf(text);
      if (vector === null) return new Map();
      return new Map((await Promise.all(scopes.map((scope) => nearIn(scope, vector, limit)))).flat());
    },
  };
};
