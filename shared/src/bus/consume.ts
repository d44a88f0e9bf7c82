/**
 * Stage 2: the only loop that reads.
 *
 * Two modes, the service's choice (rule 7). `take`: few slots and long work; a script fills exactly the free
 * slots, and only after an empty take does the consumer block, for one entry. `stream`: handlers that take
 * milliseconds and only write the ledger; one blocking read over the four inboxes with COUNT = free slots.
 *
 * Life cycle, asserted by `#go`:
 *   running → draining   close(): nothing is read any more; what runs may end, within the grace
 *   draining → closed    all has ended or was given back
 *
 * While it runs, what it holds is renewed every three seconds, what it should hold but never saw is looked for every
 * ten, and what dead peers held is taken over.
 */
import { strict as assert } from 'node:assert';
import { setTimeout as sleep } from 'node:timers/promises';
import { fail } from '@nexus/shared/errors';
import type { Log } from '@nexus/shared/telemetry';
import { Attempt, type AttemptContext } from './attempt.ts';
import { findUnseen, type Heart, type Rhythm, renew } from './claims.ts';
import type { Control } from './control.ts';
import type { Delivery } from './delivery.ts';
import { endConnection, endedWithin } from './ending.ts';
import { regroup, restore } from './groups.ts';
import { prioritiesInOrder } from './keys.ts';
import type { Redis } from './redis.ts';
import { block, type Reader, type Taken, take } from './take.ts';

export type ConsumerOptions = {
  context: AttemptContext;
  mode: 'take' | 'stream';
  slots: number;
  redis: Redis;
  reading: Redis;
  control: Control;
  heart: Heart;
  /** How many deliveries more this process can hold just now. */
  room: () => number;
  /** Without Redis for so long, what runs is ended: nobody could tell it to stop (rule 21). */
  cutOffMs: number;
  /** Told of reading and renewing: null, or why it failed. */
  report: (part: string, error: Error | null) => void;
  rhythm: Rhythm;
  log: Log;
};

type Mode = 'running' | 'draining' | 'closed';
const legal: Record<Mode, Mode[]> = { running: ['draining'], draining: ['closed'], closed: [] };
/** Which turn begins at the lowest priority: strict order would starve it (rule 7). */
const lowestEvery = 8;
/** From so many deaths on an entry runs alone (rule 6). */
const deathsAlone = 2;
/** A blocking read lasts so long at most, so that the loop sees what has changed. */
const blockMs = 1000;

type Held = { attempt: Attempt; done: Promise<void> };

export class Consumer {
  readonly #options: ConsumerOptions;
  readonly #reader: Reader;
  readonly #held = new Map<string, Held>();
  readonly #chains = new Map<string, Promise<void>>();
  #mode: Mode = 'running';
  #loop: Promise<void>;
  #turn = 0;
  #lookForIdle = false;
  #lookForUnseen = false;
  #takingOver = false;
  /** Entries that killed processes before, in the order in which they run alone. */
  readonly #suspects = new Set<Attempt>();
  #lastTurnMs = performance.now();
  readonly #sleepers = new Set<() => void>();
  readonly #renewTimer: NodeJS.Timeout;

  constructor(options: ConsumerOptions) {
    this.#options = options;
    const { rhythm, cutOffMs, heart, control } = options;
    const { keys, service, instanceId } = options.context;
    const inboxes = prioritiesInOrder.map((priority) => keys.inbox(service, priority));
    this.#reader = { service, instanceId, inboxes, control };
    control.onChange(() => this.#onControl());
    heart.onBeat((beat) => this.#onBeat(beat));
    heart.onReturn(async () => {
      await this.#renew();
      this.#lookForUnseen = true;
    });
    this.#renewTimer = setInterval(
      () => {
        this.#endIfCutOff();
        if (heart.whole()) void this.#renew();
      },
      Math.min(rhythm.renewMs, cutOffMs),
    );
    this.#renewTimer.unref();
    this.#loop = this.#run();
  }

  /** Slots in use now. */
  get busy(): number {
    return this.#held.size;
  }

  /** Milliseconds since the loop last came round; a turn takes a second at most. 0 once it drains. */
  get sinceTurnMs(): number {
    return this.#mode === 'running' ? performance.now() - this.#lastTurnMs : 0;
  }

  /** True once nothing that a STOP concerns is running any more. */
  get quiet(): boolean {
    return [...this.#held.values()].every(({ attempt }) => attempt.ledgerOnly);
  }

  /**
   * Drains: reads nothing more, lets what runs end for `graceMs`, then aborts it (handlers checkpoint and give
   * back), and waits until all of it is settled. Where Redis does not answer, what it is not told is left to
   * takeover; returns how many outcomes that were.
   */
  async close(graceMs: number): Promise<number> {
    if (this.#mode !== 'running') return 0;
    const { rhythm, log, control, reading, context } = this.#options;
    this.#go('draining');
    this.#wake();
    await this.#drained(graceMs);
    const { epoch } = control.known();
    for (const { attempt } of this.#held.values()) if (!attempt.ledgerOnly) attempt.abort(fail('STOPPED', { epoch }));
    await this.#drained(rhythm.abortMs);
    // A handler that does not obey keeps nobody alive: its claim lapses, and another process takes it over.
    const running = [...this.#held.values()].filter(({ attempt }) => !attempt.answered).length;
    if (running > 0) log.warn({ running }, 'Handlers did not end; their claims lapse');
    endConnection(reading);
    await endedWithin(this.#loop, rhythm.closeMs);
    clearInterval(this.#renewTimer);
    const left = await context.settler.close(Math.max(0, rhythm.closeMs - this.#options.heart.sinceBeatMs()));
    this.#go('closed');
    return left;
  }

  /** Waits until all that is held has ended, so long at most; without Redis only for handlers at work by themselves. */
  async #drained(limitMs: number): Promise<void> {
    const { heart, rhythm } = this.#options;
    const until = performance.now() + limitMs;
    const atWork = (): boolean => {
      const held = [...this.#held.values()];
      if (heart.sinceBeatMs() < rhythm.closeMs) return held.length > 0;
      return held.some(({ attempt }) => !attempt.ledgerOnly && !attempt.answered);
    };
    while (atWork() && performance.now() < until) await this.#untilWoken(Math.min(100, until - performance.now()));
  }

  #go(next: Mode): void {
    assert.ok(legal[this.#mode].includes(next), `a consumer cannot go from ${this.#mode} to ${next}`);
    this.#mode = next;
  }

  async #run(): Promise<void> {
    let troubles = 0;
    while (this.#mode === 'running') {
      try {
        const free = this.#options.heart.whole() ? this.#free() : 0;
        if (free <= 0) await this.#untilWoken(1000);
        else if (this.#options.mode === 'take') await this.#takeTurn(free);
        else for (const delivery of await this.#block(free)) this.#start(delivery);
        troubles = 0;
        this.#options.report('reading', null);
        this.#lastTurnMs = performance.now();
      } catch (error) {
        if (this.#mode !== 'running') return;
        troubles += 1;
        await this.#failed('reading', error as Error);
        await this.#untilWoken(Math.min(2000, 50 * 2 ** Math.min(troubles, 6)));
      }
    }
  }

  #free(): number {
    if (this.#suspects.size > 0) return 0;
    return Math.min(this.#options.slots - this.#held.size, this.#options.room());
  }

  async #takeTurn(free: number): Promise<void> {
    const { held, deliveries } = await this.#take(free, true);
    for (const delivery of deliveries) this.#start(delivery);
    if (held) {
      await this.#untilWoken(1000);
      return;
    }
    if (deliveries.length > 0) return;
    const fresh = await this.#block(1);
    const { state } = this.#options.control.known();
    const surplus = state === 'stopped' || state === 'paused' ? fresh : fresh.slice(free);
    for (const delivery of fresh.slice(0, fresh.length - surplus.length)) this.#start(delivery);
    // COUNT is per stream: what four inboxes gave beyond the free slots goes back uncounted (rule 7).
    for (const delivery of surplus) void this.#giveBack(delivery);
  }

  async #take(free: number, fresh: boolean): Promise<Taken> {
    const { context, heart, redis, rhythm, log } = this.#options;
    const dead = heart.dead();
    this.#turn += 1;
    const lowestFirst = this.#turn % lowestEvery === 0;
    // Idle time passes while Redis answers nobody; whoever is well needs a while to renew again (rule 4).
    const steady = heart.steadyMs() >= 2 * rhythm.renewMs;
    const idleMs = this.#lookForIdle && steady ? rhythm.idleMs : null;
    this.#lookForIdle = false;
    const names: [string, string] = [context.keys.control, context.keys.deaths];
    const taken = await take(redis, names, this.#reader, {
      free,
      lowestFirst,
      idleMs,
      fresh,
      dead,
      sentAt: Date.now() + heart.skewMs(),
    });
    // There may be more than there were free slots.
    if (taken.fromIdle > 0) this.#lookForIdle = true;
    const entries = taken.fromDead + taken.fromIdle;
    if (entries > 0) log.info({ entries, dead }, 'Took over entries that nobody holds any more');
    else for (const name of dead) void heart.bury(name).catch(() => undefined);
    return taken;
  }

  #block(count: number): Promise<Delivery[]> {
    return block(this.#options.reading, this.#reader, count, blockMs);
  }

  #start(delivery: Delivery): void {
    const name = `${delivery.inbox}|${delivery.entryId}`;
    const before = this.#held.get(name);
    if (before !== undefined) {
      // A newer delivery of what is still ending here waits for that end; the same one again is nothing new.
      const newer = before.attempt.delivery.deliveries !== delivery.deliveries;
      if (newer) void before.done.then(() => this.#start(delivery));
      return;
    }
    const attempt = new Attempt(delivery, this.#options.context);
    const alone = delivery.deaths >= deathsAlone && !delivery.diedAlone;
    const key = attempt.serialKey;
    const chain = key === null ? undefined : this.#chains.get(key);
    const over = (): void => {
      this.#held.delete(name);
      // Nothing is left that could be renewed, so nothing of it fails any more.
      if (this.#held.size === 0) this.#options.report('renewing', null);
      if (attempt.lost) void restore(this.#options, delivery);
      if (key !== null && this.#chains.get(key) === done) this.#chains.delete(key);
      this.#wake();
    };
    const running = alone ? this.#runAlone(attempt) : chain ? chain.then(() => attempt.run(false)) : attempt.run(false);
    // What fails in a handler is an outcome; what fails in the fabric is said.
    const done = running.then(over, (error: unknown) => {
      this.#options.log.fatal({ err: error }, 'The fabric itself failed');
      over();
    });
    if (key !== null) this.#chains.set(key, done);
    this.#held.set(name, { attempt, done });
  }

  /**
   * An entry that killed processes before runs with nothing beside it. Where the rest does not end within a
   * minute it goes back, for an idle process to run it.
   */
  async #runAlone(attempt: Attempt): Promise<void> {
    this.#suspects.add(attempt);
    try {
      const first = (): boolean => [...this.#suspects][0] === attempt;
      const others = (): boolean => [...this.#held.values()].some((held) => !this.#suspects.has(held.attempt));
      const { aloneMs } = this.#options.rhythm;
      let until = performance.now() + aloneMs;
      while (!first() || (others() && performance.now() < until)) {
        if (!first()) until = performance.now() + aloneMs;
        if (this.#mode !== 'running') break;
        await sleep(100);
      }
      if (others() || !first()) await this.#giveBack(attempt.delivery);
      else await attempt.run(true);
    } finally {
      this.#suspects.delete(attempt);
    }
  }

  async #giveBack(delivery: Delivery): Promise<void> {
    const { inbox, entryId, deliveries } = delivery;
    const settlement = { inbox, entryId, deliveries, epoch: null, line: '', write: [], publish: [] };
    await this.#options.context.settler.settle({ ...settlement, ending: { end: 'nobody' } });
  }

  #endIfCutOff(): void {
    const { heart, cutOffMs, control, log } = this.#options;
    const sinceMs = heart.sinceBeatMs();
    const running = [...this.#held.values()].filter(({ attempt }) => !attempt.ledgerOnly && !attempt.signal.aborted);
    if (sinceMs < cutOffMs || running.length === 0) return;
    log.warn(
      { seconds: Math.round(sinceMs / 1000), running: running.length },
      'Cut off from Redis; what runs is ended',
    );
    for (const { attempt } of running) attempt.abort(fail('STOPPED', { epoch: control.known().epoch }));
  }

  #onControl(): void {
    const { epoch, state } = this.#options.control.known();
    for (const { attempt } of this.#held.values()) {
      if (attempt.ledgerOnly) continue;
      if (state === 'stopped' || attempt.delivery.epoch !== epoch) attempt.abort(fail('STOPPED', { epoch }));
    }
    // A scope may concern what runs here: a renewal tells which.
    if (this.#held.size > 0 && this.#options.heart.whole()) void this.#renew();
    this.#wake();
  }

  #onBeat(beat: number): void {
    if (this.#mode !== 'running') return;
    const due = this.#options.heart.dead().length > 0;
    if (beat % 5 === 0) this.#lookForIdle = true;
    if (beat % 10 === 0 || this.#lookForUnseen) void this.#takeUnseen();
    if (this.#options.mode === 'stream' && (due || beat % 5 === 0)) void this.#takeOver();
    this.#wake();
  }

  /** Goes on until nothing is due any more: a peer that died may have held more than there are free slots. */
  async #takeOver(): Promise<void> {
    if (this.#takingOver) return;
    this.#takingOver = true;
    try {
      for (let more = true; more && this.#mode === 'running'; ) {
        const free = this.#free();
        if (free <= 0) await this.#untilWoken(1000);
        else {
          const { deliveries } = await this.#take(free, false);
          for (const delivery of deliveries) this.#start(delivery);
          more = deliveries.length > 0;
        }
      }
    } catch (error) {
      this.#options.log.debug({ reason: (error as Error).message }, 'A takeover failed; the next beat tries again');
    } finally {
      this.#takingOver = false;
    }
  }

  async #takeUnseen(): Promise<void> {
    const { context, redis, control, rhythm, log } = this.#options;
    this.#lookForUnseen = false;
    const holds = (inbox: string, entryId: string): boolean => this.#held.has(`${inbox}|${entryId}`);
    const found = await findUnseen(redis, context.keys, this.#reader, rhythm.unseenMs, holds).catch(() => []);
    if (found.length > 0)
      log.info({ entries: found.length }, 'Found entries that were delivered here but never arrived');
    const { epoch } = control.known();
    for (const one of found) this.#start({ ...one, epoch });
  }

  async #renew(): Promise<void> {
    const attempts = [...this.#held.values()].map(({ attempt }) => attempt);
    if (attempts.length === 0) return;
    const { context, redis, control } = this.#options;
    const claims = attempts.map((attempt) => ({
      inbox: attempt.delivery.inbox,
      entryId: attempt.delivery.entryId,
      deliveries: attempt.delivery.deliveries,
      taskKey: context.keys.task(attempt.task),
      scopes: attempt.claimScopes.join(','),
      demands: attempt.taskDemands,
    }));
    let results: Awaited<ReturnType<typeof renew>>;
    try {
      results = await renew(redis, context.keys, control, context.service, context.instanceId, claims);
    } catch (error) {
      if (this.#held.size > 0) await this.#failed('renewing', error as Error);
      return;
    }
    this.#options.report('renewing', null);
    results.forEach((result, at) => {
      const attempt = attempts[at];
      if (attempt && result !== 'ok' && !attempt.ledgerOnly)
        attempt.abort(attempt.reasonOf(result), result === 'stopped');
    });
  }

  /** What kept Redis from doing its part: a group that is gone is made again, all else is told. */
  async #failed(part: string, error: Error): Promise<void> {
    const { report } = this.#options;
    if (!/NOGROUP|^UNBLOCKED/.test(error.message)) return report(part, error);
    await regroup(this.#options).catch(() => undefined);
  }

  #wake(): void {
    for (const wake of this.#sleepers) wake();
  }

  #untilWoken(limitMs: number): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        clearTimeout(timer);
        this.#sleepers.delete(wake);
        resolve();
      };
      const timer = setTimeout(wake, limitMs);
      this.#sleepers.add(wake);
    });
  }
}
