/**
 * One process of the fleet, as `consume.ts`, `attempt.ts`, `claims.ts` and `control.ts` make it, with each call to
 * Redis a step of its own: it takes, renews, beats, listens, and brings its deliveries forward one at a time.
 */

import assert from 'node:assert/strict';
import { entryOf } from '@nexus/shared/messages';
import type { ServiceName } from '@nexus/shared/messages/domain';
import { makeObserver } from '../../shared/src/bus/claims.ts';
import type { Row } from './fabric-port.ts';
import type { Mail } from './mail.ts';
import type { World } from './world.ts';

export type Abort = 'lost' | 'stopped' | 'ended';

/** A delivery in hand. */
export type Job = {
  readonly row: Row;
  readonly mail: Mail;
  readonly epoch: number;
  readonly ledgerOnly: boolean;
  /** It killed processes before, so it runs with nothing beside it. */
  readonly alone: boolean;
  stage: number;
  /** An agent, checks or git run for it. */
  spawned: boolean;
  abort: Abort | null;
  /** A STOP of its scope holds it. */
  held: boolean;
  waited: number;
  // biome-ignore lint/suspicious/noExplicitAny: what one stage of its duty leaves to the next
  memo: any;
};

const idleMs = 15_000;
const staleMs = 1500;
const aloneFrom = 2;
const lowestEvery = 8;

/** `wrote`: the key was written, with this epoch, and the word only wakes. */
export type Word = { word: string; scope: string; said: number; wrote?: number };

export class Process {
  readonly name: string;
  readonly service: ServiceName;
  readonly slots: number;
  readonly takes: boolean;
  readonly #world: World;
  readonly #observer;
  jobs: Job[] = [];
  known = { epoch: 0, state: 'running' };
  dead = false;
  pausedUntil = 0;
  closing = false;
  nextBeat: number;
  #beats = 0;
  #turn = 0;
  #lookForIdle = false;
  #stale: string[] = [];
  /** Words that came in on the channel and were not handled yet. */
  words: Word[] = [];
  deafUntil = 0;
  /** The epoch that the words heard so far led to. */
  #heard = 0;

  constructor(world: World, service: ServiceName, name: string, slots: number) {
    this.#world = world;
    this.service = service;
    this.name = name;
    this.slots = slots;
    this.takes = service !== 'orchestrator' && service !== 'project-manager';
    this.#observer = makeObserver(name, staleMs);
    this.nextBeat = world.fabric.now;
    this.#heard = world.fabric.state.epoch;
    this.beat();
  }

  get canAct(): boolean {
    return !this.dead && this.pausedUntil <= this.#world.fabric.now;
  }

  get free(): number {
    return this.closing || this.jobs.some((job) => job.alone) ? 0 : this.slots - this.jobs.length;
  }

  /** A beat; every third renews, every fifth looks for what is idle, every tenth for what never arrived. */
  beat(): void {
    const { fabric, connected } = this.#world;
    const said = fabric.beat(this.service, this.name, this.known.epoch, this.known.state);
    assert(said.epoch >= this.known.epoch, `epoch ${this.known.epoch}, which ${this.name} knows, was rolled back`);
    this.nextBeat = fabric.now + 1000;
    this.#beats += 1;
    this.learn(said.epoch, said.state);
    const stale = this.#observer.observe(said.peers, fabric.now);
    this.#stale = stale.filter((name) => !connected(name));
    if (this.#beats % 3 === 0) this.renew();
    if (this.#beats % 5 === 0) this.#lookForIdle = true;
    if (this.#beats % 10 === 0) this.takeUnseen();
  }

  /** The connection was broken: what was observed of peers counts no more; beat, then renew, then all else. */
  reconnect(): void {
    this.#observer.reset();
    this.#stale = [];
    this.words = [];
    this.#heard = this.#world.fabric.state.epoch;
    this.beat();
    this.renew();
    this.takeUnseen();
  }

  /**
   * What was read before a failover is read again: the same revision may stand for something else now. `settle.ts`
   * refuses such a decision. That a task has ended is learnt anew as well: it may stand again.
   */
  forgetDecisions(): void {
    for (const job of this.jobs) {
      if (job.ledgerOnly) job.stage = 0;
      else if (job.abort === 'ended') job.abort = 'stopped';
    }
  }

  learn(epoch: number, state: string): void {
    const { known } = this;
    if (epoch < known.epoch || (epoch === known.epoch && (state === known.state || known.state === 'stopped'))) return;
    this.known = { epoch, state };
    if (this.#world.breaks.has('stop aborts nothing')) return;
    for (const job of this.jobs)
      if (!job.ledgerOnly && (state === 'stopped' || job.epoch !== epoch)) job.abort ??= 'stopped';
  }

  renew(): void {
    const { jobs } = this;
    if (jobs.length === 0) return;
    const claims = jobs.map((job) => ({ ...job.row, ...this.#world.demandsOf(this, job.mail) }));
    const { epoch, state, results } = this.#world.fabric.renew(this.service, this.name, claims);
    results.forEach((result, at) => {
      const job = jobs[at];
      if (job === undefined || result === 'ok' || job.ledgerOnly) return;
      job.abort ??= result as Abort;
      if (result === 'stopped') job.held = true;
    });
    this.learn(epoch, state);
  }

  takeUnseen(): void {
    const seen = this.jobs;
    for (const row of this.#world.fabric.pendingAt(this.service, this.name)) {
      if (!seen.some((job) => isSame(job, row))) this.#start(row, this.known.epoch);
    }
  }

  /** True if a take may bring something. */
  get hungry(): boolean {
    const { state } = this.known;
    if (this.takes && state !== 'running' && state !== 'draining') return false;
    if (state === 'draining' && this.#world.breaks.has('drain holds')) return false;
    return this.free > 0 && this.#world.fabric.inboxesOf(this.service).some(({ fresh }) => fresh.length > 0);
  }

  /** One look for work. `lost`: the answer never arrives, and what was delivered is nobody's until it is found. */
  take(lost: boolean): void {
    const { free } = this;
    if (free <= 0) return;
    if (this.known.state === 'draining' && this.#world.breaks.has('drain holds')) return;
    const { fabric } = this.#world;
    this.#turn += 1;
    const asked = { group: this.service, consumer: this.name, free, idleMs, dead: this.#stale };
    const lowestFirst = this.#turn % lowestEvery === 0;
    const said = fabric.take({ ...asked, lowestFirst, lookForIdle: this.#lookForIdle, fresh: this.takes });
    this.#lookForIdle = false;
    const held = said.state === 'held';
    if (!held) this.learn(said.epoch, said.state);
    const rows = this.takes || held ? said.rows : [...said.rows, ...fabric.read(this.service, this.name, 1)];
    // Who only writes the ledger books results under STOP and PAUSE, too.
    if (!this.takes && held) rows.push(...fabric.read(this.service, this.name, 1));
    if (said.rows.length === 0 && !held) for (const name of this.#stale) this.#bury(name);
    for (const row of rows) {
      this.#world.claims.taken(this.name, row);
      this.#world.assertDeaths(row);
    }
    if (lost) return;
    const epoch = held ? this.known.epoch : said.epoch;
    for (const row of rows) this.#start(row, row.source === 'new' && !this.takes ? this.known.epoch : epoch);
  }

  #bury(name: string): void {
    this.#world.fabric.bury(this.service, name, this.#observer.counterOf(name));
  }

  #start(row: Row, epoch: number): void {
    const mail = row.body as Mail;
    // The same delivery again is nothing new; a newer one waits for the end of the older one, which is lost.
    if (this.jobs.some((job) => isSame(job, row) && job.row.deliveries === row.deliveries)) return;
    const { ledgerOnly } = entryOf(mail.type);
    const alone = row.deaths >= aloneFrom && !row.diedAlone;
    const job = { row, mail, epoch, ledgerOnly, alone, stage: 0, spawned: false, held: false, waited: 0, memo: null };
    this.jobs.push({ ...job, abort: this.closing && !ledgerOnly ? 'stopped' : null });
    this.#world.trace?.(
      `${this.name} gets ${mail.id} (delivery ${row.deliveries}, ${row.source}, deaths ${row.deaths})`,
    );
  }

  /** Nothing more is taken; what runs is aborted, and gives back. Who only writes the ledger ends what it began. */
  close(): void {
    this.closing = true;
    for (const job of this.jobs) if (!job.ledgerOnly) job.abort ??= 'stopped';
  }

  drop(job: Job): void {
    const at = this.jobs.indexOf(job);
    if (at >= 0) this.jobs.splice(at, 1);
  }

  /** The jobs that may go on: of one task, those that write the ledger go one after the other. */
  able(): Job[] {
    const { jobs } = this;
    if (jobs.length < 2) return jobs;
    return jobs.filter((job, at) => {
      for (let before = 0; before < at; before += 1) {
        const other = jobs[before] as Job;
        if (isSame(other, job.row)) return false;
        if (job.ledgerOnly && other.ledgerOnly && other.mail.task === job.mail.task) return false;
      }
      return true;
    });
  }

  /** A word from the channel: applied if the epoch that the words before it led to still stands (rule 18). */
  hear(): void {
    const next = this.words.shift();
    if (next === undefined) return;
    if (next.wrote !== undefined) {
      this.#heard = Math.max(this.#heard, next.wrote);
      const { epoch, fleet } = this.#world.fabric.state;
      this.learn(epoch, fleet);
      return;
    }
    const outlives = this.#world.breaks.has('words outlive what was learnt');
    const expected = outlives ? this.known.epoch : this.#heard;
    const said = this.#world.control({ word: next.word, scope: next.scope, expected }, next.said);
    this.learn(said.epoch, said.state);
    this.#heard = said.epoch;
    if (said.answer === 'ok') return;
    this.words = [];
    // Deaf until the new subscription is confirmed.
    this.deafUntil = this.#world.fabric.now + 50;
  }
}

const isSame = ({ row }: Job, other: { inbox: string; id: string }): boolean =>
  row.id === other.id && row.inbox === other.inbox;
