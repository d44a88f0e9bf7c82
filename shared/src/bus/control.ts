/**
 * STOP_ALL, PAUSE_ALL, RESUME_ALL, DRAIN: the key decides, Pub/Sub only wakes, every beat re-reads the key.
 *
 * The epoch belongs to claims, never to messages (rule 17). A bare word on the channel is applied by
 * compare-and-swap on the epoch that the words before it led to; what a beat has learnt since may be newer than
 * the word. Refused means that the word may be older than what the key says, so the key is read again and every
 * word is ignored until the channel has been subscribed anew (rule 18). The command line and the API write the
 * key first and publish afterwards.
 *
 * Words are handled one after another: a word that follows a change must meet the epoch that it made.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { AppError, fail, toAppError } from '@nexus/shared/errors';
import type { Log } from '@nexus/shared/telemetry';
import { z } from 'zod';
import {
  type ControlWord,
  controlWords,
  demandTarget,
  idleOf,
  type Refusals,
  type Refused,
  readRefusals,
  type Scope,
  scopeField,
  understand,
} from './control-word.ts';
import type { Keys } from './keys.ts';
import { callScript, isConnectionError, type Redis } from './redis.ts';
import type { Confirm } from './replicas.ts';

export type FleetState = 'running' | 'stopped' | 'paused' | 'draining';

/** What the key says: the fleet's state, and the scopes that differ from it, such as `task:x` → `stopped`. */
export type ControlState = {
  epoch: number;
  state: FleetState;
  scopes: Record<string, string>;
  /** Who said so of each scope, and when, as far as it is known. */
  said: Record<string, { by: string; at: string }>;
  by: string | null;
  at: string | null;
  /** The last word on the channel that was refused; null where none was for a while. */
  refused: Refused | null;
  /** The last few of them, the newest first. */
  refusals: Refused[];
};

export type Control = {
  /** The highest pair that this process has seen. */
  known(): { epoch: number; state: FleetState };
  /** Takes over what a script has answered; older pairs are ignored. */
  learn(epoch: number, state: string): void;
  read(): Promise<ControlState>;
  /** Throws what is wrong with a command: CONTROL_IDLE; of a part CONTROL_TARGET, TASK_UNKNOWN, TASK_ENDED. */
  demand(word: ControlWord, scope: Scope | null): Promise<void>;
  /** Writes the key, then wakes everybody. Throws CONTROL_UNKNOWN, BUS_UNCONFIRMED. */
  command(word: string, scope: Scope | null, actor: string): Promise<ControlState>;
  /** Called after every change of epoch, state or scopes. */
  onChange(listener: () => void): void;
  close(): void;
};

type Options = {
  redis: Redis;
  listening: Redis;
  keys: Keys;
  channel: string;
  confirm: Confirm;
  log: Log;
  refusals: Refusals;
  silentMs: number;
};

/** Reads the key, subscribes, and keeps what it learns. */
export const openControl = async (options: Options): Promise<Control> => {
  const { redis, listening, keys, channel, confirm, log, refusals, silentMs } = options;
  const listeners: (() => void)[] = [];
  let known: { epoch: number; state: FleetState } = { epoch: 0, state: 'running' };
  // Words of an older generation came in before the last SUBSCRIBE confirmation: they may be older than the key.
  let generation = 0;
  let deaf = false;
  // The epoch that the words heard so far led to. A beat may know of a STOP that is newer than the next word.
  let heard = 0;
  let chain: Promise<void> = Promise.resolve();
  let closed = false;

  const tellAll = (): void => {
    for (const listener of listeners) listener();
  };
  const learn = (epoch: number, state: string): void => {
    if (epoch < known.epoch || (epoch === known.epoch && state === known.state)) return;
    // On equal epochs STOP wins, whatever comes in behind it.
    if (epoch === known.epoch && known.state === 'stopped') return;
    known = { epoch, state: state as FleetState };
    tellAll();
  };
  const read = async (): Promise<ControlState> => {
    const [{ epoch, state, by, at, ...scopes }, said, refusals] = await Promise.all([
      redis.hgetall(keys.control),
      redis.hgetall(keys.controlSaid).then(readSaid),
      readRefusals(redis, keys),
    ]);
    learn(Number(epoch ?? 0), state ?? 'running');
    return {
      epoch: Number(epoch ?? 0),
      state: (state ?? 'running') as FleetState,
      scopes,
      said: Object.fromEntries(Object.entries(said).filter(([scope]) => scope in scopes)),
      // A word about a part is the last word in the key, but not about the fleet.
      by: said.fleet?.by ?? (Object.keys(said).length > 0 ? null : (by ?? null)),
      at: said.fleet?.at ?? (Object.keys(said).length > 0 ? null : (at ?? null)),
      refused: refusals[0] ?? null,
      refusals,
    };
  };
  const apply = async (
    word: ControlWord,
    field: string,
    expected: number | null,
    actor: string,
  ): Promise<{ answer: 'ok' | 'idle' | 'refused'; epoch: number }> => {
    const values = [word, field, expected ?? '', actor, new Date().toISOString()];
    const reply = await callScript(redis, 'nexusControl', [keys.control, keys.controlSaid], values);
    const [answer, epoch, state] = reply as ['ok' | 'idle' | 'refused', number, string];
    learn(epoch, state);
    if (field !== '') tellAll();
    return { answer, epoch };
  };
  /**
   * What is heard while Redis takes no writes is written as soon as it does. A STOP counts here at once, as if it had
   * been: the next beat brings it, should the word itself come later.
   */
  const applyHeard = async (word: ControlWord, field: string): Promise<{ answer: string; epoch: number }> => {
    let raised: number | null = null;
    for (let tries = 0; ; tries += 1) {
      try {
        const said = await apply(word, field, heard, `channel ${channel}`);
        const isThere = said.answer === 'refused' && said.epoch === raised && known.state === 'stopped';
        return isThere ? { ...said, answer: 'ok' } : said;
      } catch (error) {
        if (closed || !isConnectionError(error)) throw error;
        if (tries === 0) log.warn({ word, reason: toAppError(error).message }, 'Redis takes no word now; it waits');
        if (word === 'STOP_ALL' && field === '' && known.epoch === heard) {
          raised = heard + 1;
          learn(raised, 'stopped');
        }
        await sleep(Math.min(1000, 50 * 2 ** tries));
      }
    }
  };
  const hear = async (text: string, heardIn: number): Promise<void> => {
    const said = understand(text, keys.prefix);
    if (said === null) return;
    if (said.epoch !== null) {
      await read();
      heard = Math.max(heard, said.epoch);
      tellAll();
      return;
    }
    if (heardIn !== generation) return;
    const field = scopeField(said.scope);
    const resumes = said.command === 'RESUME_ALL';
    if (!resumes) await demandTarget({ redis, keys, silentMs }, said.scope);
    const { answer, epoch } = await applyHeard(said.command, field);
    if (answer !== 'refused') {
      heard = epoch;
      if (resumes && answer === 'ok') void refusals.obeyed(text);
      if (answer === 'idle') refusals.refuseUnlessObeyed(text, async () => notHeld(await read(), said.scope));
      return;
    }
    generation += 1;
    deaf = true;
    heard = (await read()).epoch;
    try {
      await listening.unsubscribe(channel);
      await listening.subscribe(channel);
    } finally {
      // Where the connection broke meanwhile, the new one has a subscription of its own.
      deaf = false;
    }
  };

  const refuse = (text: string, thrown: unknown): Promise<void> => {
    if (thrown instanceof AppError) return refusals.refuse(text, thrown);
    throw thrown;
  };

  listening.on('message', (from: string, text: string) => {
    if (from !== channel) return;
    // What comes in before the new subscription stands belongs to no generation; only a written key counts then.
    const heardIn = deaf ? -1 : generation;
    chain = chain
      .then(() => hear(text, heardIn))
      .catch((thrown: unknown) => refuse(text, thrown))
      .catch((error: Error) => log.debug({ reason: error.message }, 'A control word could not be applied'));
  });
  /** Words of this subscription are newer than what is read before it. */
  const subscribe = async (): Promise<void> => {
    generation += 1;
    heard = await read().then(
      ({ epoch }) => epoch,
      () => heard,
    );
    await listening.subscribe(channel);
  };
  await subscribe();
  listening.on('ready', () => void subscribe().catch(() => undefined));
  await read();

  return {
    known: () => known,
    learn,
    read,
    demand: async (word, scope) => {
      const idle = word === 'RESUME_ALL' ? idleOf(await read(), scope) : null;
      if (idle !== null) throw idle;
      if (word !== 'RESUME_ALL') await demandTarget({ redis, keys, silentMs }, scope);
    },
    command: async (word, scope, actor) => {
      const command = z.enum(controlWords).safeParse(word.trim().toUpperCase());
      if (!command.success) throw fail('CONTROL_UNKNOWN', { word });
      const field = scopeField(scope);
      const begun = confirm.begin();
      await apply(command.data, field, null, actor);
      const wake = { command: command.data, ...(scope ? { scope } : {}), fabric: keys.prefix, epoch: known.epoch };
      await redis.publish(channel, JSON.stringify(wake));
      // Everybody has been told: whoever has heard of a STOP brings it back with its next beat (rule 19).
      await confirm.done(begun, { what: `the word ${command.data}`, again: 'Saying it again is safe.', fresh: true });
      return read();
    },
    onChange: (listener) => {
      listeners.push(listener);
    },
    close: () => {
      closed = true;
      listening.disconnect();
    },
  };
};

const readSaid = (fields: Record<string, string>): Record<string, { by: string; at: string }> =>
  Object.fromEntries(
    Object.entries(fields).map(([scope, text]) => [scope, JSON.parse(text) as { by: string; at: string }]),
  );

const notHeld = (state: ControlState, scope: Scope | null): AppError =>
  idleOf(state, scope) ?? fail('CONTROL_IDLE', { what: 'it', held: 'It was held a moment later.' });
