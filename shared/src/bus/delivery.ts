/**
 * A delivery, and the tools that its handler gets.
 */
import type { Log } from '@nexus/shared/telemetry';
import type { Attempt, AttemptContext } from './attempt.ts';
import type { LiveEvent } from './journal.ts';
import type { Keys } from './keys.ts';
import type { FollowUp, LedgerWrite } from './outcome.ts';
import type { Store } from './redis.ts';

/** One entry as it was delivered. Together with the consumer's name, `deliveries` is the claim token (rule 1). */
export type Delivery = {
  inbox: string;
  entryId: string;
  deliveries: number;
  body: string;
  epoch: number;
  deaths: number;
  diedAlone: boolean;
};

/** What a delivery asks of its task, in the scripts' words: '1' if it must be there, '1' if it may have ended. */
export type TaskDemands = readonly ['' | '1', '' | '1'];

/** What a handler gets besides its message. */
export type HandlerTools = {
  /** Bound to the message. */
  log: Log;
  /** Aborts on a lost claim, STOP, cancellation, shutdown; its reason is an AppError. */
  signal: AbortSignal;
  /** Milliseconds, corrected to the clock of Redis. */
  now(): number;
  /** `token` is unique per consumer and delivery, and may stand in file names and refs. */
  claim: { instanceId: string; token: string; epoch: number };
  store: Store;
  keys: Keys;
  /** Before anything is spawned (rule 20): throws CLAIM_LOST, STOPPED or TASK_ENDED; publishes in the same step. */
  begin(publish?: FollowUp[]): Promise<void>;
  /**
   * Writes the ledger in the middle of a delivery, guarded by the claim, under any epoch; progress forgets the
   * deaths of its entry (rule 6). Throws CLAIM_LOST.
   */
  checkpoint(write: LedgerWrite[], isProgress?: boolean): Promise<void>;
  /** Tells observers; never waits, may be dropped when flooded. */
  tell(event: LiveEvent): void;
};

/** The tools of one delivery. Nothing is made that a handler does not ask for (rule 14). */
export class DeliveryTools {
  readonly #attempt: Attempt;
  readonly #context: AttemptContext;
  #log: Log | undefined;
  readonly store: Store;
  readonly keys: Keys;
  readonly tell: HandlerTools['tell'];

  constructor(attempt: Attempt, context: AttemptContext) {
    this.#attempt = attempt;
    this.#context = context;
    this.store = context.store;
    this.keys = context.keys;
    this.tell = context.tell;
    Object.assign(this, context.tools);
  }

  get log(): Log {
    const { message } = this.#attempt;
    this.#log ??= this.#context.log.child({
      message_id: message?.message_id,
      type: message?.type,
      task: this.#attempt.task || undefined,
    });
    return this.#log;
  }

  get signal(): AbortSignal {
    return this.#attempt.signal;
  }

  get claim(): HandlerTools['claim'] {
    const { delivery } = this.#attempt;
    const { instanceId } = this.#context;
    return { instanceId, token: tokenOf(instanceId, delivery), epoch: delivery.epoch };
  }

  get now(): HandlerTools['now'] {
    return () => Date.now() + this.#context.skewMs();
  }

  get begin(): HandlerTools['begin'] {
    return (publish = []) => this.#attempt.begin(publish);
  }

  get checkpoint(): HandlerTools['checkpoint'] {
    return (write, isProgress) => this.#attempt.checkpoint(write, isProgress);
  }
}

/** (consumer name, delivery count, entry): names a claim in folders and refs. */
export const tokenOf = (instanceId: string, delivery: Pick<Delivery, 'entryId' | 'deliveries'>): string =>
  `${instanceId}.${delivery.entryId}.${delivery.deliveries}`.replaceAll(/[^A-Za-z0-9.-]/g, '-');

/** The entry and the delivery that a token names; null for a text that is none. */
export const partsOfToken = (token: string): Pick<Delivery, 'entryId' | 'deliveries'> | null => {
  const [, entryId, deliveries] = /\.(\d+-\d+)\.(\d+)$/.exec(token) ?? [];
  return entryId === undefined ? null : { entryId, deliveries: Number(deliveries) };
};
