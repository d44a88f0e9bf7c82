/**
 * The definitions that the whole fleet has been given, over REST or by `nexus agents add`: one hash in Redis, so that
 * every service on every host sees them within seconds. The gateway alone writes it, each definition guarded by the
 * revision that its writer knew; everybody reads.
 */
import type { Bus } from '@nexus/shared/bus';
import { fail } from '@nexus/shared/errors';
import { z } from 'zod';

/** One definition as it is stored: its Markdown, and who gave it when. */
export type SharedAgent = { source: string; revision: number; by: string; at: string };
export type SharedAgents = { revision: number; agents: ReadonlyMap<string, SharedAgent> };

type Reader = Pick<Bus, 'store' | 'keys'>;

const document = z.object({ source: z.string(), by: z.string(), at: z.string() });

/** The number that rises with each change; 0 where the fleet has been given nothing. */
export const readSharedRevision = async ({ store, keys }: Reader): Promise<number> => {
  const [revision] = await store.readFields(keys.agents, ['revision']);
  return Number(revision ?? 0);
};

/** All of them. What cannot be read is left out: a newer gateway may have written it. */
export const readSharedAgents = async ({ store, keys }: Reader): Promise<SharedAgents> => {
  const fields = await store.readHash(keys.agents);
  const agents = new Map<string, SharedAgent>();
  for (const [field, text] of Object.entries(fields)) {
    if (!field.startsWith('a:')) continue;
    const read = document.safeParse(jsonOf(text));
    const id = field.slice(2);
    if (read.success) agents.set(id, { ...read.data, revision: Number(fields[`r:${id}`] ?? 0) });
  }
  return { revision: Number(fields.revision ?? 0), agents };
};

export type SharedWriter = {
  /** Stores a definition; `known` 0: it must not be there, null: whatever is. Throws AGENT_MOVED, AGENTS_FULL. */
  put(id: string, source: string, by: string, known: number | null): Promise<SharedAgent>;
  /** Takes it away again. Throws AGENT_MOVED; false where there was none. */
  remove(id: string, known: number | null): Promise<boolean>;
};

/** For the gateway alone. `countMax` bounds how many there may be. */
export const openSharedWriter = ({ side, keys }: Pick<Bus, 'side' | 'keys'>, countMax: number): SharedWriter => {
  side.register('agents', new URL('./scripts/', import.meta.url));
  const run = async (verb: string, values: (string | number)[]) =>
    (await side.run(`agents/${verb}`, [keys.agents], values)) as [string, number];
  return {
    put: async (id, source, by, known) => {
      const at = new Date().toISOString();
      const [is, number] = await run('put', [id, JSON.stringify({ source, by, at }), known ?? '', countMax]);
      if (is === 'moved') throw fail('AGENT_MOVED', { agent: id, revision: number, known: known ?? 0 });
      if (is === 'full') throw fail('AGENTS_FULL', { count: number, setting: 'NEXUS_DEFINITIONS_MAX' });
      return { source, by, at, revision: number };
    },
    remove: async (id, known) => {
      const [is, number] = await run('remove', [id, known ?? '']);
      if (is === 'moved') throw fail('AGENT_MOVED', { agent: id, revision: number, known: known ?? 0 });
      return is === 'removed';
    },
  };
};

const jsonOf = (text: string): unknown => {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
};
