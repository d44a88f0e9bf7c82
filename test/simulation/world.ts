/**
 * A fleet in a model: processes of every service on one fabric, hubs, people and an operator, under a virtual clock.
 * All that happens follows from the choices. What must hold is asserted where it could break: here for each step,
 * in `mail.ts` for messages, in `hub.ts` for merges, in `ending.ts` for what is left in the end.
 */
import assert from 'node:assert/strict';
import type { FollowUp } from '@nexus/shared/bus';
import { entryOf, type Kind } from '@nexus/shared/messages';
import { endedTask, type Plan, type Priority, type ServiceName, type TaskStatus } from '@nexus/shared/messages/domain';
import { baseCommit } from '../tools/board.ts';
import type { Choices } from './choices.ts';
import { Fabric } from './fabric.ts';
import type { Row, Settlement, Word } from './fabric-port.ts';
import type { FabricState } from './fabric-state.ts';
import { type Hub, openHub } from './hub.ts';
import { boardKey, decideOn, readFor, rulesOf, taskKey } from './ledger-duties.ts';
import { followUpOf, forgetNames, inboxOf, type Mail, Whereabouts } from './mail.ts';
import { planBy } from './plans.ts';
import { type Job, Process } from './process.ts';
import { settle } from './settling.ts';
import { begin, suspect, work } from './work-duties.ts';

export type WorldOptions = {
  breaks?: ReadonlySet<string>;
  trace?: (line: string) => void;
  /** Left out, true: also with deadlines, bad plans, DRAIN and processes that are shut down. */
  wider?: boolean;
};

export class World {
  readonly chooses: Choices;
  readonly breaks: ReadonlySet<string>;
  readonly wider: boolean;
  readonly fabric: Fabric;
  readonly rules: ReturnType<typeof rulesOf>;
  readonly trace: ((line: string) => void) | undefined;
  /** How likely agents and gates fail, 0 to 1. */
  readonly trouble: number;
  /** 1: nothing goes wrong but the order of things. */
  readonly calm: number;
  readonly tasks = new Map<string, { plan: Plan; hub: Hub; deadline: string | null }>();
  readonly claims = new Claims();
  processes: Process[] = [];
  whereabouts = new Whereabouts();
  alarms: { id: string; due: number }[] = [];
  /** Why each dead letter died. */
  readonly codes = new Map<string, string>();
  /** Tasks that a person wanted deleted. */
  readonly deleted = new Set<string>();
  /** How many words the operator has said. */
  words = 0;
  /** When the newest STOP was said: no older word may end it. */
  stopSaid = -1;
  failovers = 0;
  /** How often what happened. */
  readonly saw: Record<string, number> = {};
  #names = 0;
  #sent = 0;
  #replica: { state: FabricState; whereabouts: Whereabouts } | null = null;
  readonly #crashes = new Map<string, number>();

  constructor(chooses: Choices, { breaks = new Set(), trace, wider = true }: WorldOptions = {}) {
    forgetNames();
    this.chooses = chooses;
    this.breaks = breaks;
    this.wider = wider;
    this.trace = trace;
    this.fabric = new Fabric(breaks);
    this.fabric.now = 1_000_000;
    this.fabric.witness = this.whereabouts;
    this.calm = chooses.below(8) === 0 ? 1 : 0;
    this.trouble = this.calm === 1 ? 0 : ([0, 0.1, 0.3, 0.7][chooses.below(4)] as number);
    this.rules = rulesOf(1 + chooses.below(4));
    this.start('orchestrator', 4);
    this.start('project-manager', 4);
    if (chooses.chance(0.4)) this.start('project-manager', 4);
    this.start('worker-agent', 1 + chooses.below(3));
    if (chooses.chance(0.5)) this.start('worker-agent', 1 + chooses.below(2));
    this.start('quality-checker', 1);
    this.start('finalizer', 1);
    if (chooses.chance(0.4)) this.start('finalizer', 1);
  }

  get now(): number {
    return this.fabric.now;
  }

  get at(): string {
    return new Date(this.fabric.now).toISOString();
  }

  note(what: string): void {
    this.saw[what] = (this.saw[what] ?? 0) + 1;
  }

  start(service: ServiceName, slots: number): void {
    this.#names += 1;
    this.processes.push(new Process(this, service, `${service.slice(0, 4)}${this.#names}`, slots));
  }

  connected = (name: string): boolean => this.processes.some((one) => one.name === name && !one.dead);

  capacity(): number {
    let sum = 0;
    for (const one of this.processes) if (one.service === 'worker-agent' && !one.dead) sum += one.slots;
    return sum;
  }

  hubOf(task: string): Hub {
    return this.tasks.get(task)?.hub ?? assert.fail(`nobody submitted ${task}`);
  }

  planOf(task: string): Plan {
    return this.tasks.get(task)?.plan ?? assert.fail(`nobody submitted ${task}`);
  }

  baseOf = (_task: string): string => baseCommit;

  statusOf(task: string): TaskStatus | null {
    return (this.fabric.state.hashes.get(taskKey(task))?.get('status') as TaskStatus | undefined) ?? null;
  }

  /** A person or the edge puts a message into the fabric. */
  publish(type: Kind, task: string, payload: object, over: Partial<Mail> & { seen?: string } = {}): string {
    this.#sent += 1;
    const { seen = null, ...rest } = over;
    const named = { id: `p${this.#sent}`, type, task, payload: { task_id: task, ...payload } };
    const mail: Mail = { ...named, priority: 'NORMAL', attempt: 1, poison: false, ...rest };
    const edge = { limit: null, seen, remember: mail.id, mark: null, attach: [] };
    const [said = ''] = this.fabric.publish([
      { inbox: inboxOf(mail), json: mail, id: mail.id, delayMs: null, ...edge },
    ]);
    this.trace?.(`${type} of ${task} is published as ${mail.id}: ${said}`);
    return said;
  }

  /** A task is accepted: what was acknowledged is with the replica, too (rule 29). */
  submit(task: string, priority: Priority): void {
    if (!this.tasks.has(task)) {
      const deadline = this.#chooseDeadline();
      this.tasks.set(task, { plan: planBy(this.chooses), hub: openHub(task, this.breaks), deadline });
    }
    const { deadline = null } = this.tasks.get(task) ?? {};
    const request = { request: 'Do it', ...(deadline === null ? {} : { deadline }) };
    this.publish('task.submitted', task, { request }, { priority, seen: `seen:${task}` });
    this.replicate();
  }

  /** One task in four is wanted by a time: too soon, or in good time. */
  #chooseDeadline(): string | null {
    if (!this.wider || this.calm === 1 || this.chooses.below(4) < 3) return null;
    return new Date(this.now + this.chooses.pick([2000, 10_000, 60_000, 3_600_000] as const)).toISOString();
  }

  demandsOf(process: Process, { type, payload, task }: Mail) {
    const { living = false, afterEnd } = entryOf(type);
    const agent = payload.agent_id === undefined ? [] : [`agent:${payload.agent_id}`];
    const scopes = [`task:${task}`, `service:${process.service}`, `instance:${process.name}`, ...agent];
    return { taskKey: taskKey(task), scopes, living, afterEnd: afterEnd?.(payload) ?? false };
  }

  /** One step of a delivery. */
  step(process: Process, job: Job): void {
    if (!job.ledgerOnly) {
      work(this, process, job);
      return;
    }
    if (suspect(this, process, job)) return;
    if (job.alone && !job.spawned && !begin(this, process, job)) return;
    if (job.alone && job.memo === null) job.stage = 0;
    if (job.stage === 0) {
      job.memo = readFor(this, job.mail);
      job.stage = 1;
      return;
    }
    const said = settle(this, process, job, decideOn(this, job.mail, job.memo));
    this.trace?.(`${process.name} settles ${job.mail.id}: ${said}`);
  }

  /** The gate before anything is spawned, and what must hold once it let somebody through (rules 1, 17, 20). */
  begin(process: Process, job: Job, publish: readonly FollowUp[]): string {
    const { fabric } = this;
    const { row, mail } = job;
    // The bus's own beginning of what runs alone asks nothing of the task.
    const nothing = job.ledgerOnly ? { living: false, afterEnd: true } : {};
    const demands = { ...this.demandsOf(process, mail), ...nothing };
    const sent = publish.map((next) => followUpOf(mail, next));
    const isOurs = this.#isHolder(process, row);
    const asked = { claim: row, group: process.service, consumer: process.name, epoch: job.epoch, alone: job.alone };
    const said = fabric.begin({ ...asked, ...demands, publish: sent });
    this.trace?.(`${process.name} begins ${mail.id} in epoch ${job.epoch}: ${said}`);
    if (said !== 'ok') return said;
    assert(isOurs, `${process.name} began ${mail.id} without the claim`);
    const { epoch, fleet } = fabric.state;
    assert(fleet !== 'stopped' && epoch === job.epoch, `${mail.id} began after STOP: epoch ${job.epoch}, now ${epoch}`);
    const status = this.statusOf(mail.task);
    assert(demands.afterEnd || status === null || !endedTask(status), `${mail.id} began for a task that is ${status}`);
    if (mail.type === 'subtask.dispatched') this.#assertDependencies(mail);
    return said;
  }

  /** Whoever works starts from all that its subtask depends on. */
  #assertDependencies({ task, payload }: Mail): void {
    const board = this.fabric.state.hashes.get(boardKey(task));
    type Part = { attempt: number; depends_on: string[]; state: string };
    const part = board?.get(`s:${payload.subtask_id}`) as Part | undefined;
    // A copy of the message may come after its attempt has ended: workers refuse it by their own record.
    if (part === undefined || part.attempt !== payload.attempt || !['ready', 'working'].includes(part.state)) return;
    const held = this.hubOf(task).contentOf(payload.integration);
    for (const id of part.depends_on) {
      const on = board?.get(`s:${id}`) as Part | undefined;
      assert(on?.state === 'merged' || on?.state === 'reported', `${payload.subtask_id} began before ${id} had ended`);
      if (on.state === 'merged') assert(held.has(id), `${payload.subtask_id} began from where ${id} is not yet in`);
    }
  }

  #isHolder(process: Process, row: Row): boolean {
    const pending = this.fabric.state.inboxes.get(row.inbox)?.pending.get(row.id);
    return pending?.owner === process.name && pending.deliveries === row.deliveries;
  }

  /** Settles; what succeeds was settled by whoever holds the claim, and a claim is lost to somebody (rules 1 and 2). */
  settle(process: Process, job: Job, settlement: Settlement): string {
    const isOurs = this.#isHolder(process, job.row);
    const stands = settlement.write.map((write) =>
      write.op === 'patch' ? Number(this.fabric.state.hashes.get(write.key)?.get('revision') ?? 0) : 0,
    );
    const [said = 'lost'] = this.fabric.settle(process.service, process.name, [settlement]);
    if (said === 'ok') {
      assert(isOurs, `${process.name} settled ${job.mail.id} without the claim`);
      settlement.write.forEach((write, at) => {
        assert(write.op !== 'patch' || write.revision === stands[at], `${job.mail.id} wrote over a newer ${write.key}`);
      });
      const late = settlement.epoch !== null && settlement.epoch !== this.fabric.state.epoch;
      assert(!late, `${job.mail.id} was settled by work of an older epoch`);
      if (settlement.ending.end !== 'keep' && settlement.ending.end !== 'saved') this.claims.ended(job.row);
    }
    if (said === 'lost') this.claims.lost(process.name, job.row);
    return said;
  }

  over(process: Process, job: Job): void {
    job.spawned = false;
    process.drop(job);
  }

  /** Alarms are set after the settlement, and hold only an id (rule 15). */
  alarm(id: string, delayMs: number): void {
    this.alarms.push({ id, due: this.now + delayMs });
  }

  /** Deaths are those of processes that held it, never deliveries (rule 6). A failover may bring a dead holder back. */
  assertDeaths(row: Row): void {
    if (row.deaths === 0 || this.failovers > 0) return;
    const crashes = this.#crashes.get(`${row.inbox}|${row.id}`) ?? 0;
    assert(
      row.deaths <= crashes,
      `${row.deaths} deaths are counted of ${row.id}, and ${crashes} processes died over it`,
    );
  }

  died(mail: Mail, code: string, row: Row): void {
    this.codes.set(mail.id, code);
    this.trace?.(`${mail.id} is a dead letter: ${code}`);
    const crashes = this.#crashes.get(`${row.inbox}|${row.id}`) ?? 0;
    if (code === 'POISON')
      assert(crashes >= 3, `${mail.id} died of poison, but only ${crashes} processes died over it`);
  }

  kill(process: Process, why: string): void {
    this.trace?.(`${process.name} is killed (${why})`);
    process.dead = true;
    process.jobs = [];
    for (const row of this.fabric.pendingAt(process.service, process.name)) {
      const key = `${row.inbox}|${row.id}`;
      this.#crashes.set(key, (this.#crashes.get(key) ?? 0) + 1);
    }
    this.processes = this.processes.filter((one) => one !== process);
    this.start(process.service, process.slots);
  }

  /** SIGTERM: it takes nothing more, gives back what it can, and says goodbye once it holds nothing (rule 5). */
  shutDown(process: Process): void {
    this.trace?.(`${process.name} is shut down`);
    process.close();
    if (this.breaks.has('shutdown gives nothing back')) this.#replace(process);
  }

  goodbye(process: Process): void {
    const forgotten = this.fabric.bury(process.service, process.name, '') === 1;
    this.trace?.(`${process.name} says goodbye${forgotten ? '' : ', and leaves what never arrived there'}`);
    // What Redis thinks was delivered there is taken over as from a dead process.
    if (!forgotten) this.kill(process, 'it left entries');
    else this.#replace(process);
  }

  #replace(process: Process): void {
    process.dead = true;
    process.jobs = [];
    this.processes = this.processes.filter((one) => one !== process);
    this.start(process.service, process.slots);
  }

  /** A command reaches the key: no word that was said before a STOP ends it (rule 18). */
  control(word: Word, said: number): { answer: string; epoch: number; state: string } {
    const before = this.fabric.state.fleet;
    const reply = this.fabric.control(word);
    this.trace?.(`${word.word} ${word.scope} (said ${said}, expects ${word.expected}): ${reply.answer} ${reply.state}`);
    if (word.scope !== '' || reply.answer !== 'ok') return reply;
    if (word.word === 'STOP_ALL') this.stopSaid = Math.max(this.stopSaid, said);
    if (before === 'stopped' && reply.state !== 'stopped')
      assert(said >= this.stopSaid, 'an old word ended a newer STOP');
    return reply;
  }

  replicate(): void {
    this.#replica = { state: this.fabric.copy(), whereabouts: this.whereabouts.copy() };
  }

  /** The primary is lost, and with it what the replica had not yet seen. */
  failOver(): void {
    if (this.#replica === null) return;
    this.failovers += 1;
    this.trace?.('failover');
    this.fabric.restore(this.#replica.state);
    this.whereabouts = this.#replica.whereabouts;
    this.fabric.witness = this.whereabouts;
    this.#replica = null;
    this.replicate();
    this.claims.forget();
    this.alarms = [];
    for (const one of this.processes) {
      if (one.canAct) one.reconnect();
      if (!this.breaks.has('decisions outlive a failover')) one.forgetDecisions();
    }
  }
}

/** Who took which entry last, by what was delivered: a claim may be lost to nobody else. */
class Claims {
  #last = new Map<string, string>();
  taken(consumer: string, row: Row): void {
    this.#last.set(`${row.inbox}|${row.id}`, `${consumer} ${row.deliveries}`);
  }
  ended(row: Row): void {
    this.#last.delete(`${row.inbox}|${row.id}`);
  }
  lost(consumer: string, row: Row): void {
    const last = this.#last.get(`${row.inbox}|${row.id}`);
    assert(last !== `${consumer} ${row.deliveries}`, `${consumer} lost an entry that nobody took from it`);
  }
  forget(): void {
    this.#last.clear();
  }
}
