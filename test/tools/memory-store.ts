/**
 * A store in memory that carries ledger writes out as `settle` does: all or nothing, guarded by revisions. For
 * tests of what reads and writes the ledger; that Redis does the same is proven by the integration tests.
 */
import type { LedgerWrite, Store } from '@nexus/shared/bus';

export type MemoryStore = Store & {
  hashes: Map<string, Map<string, string>>;
  /** How often a hash was read, by key. */
  reads: Map<string, number>;
  /** False: a revision has moved, and nothing was written. */
  settle(writes: readonly LedgerWrite[]): boolean;
};

export const openMemoryStore = (): MemoryStore => {
  const hashes = new Map<string, Map<string, string>>();
  const zsets = new Map<string, Map<string, number>>();
  const reads = new Map<string, number>();
  const read = (key: string): Map<string, string> | undefined => {
    reads.set(key, (reads.get(key) ?? 0) + 1);
    return hashes.get(key);
  };
  const write = (one: LedgerWrite): void => {
    if (one.op === 'patch') {
      const hash = at(hashes, one.key);
      hash.set('revision', String(one.revision + 1));
      for (const [field, text] of Object.entries(one.set)) hash.set(field, text);
      for (const field of one.del ?? []) hash.delete(field);
    } else if (one.op === 'remove') hashes.delete(one.key);
    else if (one.op === 'index') at(zsets, one.key).set(one.member, one.score);
    else if (one.op === 'unindex') at(zsets, one.key).delete(one.member);
    else if (one.op === 'unset') hashes.get(one.key)?.delete(one.field);
    else {
      const hash = at(hashes, one.key);
      const count = Number(hash.get(one.field) ?? 0) + one.by;
      if (count === 0) hash.delete(one.field);
      else hash.set(one.field, String(count));
    }
  };
  return {
    hashes,
    reads,
    settle: (writes) => {
      const stands = (key: string) => Number(hashes.get(key)?.get('revision') ?? 0);
      if (writes.some((one) => one.op === 'patch' && stands(one.key) !== one.revision)) return false;
      for (const one of writes) write(one);
      return true;
    },
    readHash: async (key) => Object.fromEntries(read(key) ?? []),
    readFields: async (key, fields) => {
      const hash = read(key);
      return fields.map((field) => hash?.get(field) ?? null);
    },
    readText: async () => null,
    readIndex: async (key, options = {}) => {
      const { from: low = Number.NEGATIVE_INFINITY, to: high = Number.POSITIVE_INFINITY } = options;
      const rows = [...(zsets.get(key) ?? [])]
        .map(([member, score]) => ({ member, score }))
        .filter(({ score }) => score >= low && score <= high);
      const sorted = rows.toSorted((one, other) => one.score - other.score);
      const from = options.offset ?? 0;
      return (options.newestFirst ? sorted.toReversed() : sorted).slice(from, from + (options.limit ?? rows.length));
    },
  };
};

const at = <V>(maps: Map<string, Map<string, V>>, key: string): Map<string, V> => {
  const found = maps.get(key) ?? new Map<string, V>();
  maps.set(key, found);
  return found;
};
