/**
 * One schedule of the whole fleet: what happens next is chosen step by step, with a bounded number of faults; then the
 * rest of it goes its way, and what is left is judged.
 */
import assert from 'node:assert/strict';
import { type Choices, chooseAgain, chooseBySeed } from './choices.ts';
import { assertEnd, type TaskEnd } from './ending.ts';
import type { Mail } from './mail.ts';
import type { Process } from './process.ts';
import { World, type WorldOptions } from './world.ts';

export type FleetEnd = { ends: TaskEnd[]; saw: Record<string, number>; steps: number };

/** More than any schedule needs: one that goes on longer goes round in circles. */
const stepsMax = 20_000;
const faultsMax = 9;
const peopleMax = 10;
/** So long the operator lets a halted fleet be in which nothing moves. */
const haltedPassesMax = 24;
const sweepMs = 5000;

export const runFleet = (seed: number, options: WorldOptions = {}): FleetEnd => play(chooseBySeed(seed), options);
/** The choices that a seed makes, for shrinking. */
export const choicesOf = (seed: number, options: WorldOptions = {}): number[] => {
  const chooses = chooseBySeed(seed, true);
  try {
    play(chooses, options);
  } catch {
    // What it was is found out again, choice by choice.
  }
  return [...chooses.taken];
};
export const runChoices = (choices: readonly number[], options: WorldOptions = {}): FleetEnd =>
  play(chooseAgain(choices), options);

const play = (chooses: Choices, options: WorldOptions): FleetEnd => {
  const world = new World(chooses, options);
  const fleet = new Fleet(world);
  let steps = 0;
  while (fleet.step()) {
    steps += 1;
    assert(steps < stepsMax, 'it goes round in circles');
  }
  return { ends: assertEnd(world), saw: world.saw, steps };
};

class Fleet {
  readonly #world: World;
  #faults: number;
  #toSubmit: number;
  #nextSweep = 0;
  #people = peopleMax;
  #halted = 0;
  #copies = 0;
  readonly #fails: boolean;

  constructor(world: World) {
    this.#world = world;
    const { chooses } = world;
    this.#toSubmit = 1 + (chooses.below(10) > 6 ? 1 : 0);
    this.#faults = world.calm === 1 ? 0 : chooses.below(faultsMax + 1);
    this.#fails = chooses.below(3) === 2;
    this.#submitNext();
  }

  #submitNext(): void {
    // The edge takes nothing while the fleet drains.
    if (this.#toSubmit === 0 || this.#world.fabric.state.fleet === 'draining') return;
    const priority = this.#world.chooses.below(5) === 4 ? 'HIGH' : 'NORMAL';
    this.#world.submit(`t${this.#toSubmit}`, priority);
    this.#toSubmit -= 1;
  }

  /** Something happens; false once nothing is left to happen. */
  step(): boolean {
    const world = this.#world;
    const { chooses } = world;
    const dice = chooses.below(100);
    if (this.#faults > 0 && dice >= 93) this.#fault(dice);
    else if (dice >= 91 && this.#people > 0) this.#askPeople();
    if (this.#fails && dice % 25 === 24) world.replicate();
    const able: Process[] = [];
    for (const one of world.processes)
      if (one.canAct && (one.jobs.length > 0 || one.hungry || one.words.length > 0 || one.closing)) able.push(one);
    if (able.length === 0 || dice % 8 === 7) return this.#pass(able.length > 0);
    this.#turn(able[chooses.below(able.length)] as Process);
    return true;
  }

  #turn(process: Process): void {
    const { chooses } = this.#world;
    if (process.words.length > 0) {
      if (process.deafUntil > this.#world.now) process.words = [];
      process.hear();
      return;
    }
    if (process.closing && process.jobs.length === 0) {
      this.#world.goodbye(process);
      return;
    }
    const jobs = process.able();
    if (jobs.length > 0 && (!process.hungry || chooses.below(3) > 0)) {
      const job = jobs[chooses.below(jobs.length)];
      if (job) this.#world.step(process, job);
      return;
    }
    process.take(false);
  }

  /** Time passes: beats, alarms, sweeps, looks for work. Where nobody has anything in hand, as much as it takes. */
  #pass(busy: boolean): boolean {
    const world = this.#world;
    const { fabric } = world;
    const halted = !busy && this.#isHalted();
    this.#halted = halted ? this.#halted + 1 : 0;
    if (this.#halted > haltedPassesMax) {
      this.#assertStopped();
      this.#resume();
    }
    if (!busy && !this.#isHeld()) {
      this.#submitNext();
      if (!this.#wake()) return false;
    } else fabric.pass(world.chooses.below(2) === 0 ? 500 : 1500);
    this.#ring();
    for (const process of world.processes) {
      if (!process.canAct || process.nextBeat > fabric.now) continue;
      process.beat();
      if (process.jobs.length < process.slots) process.take(false);
    }
    return true;
  }

  /** Long after a STOP nothing runs in any process that is awake. */
  #assertStopped(): void {
    const world = this.#world;
    if (world.fabric.state.fleet !== 'stopped') return;
    for (const { name, canAct, jobs } of world.processes)
      for (const job of jobs) assert(!canAct || !job.spawned, `${name} still works on ${job.mail.id} after a STOP`);
  }

  /** True while entries are in somebody's hands, if only in a sleeping or dead process's. */
  #isHeld(): boolean {
    for (const { pending } of this.#world.fabric.state.inboxes.values()) if (pending.size > 0) return true;
    return false;
  }

  /** Nobody has anything to do: the operator lets the fleet go on, or it is the time of what is due next. */
  #wake(): boolean {
    const { fabric } = this.#world;
    const { state } = fabric;
    if (this.#isHalted()) {
      this.#resume();
      fabric.pass(1500);
      return true;
    }
    let due = Number.POSITIVE_INFINITY;
    for (const one of state.parked.values()) due = Math.min(due, one.due);
    const waits = [...state.inboxes.values()].some(({ entries }) => entries.size > 0);
    // Whoever sleeps wakes up, to find its claims lost.
    for (const { pausedUntil, jobs } of this.#world.processes) if (jobs.length > 0) due = Math.min(due, pausedUntil);
    if (due === Number.POSITIVE_INFINITY && !waits) return this.#isDrained();
    fabric.pass(waits ? 1000 : Math.max(1000, due - fabric.now));
    return true;
  }

  /** While it drains, the fleet finishes what it has; only a stop, a pause or a held part keeps it from that. */
  #isHalted(): boolean {
    const { fleet, scopes } = this.#world.fabric.state;
    return (fleet !== 'running' && fleet !== 'draining') || scopes.size > 0;
  }

  /** Nothing is left: after a DRAIN all that was accepted has come to its end, and the door opens again. */
  #isDrained(): boolean {
    const world = this.#world;
    if (world.fabric.state.fleet !== 'draining') return false;
    world.note('drained');
    assertEnd(world);
    this.#resume();
    return true;
  }

  #ring(): void {
    const world = this.#world;
    const { fabric } = world;
    if (world.alarms.length > 0) {
      const due = world.alarms.filter((one) => one.due <= fabric.now);
      world.alarms = world.alarms.filter((one) => one.due > fabric.now);
      for (const { id } of due) fabric.release([id], 100);
    }
    if (fabric.now >= this.#nextSweep) {
      if (!world.breaks.has('nothing sweeps')) fabric.release(null, 500);
      this.#nextSweep = fabric.now + sweepMs;
    }
  }

  /** People: another task, a cancellation, a deletion, an answer. */
  #askPeople(): void {
    this.#people -= 1;
    const world = this.#world;
    const { chooses } = world;
    this.#submitNext();
    const tasks = [...world.tasks.keys()];
    const task = tasks[chooses.below(tasks.length)] as string;
    const status = world.statusOf(task);
    const kind = chooses.below(10);
    if (status === 'waiting_for_person' && kind >= 3) {
      world.note('answered');
      world.publish('person.answered', task, { subtask_id: null, answer: 'retry', note: '' });
    } else if (kind === 9 && world.calm === 0 && chooses.below(3) === 2) {
      const ended = status === 'completed' || status === 'failed' || status === 'cancelled';
      world.note(ended ? 'deleted' : 'cancelled');
      if (ended) {
        world.deleted.add(task);
        world.publish('deletion.requested', task, {});
      } else if (status !== null) world.publish('cancellation.requested', task, { reason: 'No longer wanted.' });
    } else if (kind === 8 && world.fabric.state.fleet !== 'draining') world.submit(task, 'NORMAL');
  }

  #fault(dice: number): void {
    const world = this.#world;
    const { chooses, fabric } = world;
    this.#faults -= 1;
    // Whoever has something in hand is hurt more often.
    const busy = chooses.below(2) === 1 ? world.processes.filter(({ jobs }) => jobs.length > 0) : [];
    const among = busy.length > 0 ? busy : world.processes;
    const process = among[chooses.below(among.length)] as Process;
    if (dice === 93 && world.wider && !process.closing && chooses.below(3) === 2) {
      world.note('shut down');
      world.shutDown(process);
    } else if (dice === 93) {
      world.note('killed');
      world.kill(process, 'fault');
    } else if (dice === 94) {
      world.note('paused');
      process.pausedUntil =
        fabric.now + 1000 * (chooses.below(3) === 0 ? 1 + chooses.below(14) : 16 + chooses.below(6));
    } else if (dice === 95) {
      const words = 1 + (chooses.below(2) === 1 ? chooses.below(4) : 0);
      for (let said = 0; said < words; said += 1) this.#operate();
    } else if (dice === 96 && this.#fails) {
      world.note('failed over');
      world.failOver();
    } else if (dice === 97) this.#disturb();
    else if (dice === 98) {
      world.note('alarms lost');
      world.alarms = [];
    } else this.#loseReply(process);
  }

  /** A socket dies while the answer is under way: nobody here knows of what was delivered. */
  #loseReply(process: Process): void {
    if (!process.canAct) return;
    this.#world.note('reply lost');
    process.take(true);
    process.reconnect();
  }

  /** Messages come twice, late, out of order, or rotten. */
  #disturb(): void {
    const world = this.#world;
    const { chooses, fabric } = world;
    const waiting = [...fabric.state.inboxes.values()].filter(({ fresh }) => fresh.length > 0);
    const inbox = waiting[chooses.below(Math.max(1, waiting.length))];
    const id = inbox?.fresh[0];
    if (inbox === undefined || id === undefined) return;
    const mail = inbox.entries.get(id) as Mail;
    const how = chooses.below(3);
    if (how === 0 && mail.type !== 'task.submitted') {
      world.note('twice');
      this.#copies += 1;
      fabric.add(inbox.name, { ...mail, id: `${mail.id}'${this.#copies}` });
    } else if (how === 1) {
      world.note('out of order');
      inbox.fresh.push(inbox.fresh.shift() as string);
    } else if (mail.type === 'subtask.dispatched') {
      world.note('poison');
      inbox.entries.set(id, { ...mail, poison: true });
    }
  }

  /** The operator: by key, confirmed by the replica, or by a bare word on the channel. */
  #operate(): void {
    const world = this.#world;
    const { chooses, fabric } = world;
    const { fleet } = fabric.state;
    const halted = fleet !== 'running';
    const gentle = () => (world.wider && chooses.below(2) === 1 ? 'DRAIN' : 'PAUSE_ALL');
    const word = halted ? 'RESUME_ALL' : chooses.below(4) === 3 ? gentle() : 'STOP_ALL';
    const tasks = [...world.tasks.keys()];
    const scoped = chooses.below(4) === 3;
    const scope = scoped ? (chooses.below(2) === 0 ? `task:${tasks[0]}` : 'agent:builder') : '';
    world.words += 1;
    world.note(`${word} ${scoped ? 'of a scope' : ''}`.trim());
    if (chooses.below(2) === 0) {
      const { epoch } = world.control({ word, scope, expected: null }, world.words);
      world.replicate();
      for (const one of world.processes) one.words.push({ word, scope, said: world.words, wrote: epoch });
    } else for (const one of world.processes) one.words.push({ word, scope, said: world.words });
  }

  #resume(): void {
    const world = this.#world;
    world.words += 1;
    const { state } = world.fabric;
    for (const scope of [...state.scopes.keys()])
      world.control({ word: 'RESUME_ALL', scope, expected: null }, world.words);
    if (state.fleet !== 'running') world.control({ word: 'RESUME_ALL', scope: '', expected: null }, world.words);
    world.replicate();
  }
}
