/**
 * A model of the fabric: what the scripts of `shared/src/bus/scripts` do to Redis, as a state machine in memory with
 * a clock of its own. It is as faithful as the conformance suite (`test/integration/bus/conformance.ts`) demands,
 * which the real scripts pass as well, and fast enough to be asked some hundred times a schedule.
 *
 * `breaks` takes single rules out, to show that the simulation notices. `witness` hears of every message that comes
 * and goes, and judges for itself whether that may be.
 */

import { lookAt } from './fabric-look.ts';
import type {
  Begin,
  Body,
  Claim,
  FabricLook,
  Outgoing,
  Publication,
  RenewClaim,
  Row,
  Settlement,
  Take,
  Word,
} from './fabric-port.ts';
import { settleOn } from './fabric-settle.ts';
import { copyState, emptyState, type FabricState, type Inbox, type Pending } from './fabric-state.ts';

/** Rules that can be taken out of the model. */
export type FabricBreak =
  | 'fence off'
  | 'token without count'
  | 'renewal bare'
  | 'settle without revision'
  | 'settle under any epoch'
  | 'release twice'
  | 'word applied blindly'
  | 'begin not checked'
  | 'begin without epoch'
  | 'cancelled begins'
  | 'deaths as deliveries'
  | 'beat forgets the epoch'
  | 'nobody is not served';

export type Witness = {
  entered(where: 'inbox' | 'park' | 'dead', body: Body, how: 'new' | 'moved'): void;
  left(where: 'inbox' | 'park' | 'dead', body: Body, how: 'ended' | 'moved'): void;
};

/** Of two words about the same the firmer one stands; only a RESUME loosens. */
const firmness = ['running', 'draining', 'paused', 'stopped'];
const priorities = ['CRITICAL', 'HIGH', 'NORMAL', 'LOW'];

export class Fabric {
  now = 0;
  state = emptyState();
  readonly breaks: ReadonlySet<string>;
  witness: Witness | null = null;
  #ids = 0;
  readonly #groups = new Map<string, Inbox[]>();

  constructor(breaks: ReadonlySet<string> = new Set()) {
    this.breaks = breaks;
  }

  /** The four inboxes of a service, highest first; made at the first question. */
  inboxesOf(group: string): Inbox[] {
    let four = this.#groups.get(group);
    if (four === undefined) {
      four = priorities.map((priority) => this.inbox(`${group}:${priority}`));
      this.#groups.set(group, four);
    }
    return four;
  }

  inbox(name: string): Inbox {
    let found = this.state.inboxes.get(name);
    if (found === undefined) {
      found = { name, entries: new Map(), fresh: [], pending: new Map() };
      this.state.inboxes.set(name, found);
    }
    return found;
  }

  /** XADD. */
  add(inbox: string, body: Body, how: 'new' | 'moved' = 'new'): void {
    this.#ids += 1;
    const id = String(this.#ids);
    const into = this.inbox(inbox);
    into.entries.set(id, body);
    into.fresh.push(id);
    this.witness?.entered('inbox', body, how);
  }

  park(id: string, inbox: string, body: Body, delayMs: number, how: 'new' | 'moved'): void {
    this.state.parked.set(id, { inbox, body, due: this.now + delayMs });
    this.witness?.entered('park', body, how);
  }

  send({ inbox, json, id, delayMs }: Outgoing): void {
    if (delayMs === null) this.add(inbox, json);
    else this.park(id, inbox, json, delayMs, 'new');
  }

  publish(messages: readonly Publication[]): string[] {
    const { state } = this;
    return messages.map((message) => {
      const before = message.seen === null ? undefined : state.texts.get(message.seen);
      if (before !== undefined) return `seen ${before}`;
      if (message.limit !== null) {
        const flying = (state.indexes.get('tasks:open')?.size ?? 0) + this.inbox(message.inbox).entries.size;
        if (flying >= message.limit) return `full ${flying}`;
      }
      if (message.seen !== null) state.texts.set(message.seen, message.remember);
      if (message.mark !== null) state.texts.set(message.mark, message.id);
      for (const { key, text } of message.attach) state.texts.set(key, text);
      this.send(message);
      return 'ok';
    });
  }

  take(asked: Take): { epoch: number; state: string; rows: Row[] } {
    const { state } = this;
    const { group, consumer } = asked;
    let held = state.fleet === 'draining' ? 'running' : state.fleet;
    if (held === 'running') held = state.scopes.get(`service:${group}`) ?? 'running';
    if (held === 'running') held = state.scopes.get(`instance:${consumer}`) ?? 'running';
    const reply = { epoch: state.epoch, state: held === 'running' ? state.fleet : 'held', rows: [] as Row[] };
    if (held !== 'running') return reply;
    const inboxes = this.inboxesOf(group);
    const { rows } = reply;
    const claimWhere = (
      inbox: Inbox,
      source: 'nobody' | 'dead' | 'idle',
      isDue: (pending: Pending) => boolean,
    ): void => {
      if (inbox.pending.size === 0) return;
      for (const [id, pending] of inbox.pending) {
        if (rows.length >= asked.free) return;
        if (isDue(pending)) rows.push(this.#claim(inbox, id, pending, consumer, source));
      }
    };
    if (!this.breaks.has('nobody is not served'))
      for (const inbox of inboxes) claimWhere(inbox, 'nobody', ({ owner }) => owner === 'nobody');
    for (const name of asked.dead)
      for (const inbox of inboxes) claimWhere(inbox, 'dead', ({ owner }) => owner === name);
    if (asked.lookForIdle) {
      const isIdle = ({ owner, since }: Pending): boolean =>
        this.now - since >= asked.idleMs && owner !== consumer && owner !== 'nobody';
      for (const inbox of inboxes) claimWhere(inbox, 'idle', isIdle);
    }
    if (asked.fresh)
      for (let step = 0; step < 4 && rows.length < asked.free; step += 1) {
        const inbox = inboxes[asked.lowestFirst ? 3 - step : step] as Inbox;
        this.#readNew(inbox, consumer, asked.free - rows.length, rows);
      }
    return reply;
  }

  #claim(inbox: Inbox, id: string, pending: Pending, consumer: string, source: 'nobody' | 'dead' | 'idle'): Row {
    pending.owner = consumer;
    pending.deliveries += 1;
    pending.since = this.now;
    const { deaths } = this.state;
    const name = `${inbox.name}|${id}`;
    const counts = source === 'dead' || this.breaks.has('deaths as deliveries');
    const died = counts ? Number(deaths.get(name) ?? 0) + 1 : Number(deaths.get(name) ?? 0);
    if (counts) deaths.set(name, died);
    // An entry is called 'died' where it died alone in its process; until then the mark holds who runs it alone.
    if (counts && deaths.has(`${name}|alone`)) deaths.set(`${name}|alone`, 'died');
    const diedAlone = deaths.get(`${name}|alone`) === 'died';
    const { deliveries } = pending;
    return { inbox: inbox.name, id, deliveries, body: inbox.entries.get(id), source, deaths: died, diedAlone };
  }

  #readNew(inbox: Inbox, consumer: string, count: number, rows: Row[]): void {
    if (inbox.fresh.length === 0) return;
    for (const id of inbox.fresh.splice(0, count)) {
      inbox.pending.set(id, { owner: consumer, deliveries: 1, since: this.now });
      const body = inbox.entries.get(id);
      rows.push({ inbox: inbox.name, id, deliveries: 1, body, source: 'new', deaths: 0, diedAlone: false });
    }
  }

  read(group: string, consumer: string, count: number): Row[] {
    const rows: Row[] = [];
    for (const inbox of this.inboxesOf(group)) this.#readNew(inbox, consumer, count, rows);
    return rows;
  }

  pendingAt(group: string, consumer: string): Row[] {
    const rows: Row[] = [];
    for (const inbox of this.inboxesOf(group)) {
      for (const [id, { owner, deliveries }] of inbox.pending) {
        if (owner !== consumer) continue;
        const body = inbox.entries.get(id);
        const name = `${inbox.name}|${id}`;
        const deaths = Number(this.state.deaths.get(name) ?? 0);
        const diedAlone = this.state.deaths.get(`${name}|alone`) === 'died';
        rows.push({ inbox: inbox.name, id, deliveries, body, source: 'unseen', deaths, diedAlone });
      }
    }
    return rows;
  }

  /** True if this is still the claim (rule 1). */
  holds(consumer: string, { inbox, id, deliveries }: Claim): boolean {
    const pending = this.state.inboxes.get(inbox)?.pending.get(id);
    if (pending === undefined || pending.owner !== consumer) return false;
    return pending.deliveries === deliveries || this.breaks.has('token without count');
  }

  begin(asked: Begin): string {
    const { state, breaks } = this;
    if (!breaks.has('begin not checked')) {
      if (!this.holds(asked.consumer, asked.claim)) return 'lost';
      const oldEpoch = asked.epoch !== state.epoch || state.fleet === 'stopped';
      if (oldEpoch && !breaks.has('begin without epoch')) return `stopped ${state.epoch}`;
      for (const scope of asked.scopes) if (state.scopes.has(scope)) return `held ${state.epoch}`;
      const status = state.hashes.get(asked.taskKey)?.get('status');
      if (asked.living && !state.hashes.has(asked.taskKey)) return 'ended deleted';
      const ended = status === 'cancelled' || status === 'failed' || status === 'completed';
      if (ended && !asked.afterEnd && !breaks.has('cancelled begins')) return `ended ${status}`;
    }
    if (asked.alone) state.deaths.set(`${asked.claim.inbox}|${asked.claim.id}|alone`, asked.consumer);
    for (const { inbox, json } of asked.publish) this.add(inbox, json);
    return 'ok';
  }

  renew(
    _group: string,
    consumer: string,
    claims: readonly RenewClaim[],
  ): { epoch: number; state: string; results: string[] } {
    const { state } = this;
    const results = claims.map((claim) => {
      const pending = state.inboxes.get(claim.inbox)?.pending.get(claim.id);
      if (this.breaks.has('renewal bare') && pending) pending.owner = consumer;
      else if (!pending || !this.holds(consumer, claim)) return 'lost';
      if (pending) pending.since = this.now;
      let result = 'ok';
      const status = state.hashes.get(claim.taskKey)?.get('status');
      if ((status === 'cancelled' || status === 'failed') && !claim.afterEnd) result = 'ended';
      if (claim.living && !state.hashes.has(claim.taskKey)) result = 'ended';
      for (const scope of claim.scopes) if (state.scopes.get(scope) === 'stopped') result = 'stopped';
      return result;
    });
    return { epoch: state.epoch, state: state.fleet, results };
  }

  settle(group: string, consumer: string, batch: readonly Settlement[]): string[] {
    return settleOn(this, group, consumer, batch);
  }

  release(ids: readonly string[] | null, limit: number): number {
    const { parked } = this.state;
    const due =
      ids === null
        ? [...parked]
            .filter(([, one]) => one.due <= this.now)
            .sort(([id, one], [another, other]) => one.due - other.due || (id < another ? -1 : 1))
            .map(([id]) => id)
            .slice(0, limit)
        : ids.filter((id) => (parked.get(id)?.due ?? Number.POSITIVE_INFINITY) <= this.now);
    let moved = 0;
    for (const id of due) {
      const one = parked.get(id);
      if (one === undefined) continue;
      if (!this.breaks.has('release twice')) {
        this.witness?.left('park', one.body, 'moved');
        parked.delete(id);
      }
      this.add(one.inbox, one.body, 'moved');
      moved += 1;
    }
    return moved;
  }

  beat(
    service: string,
    instance: string,
    epoch: number,
    seen: string,
  ): { epoch: number; state: string; peers: string[] } {
    const { state } = this;
    let beats = state.beats.get(service);
    if (beats === undefined) {
      beats = new Map();
      state.beats.set(service, beats);
    }
    beats.set(instance, (beats.get(instance) ?? 0) + 1);
    const newer = epoch > state.epoch || (epoch === state.epoch && seen === 'stopped' && state.fleet !== 'stopped');
    if (newer && !this.breaks.has('beat forgets the epoch')) {
      state.epoch = epoch;
      state.fleet = seen;
    }
    const peers: string[] = [];
    for (const [name, counter] of beats) peers.push(name, String(counter));
    return { epoch: state.epoch, state: state.fleet, peers };
  }

  bury(service: string, instance: string, counter: string): number {
    const beats = this.state.beats.get(service);
    const stands = beats?.get(instance);
    if (counter !== '' && (stands === undefined ? '' : String(stands)) !== counter) return 0;
    for (const inbox of this.inboxesOf(service)) {
      for (const { owner } of inbox.pending.values()) if (owner === instance) return 0;
    }
    beats?.delete(instance);
    return 1;
  }

  control({ word, scope, expected }: Word): { answer: string; epoch: number; state: string } {
    const { state } = this;
    const blind = this.breaks.has('word applied blindly');
    if (expected !== null && expected !== state.epoch && !blind)
      return { answer: 'refused', epoch: state.epoch, state: state.fleet };
    const words: Record<string, string> = {
      STOP_ALL: 'stopped',
      PAUSE_ALL: 'paused',
      RESUME_ALL: 'running',
      DRAIN: 'draining',
    };
    const wanted = words[word] as string;
    const before = scope === '' ? state.fleet : (state.scopes.get(scope) ?? 'running');
    if (wanted === 'running' && before === 'running') return { answer: 'idle', epoch: state.epoch, state: state.fleet };
    if (wanted !== 'running' && firmness.indexOf(wanted) <= firmness.indexOf(before)) {
      if (scope === '' && wanted === 'stopped' && expected === null) state.epoch += 1;
    } else if (scope !== '') {
      if (wanted === 'running') state.scopes.delete(scope);
      else state.scopes.set(scope, wanted);
    } else {
      if (wanted === 'stopped' || state.fleet === 'stopped') state.epoch += 1;
      state.fleet = wanted;
    }
    return { answer: 'ok', epoch: state.epoch, state: state.fleet };
  }

  replay(id: string, inbox: string, body: Body): number {
    const { dead } = this.state;
    if (!dead.has(id)) return 0;
    this.witness?.left('dead', dead.get(id), 'moved');
    dead.delete(id);
    if (body !== null) this.add(inbox, body, 'moved');
    return 1;
  }

  pass(ms: number): void {
    this.now += ms;
  }

  /** A copy as a replica has it: what a failover goes back to. */
  copy(): FabricState {
    return copyState(this.state);
  }

  restore(state: FabricState): void {
    this.state = state;
    this.#groups.clear();
  }

  look(): FabricLook {
    return lookAt(this.state);
  }
}
