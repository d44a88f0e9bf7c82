/** What a fabric holds, as the model keeps it, and a copy of it. */
import type { Body } from './fabric-port.ts';

export type Pending = { owner: string; deliveries: number; since: number };
export type Inbox = { name: string; entries: Map<string, Body>; fresh: string[]; pending: Map<string, Pending> };
export type Parked = { inbox: string; body: Body; due: number };

export type FabricState = {
  inboxes: Map<string, Inbox>;
  parked: Map<string, Parked>;
  dead: Map<string, Body>;
  deaths: Map<string, number | string>;
  epoch: number;
  fleet: string;
  scopes: Map<string, string>;
  beats: Map<string, Map<string, number>>;
  hashes: Map<string, Map<string, unknown>>;
  indexes: Map<string, Map<string, number>>;
  texts: Map<string, string>;
};

export const emptyState = (): FabricState => ({
  inboxes: new Map(),
  parked: new Map(),
  dead: new Map(),
  deaths: new Map(),
  epoch: 0,
  fleet: 'running',
  scopes: new Map(),
  beats: new Map(),
  hashes: new Map(),
  indexes: new Map(),
  texts: new Map(),
});

export const copyState = (state: FabricState): FabricState => ({
  ...state,
  inboxes: new Map([...state.inboxes].map(([name, one]) => [name, copyInbox(one)])),
  parked: new Map(state.parked),
  dead: new Map(state.dead),
  deaths: new Map(state.deaths),
  scopes: new Map(state.scopes),
  beats: nested(state.beats),
  hashes: nested(state.hashes),
  indexes: nested(state.indexes),
  texts: new Map(state.texts),
});

const copyInbox = (one: Inbox): Inbox => ({
  name: one.name,
  entries: new Map(one.entries),
  fresh: [...one.fresh],
  pending: new Map([...one.pending].map(([id, pending]) => [id, { ...pending }])),
});

const nested = <V>(maps: Map<string, Map<string, V>>): Map<string, Map<string, V>> =>
  new Map([...maps].map(([key, map]) => [key, new Map(map)]));
