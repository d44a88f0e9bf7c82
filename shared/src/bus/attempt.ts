/**
 * Stage 3: one delivery from its text to its settlement. Never throws: every failure becomes an outcome.
 *
 *   parse → [refused: dead] → handler → outcome → settle ─ ok ──────→ over
 *                                ↑                 ├─ moved ─ again, with what the ledger says now
 *                                └─────────────────┘─ epoch ─ given back
 *                                                  └─ lost ── over; nothing was changed
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { type AppError, fail, toAppError } from '@nexus/shared/errors';
import { entryOf } from '@nexus/shared/messages';
import type { ServiceName } from '@nexus/shared/messages/domain';
import type { Log } from '@nexus/shared/telemetry';
import type { Alarms } from './alarms.ts';
import { type Delivery, DeliveryTools, type HandlerTools, type TaskDemands } from './delivery.ts';
import {
  type Envelope,
  encodeEnvelope,
  followUpEnvelope,
  type Message,
  readEnvelope,
  salvageEnvelope,
  taskOf,
  triesOf,
  unreadableId,
} from './envelope.ts';
import { exhausted, outcomeOf, outcomeOfThrown, retryOf, unwanted } from './failure.ts';
import { type LiveEvent, settledLine } from './journal.ts';
import type { Keys } from './keys.ts';
import { lastWordsOf, letterOf } from './last-words.ts';
import { type FollowUp, type LedgerWrite, type Outcome, postpone } from './outcome.ts';
import { retryDelayMs } from './park.ts';
import { journalText } from './publish.ts';
import { callScript, type Redis, type Store } from './redis.ts';
import type { Ending, Outgoing, Settled, Settlement, Settler } from './settle.ts';

export type AnyHandler = (message: Message, tools: HandlerTools) => Outcome | Promise<Outcome>;

export type AttemptContext = {
  service: ServiceName;
  instanceId: string;
  redis: Redis;
  keys: Keys;
  store: Store;
  settler: Settler;
  alarms: () => Alarms;
  handlers: Readonly<Record<string, AnyHandler>>;
  /** What `open()` of the service made. */
  tools: object;
  log: Log;
  tell(event: LiveEvent): void;
  skewMs(): number;
  retryBaseMs: number;
  journalMax: number;
  /** Scopes whose STOP concerns this delivery, such as `task:x`. */
  scopesOf(message: Message): string[];
  measure(type: string, outcome: string, durationMs: number): void;
  /** How often the connection to Redis has broken. */
  breaks(): number;
};

/** How long a message waits whose task, agent, service or instance is stopped, before it is looked at again. */
const heldMs = 2000;
/** How often a handler runs again because the ledger moved under it, before the message is parked instead. */
const rerunsMax = 50;

export class Attempt {
  readonly delivery: Delivery;
  readonly message: Message | null;
  readonly refusal: AppError | null = null;
  readonly ledgerOnly: boolean;
  readonly #context: AttemptContext;
  #abort: AbortController | null = null;
  #abortReason: AppError | null = null;
  /** How often the connection had broken when that was learnt. */
  #abortBreaks = 0;
  /** A STOP of its task, agent, service or instance holds it: given back it would come again at once. */
  #held = false;
  /** When the message that was parked last is due, for its alarm. */
  #alarmMs = 0;
  /** How often the connection had broken when the handler began to read. */
  #breaks = 0;
  /** True once the handler has said its outcome, and only the settlement is waited for. */
  answered = false;
  /** True where its claim was lost: nothing was settled. */
  lost = false;

  constructor(delivery: Delivery, context: AttemptContext) {
    this.delivery = delivery;
    this.#context = context;
    let message: Message | null = null;
    try {
      message = readEnvelope(delivery.body, context.service, delivery.entryId);
      // Read first: whoever waits for this message has to be told.
      if (delivery.diedAlone) throw fail('POISON', { deaths: delivery.deaths });
    } catch (error) {
      this.refusal = toAppError(error);
    }
    this.message = message;
    this.ledgerOnly = message === null || entryOf(message.type).ledgerOnly;
  }

  /** The chain that this message has to wait in, or null. */
  get serialKey(): string | null {
    const { message } = this;
    return message !== null && entryOf(message.type).serial === 'task' ? this.task : null;
  }

  /** The task that it is work for; '' where the message cannot be read. */
  get task(): string {
    return this.message === null ? '' : taskOf(this.message);
  }

  get taskDemands(): TaskDemands {
    if (this.message === null) return ['', ''];
    const { living, afterEnd } = entryOf(this.message.type);
    return [living ? '1' : '', afterEnd?.(this.message.payload) ? '1' : ''];
  }

  get claimScopes(): string[] {
    return this.message === null ? [] : this.#context.scopesOf(this.message);
  }

  /** Ends the local work; the first reason stays. */
  abort(reason: AppError, held = false): void {
    this.#held ||= held;
    if (this.#abortReason === null) this.#abortBreaks = this.#context.breaks();
    this.#abortReason ??= reason;
    this.#abort?.abort(this.#abortReason);
  }

  /** Runs the handler and settles what it returns, as often as the ledger moves under it. */
  async run(alone: boolean): Promise<void> {
    const began = performance.now();
    for (let reruns = 0; ; reruns += 1) {
      this.answered = false;
      this.#breaks = this.#context.breaks();
      const handled = this.#handle(alone);
      // Nothing is waited for that is there already: a promise more costs a twentieth of a message.
      const outcome = this.#bounded(handled instanceof Promise ? await handled : handled);
      this.answered = true;
      const settled = await this.#settle(outcome, performance.now() - began);
      if (settled !== 'moved') {
        const over = settled === 'ok' && outcome.is === 'done' && outcome.publish.every((next) => !next.delayMs);
        if (!over) await this.#after(outcome, settled);
        return;
      }
      // Another server knows nothing of that end, perhaps: whoever takes it next asks that one.
      if (outcome === unwanted) return void (await this.#settle({ is: 'give_back', why: 'Redis was gone' }, 0));
      if (reruns >= rerunsMax) {
        await this.#settle(retryOf(fail('UNEXPECTED', { message: 'the ledger moved under every run' })), 0);
        return;
      }
      if (reruns > 0) await sleep(Math.random() * Math.min(50, 2 ** reruns));
    }
  }

  #handle(alone: boolean): Outcome | Promise<Outcome> {
    const { message } = this;
    const context = this.#context;
    if (this.refusal !== null) return outcomeOf(this.refusal);
    if (message === null) return outcomeOf(fail('BUG', { message: 'neither message nor refusal' }));
    try {
      if (this.#abortReason && !this.ledgerOnly) throw this.#abortReason;
      const handler = context.handlers[message.type];
      if (!handler)
        throw fail('MESSAGE_UNKNOWN', {
          type: message.type,
          service: context.service,
          known: Object.keys(context.handlers).join(', '),
        });
      const tools = new DeliveryTools(this, context);
      const outcome = alone ? this.begin([], true).then(() => handler(message, tools)) : handler(message, tools);
      return outcome instanceof Promise ? outcome.catch(outcomeOfThrown) : outcome;
    } catch (error) {
      return outcomeOfThrown(error);
    }
  }

  /** A retry too many is a dead letter: decided here, so that meters, log and settlement agree. */
  #bounded(outcome: Outcome): Outcome {
    if (outcome.is === 'give_back' && this.#held)
      return postpone(Date.now() + this.#context.skewMs() + heldMs, outcome.why);
    if (outcome.is !== 'retry' || this.message === null) return outcome;
    const { attempt, type } = this.message;
    return triesOf(this.message) > entryOf(type).retries ? exhausted(outcome, attempt) : outcome;
  }

  /** What a renewal found out, as the reason to end the local work. */
  reasonOf(renewed: 'lost' | 'ended' | 'stopped'): AppError {
    if (renewed === 'ended') return fail('TASK_ENDED', { task: this.task, status: 'cancelled, failed or deleted' });
    if (renewed === 'stopped') return fail('STOPPED', { epoch: this.delivery.epoch });
    return fail('CLAIM_LOST', { id: this.message?.message_id ?? this.delivery.entryId });
  }

  /** The signal that handlers see; made when first asked for. */
  get signal(): AbortSignal {
    if (this.#abort === null) {
      this.#abort = new AbortController();
      if (this.#abortReason) this.#abort.abort(this.#abortReason);
    }
    return this.#abort.signal;
  }

  /** The gate before anything is spawned (rule 20). */
  async begin(publish: FollowUp[], alone = false): Promise<void> {
    const { message, delivery } = this;
    const { redis, keys, service, instanceId, journalMax } = this.#context;
    if (message === null) return;
    if (this.#abortReason) throw this.#abortReason;
    const out = publish.map((next) => this.#outgoing(message, next));
    const names = [delivery.inbox, keys.control, keys.task(this.task), keys.journal, keys.deaths];
    const values = [
      service,
      delivery.entryId,
      instanceId,
      delivery.deliveries,
      delivery.epoch,
      this.claimScopes.join(','),
      // What runs alone begins by our wish, not by its handler's: nothing is asked of its task for that.
      ...(alone ? ['', '1'] : this.taskDemands),
    ];
    const messages = out.flatMap(({ inbox, json, short }) => [inbox, json, short]);
    const said = String(
      await callScript(redis, 'nexusBegin', names, [...values, alone ? '1' : '0', journalMax, out.length, ...messages]),
    );
    if (said === 'ok') {
      // A word that was heard while the answer was on its way is newer than the answer.
      if (this.#abortReason) throw this.#abortReason;
      return;
    }
    const [what, detail = ''] = said.split(' ');
    if (what === 'type') throw fail('BUS_KEY_TYPE', { key: detail, found: 'nothing can be written there' });
    const reason =
      what === 'stopped' || what === 'held'
        ? fail('STOPPED', { epoch: detail })
        : what === 'ended'
          ? fail('TASK_ENDED', { task: this.task, status: detail })
          : fail('CLAIM_LOST', { id: message.message_id });
    this.abort(reason, what === 'held');
    throw reason;
  }

  /** Ledger writes in the middle of a delivery; valid under any epoch as long as the claim is (rule 17). */
  async checkpoint(write: LedgerWrite[], isProgress = false): Promise<void> {
    const settled = await this.#send({ end: isProgress ? 'saved' : 'keep' }, write, [], null, '');
    if (settled === 'ok') return;
    if (settled === 'moved')
      throw fail('TRANSITION_ILLEGAL', {
        what: 'A checkpoint',
        id: this.delivery.entryId,
        from: 'one revision',
        to: 'another',
      });
    const lost = fail('CLAIM_LOST', { id: this.message?.message_id ?? this.delivery.entryId });
    this.abort(lost);
    throw lost;
  }

  #outgoing(message: Envelope, next: FollowUp): Outgoing {
    const { keys, service, instanceId } = this.#context;
    const envelope = followUpEnvelope(message, { service, instance_id: instanceId }, next);
    const json = encodeEnvelope(envelope);
    const inbox = keys.inbox(envelope.to.service as ServiceName, envelope.priority);
    return { inbox, json, short: journalText(envelope, json), id: envelope.message_id, delayMs: next.delayMs ?? null };
  }

  #send(
    ending: Ending,
    write: LedgerWrite[],
    publish: Outgoing[],
    epoch: number | null,
    line: string,
    isUnwanted = false,
  ): Promise<Settled> {
    const { inbox, entryId, deliveries } = this.delivery;
    // Where the work is long it is not done again for that; its result is guarded by its attempt's number.
    const guarded = this.ledgerOnly && write.some(({ op }) => op === 'patch');
    const decidedAt = guarded ? this.#breaks : isUnwanted ? this.#abortBreaks : undefined;
    const settlement: Settlement = { inbox, entryId, deliveries, epoch, ending, line, write, publish, decidedAt };
    return this.#context.settler.settle(settlement);
  }

  /** What an outcome means: the one place that decides it. */
  #settle(outcome: Outcome, durationMs: number): Promise<Settled> {
    const envelope = this.message ?? salvageEnvelope(this.delivery.body, this.#context.service, this.delivery.entryId);
    const line = (what: string, code?: string): string =>
      settledLine(envelope, this.#context.instanceId, what, durationMs, code);
    this.#context.measure(this.message?.type ?? 'unreadable', outcome.is, durationMs);
    switch (outcome.is) {
      case 'done': {
        let publish: Outgoing[];
        try {
          publish = outcome.publish.map((next) => this.#outgoing(envelope, next));
        } catch (error) {
          return this.#settle(outcomeOf(toAppError(error)), durationMs);
        }
        const epoch = this.ledgerOnly ? null : this.delivery.epoch;
        return this.#send({ end: 'done' }, outcome.write, publish, epoch, line('done'), outcome === unwanted);
      }
      case 'retry': {
        const delayMs = outcome.afterMs ?? retryDelayMs(triesOf(envelope), this.#context.retryBaseMs);
        return this.#park(envelope, delayMs, line('retry', outcome.code), outcome);
      }
      case 'postpone':
        return this.#park(
          envelope,
          Math.max(0, outcome.untilMs - Date.now() - this.#context.skewMs()),
          line('postpone'),
          null,
        );
      case 'dead':
        return this.#bury(envelope, outcome, line);
      case 'give_back':
        return this.#send({ end: 'nobody' }, [], [], null, line('give_back'));
    }
  }

  #park(
    envelope: Envelope,
    delayMs: number,
    line: string,
    failed: { code: string; says: string } | null,
  ): Promise<Settled> {
    const { instanceId } = this.#context;
    const past = failed && {
      at: new Date().toISOString(),
      instance_id: instanceId,
      code: failed.code,
      says: failed.says.slice(0, 500),
    };
    const again: Envelope = past
      ? { ...envelope, attempt: envelope.attempt + 1, history: [...(envelope.history ?? []), past].slice(-20) }
      : envelope;
    const ending: Ending = {
      end: 'park',
      id: envelope.message_id,
      json: JSON.stringify(again),
      delayMs: Math.round(delayMs),
    };
    this.#alarmMs = ending.delayMs;
    return this.#send(ending, [], [], null, line);
  }

  #bury(
    envelope: Envelope,
    why: Extract<Outcome, { is: 'dead' }>,
    line: (what: string, code: string) => string,
  ): Promise<Settled> {
    const { service, instanceId } = this.#context;
    const letter = letterOf(envelope, why, { service, instance_id: instanceId });
    const death = { code: why.code, says: why.says.slice(0, 1000), at: letter.died_at };
    const word = lastWordsOf(envelope, this.message !== null, death);
    const publish = word === null ? [] : [this.#outgoing(envelope, { ...word, key: 'died' })];
    return this.#send(
      { end: 'dead', id: letter.id, json: JSON.stringify(letter) },
      [],
      publish,
      null,
      line('dead', why.code),
    );
  }

  /** What remains to be done and said once Redis has answered. */
  async #after(outcome: Outcome, settled: Settled): Promise<void> {
    const { log, alarms } = this.#context;
    const about = {
      message_id: this.message?.message_id ?? unreadableId(this.delivery.entryId),
      type: this.message?.type,
      task: this.task || undefined,
    };
    if (settled === 'epoch') {
      await this.#settle({ is: 'give_back', why: 'the epoch has changed' }, 0);
      return;
    }
    if (settled === 'lost' || settled === 'twice') {
      this.lost = true;
      log.warn({ ...about, outcome: outcome.is }, 'The claim was lost; nothing was settled');
      return;
    }
    if (settled.startsWith('type ')) {
      log.error({ ...about, key: settled.slice(5) }, 'A key of the ledger has the wrong type; the message is parked');
      await this.#settle(
        retryOf(fail('BUS_KEY_TYPE', { key: settled.slice(5), found: 'nothing can be written there' })),
        0,
      );
      return;
    }
    if (outcome.is === 'retry') log.warn({ ...about, code: outcome.code, causes: outcome.causes }, outcome.says);
    if (outcome.is === 'dead')
      log.error({ ...about, code: outcome.code, causes: outcome.causes }, `Dead letter: ${outcome.says}`);
    if (this.message === null) return;
    if (outcome.is === 'retry' || outcome.is === 'postpone') alarms().set(this.message.message_id, this.#alarmMs);
    if (outcome.is !== 'done') return;
    for (const next of outcome.publish) {
      if (next.delayMs !== undefined) alarms().set(this.#outgoing(this.message, next).id, next.delayMs);
    }
  }
}
