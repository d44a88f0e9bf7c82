/** The model of `settle-7.lua`: first every check of every entry, then the writes of those that passed (rule 9). */
import type { Fabric } from './fabric.ts';
import type { Settlement, Write } from './fabric-port.ts';
import type { Inbox } from './fabric-state.ts';

/** Settles a batch on a fabric; the result of each entry in order. */
export const settleOn = (fabric: Fabric, _group: string, consumer: string, batch: readonly Settlement[]): string[] => {
  const call = { revisions: new Map<string, number>(), types: new Map<string, string>(), named: new Set<string>() };
  const passed: Settlement[] = [];
  const results = batch.map((one) => {
    const result = check(fabric, consumer, one, call);
    if (result === 'ok') passed.push(one);
    return result;
  });
  for (const one of passed) carryOut(fabric, one);
  return results;
};

/** What one call has seen and promised so far. */
type Call = { revisions: Map<string, number>; types: Map<string, string>; named: Set<string> };

const check = (fabric: Fabric, consumer: string, one: Settlement, call: Call): string => {
  const { revisions, named } = call;
  const { inbox, entryId, deliveries, epoch } = one;
  const { breaks, state } = fabric;
  const name = inbox + entryId;
  if (named.has(name)) return 'twice';
  if (!fabric.holds(consumer, { inbox, id: entryId, deliveries }) && !breaks.has('fence off')) return 'lost';
  if (epoch !== null && epoch !== state.epoch && !breaks.has('settle under any epoch')) return 'epoch';
  const fresh = new Map<string, number>();
  for (const write of one.write) {
    if (!isTyped(fabric, call, write.key, kinds[write.op])) return `type ${write.key}`;
    if (write.op !== 'patch') continue;
    const stands = fresh.get(write.key) ?? revisions.get(write.key) ?? revisionOf(fabric, write.key);
    if (stands !== write.revision && !breaks.has('settle without revision')) return 'moved';
    fresh.set(write.key, stands + 1);
  }
  for (const { inbox: to } of one.publish) if (!isTyped(fabric, call, to, 'stream')) return `type ${to}`;
  named.add(name);
  for (const [key, revision] of fresh) revisions.set(key, revision);
  return 'ok';
};

const kinds = { patch: 'hash', count: 'hash', unset: 'hash', index: 'zset', unindex: 'zset', remove: '' } as const;

/** A key that is not there yet has the type that the call first asks of it. */
const isTyped = ({ state }: Fabric, { types }: Call, key: string, wanted: string): boolean => {
  if (wanted === '') return true;
  let found = types.get(key);
  if (found === undefined) {
    found = wanted;
    if (state.hashes.has(key)) found = 'hash';
    else if ((state.indexes.get(key)?.size ?? 0) > 0) found = 'zset';
    else if (state.inboxes.has(key)) found = 'stream';
    else if (state.texts.has(key)) found = 'string';
    types.set(key, found);
  }
  return found === wanted;
};

const revisionOf = ({ state }: Fabric, key: string): number => Number(state.hashes.get(key)?.get('revision') ?? 0);

const carryOut = (fabric: Fabric, one: Settlement): void => {
  for (const write of one.write) carryOutWrite(fabric, write);
  for (const message of one.publish) fabric.send(message);
  const { state, witness } = fabric;
  const { ending } = one;
  const inbox = state.inboxes.get(one.inbox) as Inbox;
  const body = inbox.entries.get(one.entryId);
  const name = `${one.inbox}|${one.entryId}`;
  if (ending.end === 'nobody') {
    const pending = inbox.pending.get(one.entryId);
    // As XCLAIM with JUSTID: the count stays, the idle time begins anew.
    if (pending) {
      pending.owner = 'nobody';
      pending.since = fabric.now;
    }
    state.deaths.delete(`${name}|alone`);
    return;
  }
  if (ending.end === 'keep') return;
  state.deaths.delete(name);
  state.deaths.delete(`${name}|alone`);
  if (ending.end === 'saved') return;
  inbox.entries.delete(one.entryId);
  inbox.pending.delete(one.entryId);
  witness?.left('inbox', body, ending.end === 'done' ? 'ended' : 'moved');
  if (ending.end === 'park') {
    const id = state.parked.has(ending.id) ? `${ending.id}~${one.entryId}` : ending.id;
    fabric.park(id, one.inbox, ending.json, ending.delayMs, 'moved');
  } else if (ending.end === 'dead') {
    state.dead.set(state.dead.has(ending.id) ? `${ending.id}~${one.entryId}` : ending.id, ending.json);
    witness?.entered('dead', ending.json, 'moved');
  }
};

const carryOutWrite = ({ state }: Fabric, write: Write): void => {
  switch (write.op) {
    case 'patch': {
      const hash = at(state.hashes, write.key);
      hash.set('revision', write.revision + 1);
      for (const name in write.set) hash.set(name, write.set[name]);
      for (const name of write.del ?? []) hash.delete(name);
      return;
    }
    case 'remove':
      state.hashes.delete(write.key);
      state.indexes.delete(write.key);
      state.texts.delete(write.key);
      return;
    case 'unset':
      if (write.key === 'control') state.scopes.delete(write.field);
      else state.hashes.get(write.key)?.delete(write.field);
      return;
    case 'index':
      at(state.indexes, write.key).set(write.member, write.score);
      return;
    case 'unindex':
      state.indexes.get(write.key)?.delete(write.member);
      return;
    case 'count': {
      const hash = at(state.hashes, write.key);
      const value = Number(hash.get(write.field) ?? 0) + write.by;
      if (value === 0) hash.delete(write.field);
      else hash.set(write.field, value);
      if (hash.size === 0) state.hashes.delete(write.key);
      return;
    }
  }
};

const at = <V>(maps: Map<string, Map<string, V>>, key: string): Map<string, V> => {
  const found = maps.get(key) ?? new Map<string, V>();
  maps.set(key, found);
  return found;
};
