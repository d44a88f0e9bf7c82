/**
 * Meaning beside words: vectors of memories in a vector set for each scope, where the server has such (Redis 8).
 *
 *   untried ─ the first answer → able | absent (the server knows no vector sets: nobody is asked again)
 *
 * Nothing of this may keep a memory from being kept or found: an embedding that fails, or a set of another model's
 * dimensions, is no vector. https://redis.io/docs/latest/commands/vsim/
 */
import type { Keys, Side } from '@nexus/shared/bus';

/** Turns texts into vectors of one length, in the same order. It has its own limits of time. */
export type Embed = (texts: readonly string[]) => Promise<readonly (readonly number[])[]>;

export type Vectors = {
  keep(scope: string, id: string, content: string): Promise<void>;
  /** Memories of these scopes that mean something alike, by id. */
  near(scopes: readonly string[], text: string, limit: number): Promise<Map<string, Near>>;
};
export type Near = { scope: string; likeness: number };

/** Less than that is no likeness: unrelated texts have some, too. VSIM gives (1 + cosine) / 2. */
const likenessMin = 0.75;

export const openVectors = ({ side, keys, embed }: { side: Side; keys: Keys; embed: Embed }): Vectors => {
  let absent = false;
  const vectorOf = async (text: string): Promise<readonly number[] | null> => {
    if (absent || text === '') return null;
    return (await embed([text]).catch(() => []))[0] ?? null;
  };
  const nearIn = async (scope: string, vector: readonly number[], limit: number): Promise<[string, Near][]> => {
    const asked = ['VALUES', vector.length, ...vector, 'WITHSCORES', 'COUNT', limit];
    const rows = await side.command('VSIM', keys.memoryVectors(scope), ...asked).catch((error: Error) => {
      if (/unknown command/i.test(error.message)) absent = true;
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
      if (said === 'absent') absent = true;
    },
    near: async (scopes, text, limit) => {
      const vector = await vectorOf(text);
      if (vector === null) return new Map();
      return new Map((await Promise.all(scopes.map((scope) => nearIn(scope, vector, limit)))).flat());
    },
  };
};
