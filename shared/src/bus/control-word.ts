/**
 * What people say on the control channel: read here, looked at, and refused where it cannot be meant.
 *
 * Everybody hears a word and nobody can answer it there, so one of those who refuse it says why, for all of them: a
 * line in the log, an event in the journal, and a note that `nexus status` shows. Nothing is changed.
 */
import { hash } from 'node:crypto';
import { type AppError, fail } from '@nexus/shared/errors';
import { endedTask, serviceName, taskStatus } from '@nexus/shared/messages/domain';
import type { Log } from '@nexus/shared/telemetry';
import { z } from 'zod';
import type { Teller } from './journal.ts';
import type { Keys } from './keys.ts';
import { readPresences } from './presence.ts';
import type { Redis } from './redis.ts';

export const controlWords = ['STOP_ALL', 'PAUSE_ALL', 'RESUME_ALL', 'DRAIN'] as const;
export type ControlWord = (typeof controlWords)[number];
export type Scope = { task: string } | { agent: string } | { service: string } | { instance: string };

/** A word of the channel that was refused. */
export type Refused = { text: string; code: string; says: string; at: string };

export type Said = { command: ControlWord; scope: Scope | null; epoch: number | null };

/** The field of a scope, such as `task:x`; '' for the fleet. Throws CONTROL_SCOPE. */
export const scopeField = (scope: object | null | undefined): string => {
  if (scope === null || scope === undefined) return '';
  const told = Object.entries(scope).filter(([, value]) => value !== undefined);
  const [[kind = '', id] = []] = told;
  const shown = JSON.stringify(scope).slice(0, shownMax);
  const wrong = (problem: string) => fail('CONTROL_SCOPE', { scope: shown, problem });
  if (told.length !== 1) throw wrong('it names one part, and one only');
  if (!parts.includes(kind)) throw wrong(`"${kind}" is no kind of part`);
  if (typeof id !== 'string' || id === '') throw wrong(`its ${kind} is a text`);
  return `${kind}:${id}`;
};
const parts = ['task', 'agent', 'service', 'instance'];
const shownMax = 200;

/** What a text on the channel says; null where it is for another fabric. Throws CONTROL_UNKNOWN or CONTROL_SCOPE. */
export const understand = (text: string, prefix: string): Said | null => {
  const word = wordOf(text);
  if (word !== null) return { command: word, scope: null, epoch: null };
  const said = parsed(text);
  if (typeof said !== 'object' || said === null) throw fail('CONTROL_UNKNOWN', { word: text.slice(0, shownMax) });
  const { command, scope, fabric, epoch, ...others } = said as Record<string, unknown>;
  if (fabric !== undefined && fabric !== prefix) return null;
  const named = typeof command === 'string' ? wordOf(command) : null;
  if (named === null) throw fail('CONTROL_UNKNOWN', { word: String(command ?? text).slice(0, shownMax) });
  const [other] = Object.keys(others);
  // Whoever writes {"command": "STOP_ALL", "task": "x"} does not mean the whole fleet.
  if (other !== undefined) {
    const problem = `"${other}" stands beside "scope", not in it`;
    throw fail('CONTROL_SCOPE', { scope: text.slice(0, shownMax), problem });
  }
  if (typeof scope !== 'object' && scope !== undefined) {
    throw fail('CONTROL_SCOPE', { scope: JSON.stringify(scope), problem: 'it is an object' });
  }
  scopeField(scope);
  const known = (scope ?? null) as Scope | null;
  return { command: named, scope: known, epoch: typeof epoch === 'number' ? epoch : null };
};

const wordOf = (text: string): ControlWord | null =>
  z.enum(controlWords).safeParse(text.trim().toUpperCase()).data ?? null;

const parsed = (text: string): unknown => {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
};

type Looking = { redis: Redis; keys: Keys; silentMs: number };

/**
 * Throws where a part does not exist or has ended: a hold on it would lie there for ever. TASK_UNKNOWN, TASK_ENDED,
 * CONTROL_TARGET. Which agents there are, project managers tell; where none lives, any is taken.
 */
export const demandTarget = async ({ redis, keys, silentMs }: Looking, scope: Scope | null): Promise<void> => {
  const { task, agent, service, instance } = (scope ?? {}) as Partial<Record<string, string>>;
  if (task !== undefined) {
    const status = taskStatus.safeParse(await redis.hget(keys.task(task), 'status')).data;
    if (status !== undefined && endedTask(status)) throw fail('TASK_ENDED', { task, status });
    if (status === undefined && (await redis.exists(keys.seen(`task:${task}`))) === 0)
      throw fail('TASK_UNKNOWN', { task });
  }
  if (service !== undefined) demandOneOf('service', service, serviceName.options);
  if (agent === undefined && instance === undefined) return;
  const living = await readPresences(redis, keys, silentMs);
  const agents = [...new Set(living.flatMap((one) => one.agents ?? []))];
  if (agent !== undefined && agents.length > 0) demandOneOf('agent', agent, agents);
  if (instance === undefined) return;
  const ids = living.map(({ instance_id }) => instance_id);
  demandOneOf('instance', instance, ids);
};

const demandOneOf = (kind: string, id: string, known: readonly string[]): void => {
  if (known.includes(id)) return;
  const there = known.length === 0 ? 'None is alive.' : `There are: ${known.join(', ')}.`;
  throw fail('CONTROL_TARGET', { kind, id, known: there });
};

type Refusing = { redis: Redis; keys: Keys; log: Log; channel: string; tell: Teller['tell']; noteMs: number };

/** So long after a word somebody may still answer for it: all who listen hear it at nearly the same time. */
const heardMs = 3000;
/** So many of the last are kept: who corrects a word that was refused may be wrong again. */
const refusalsMax = 5;
/** How long whoever applied a word may need to say so. */
const lateMs = 300;

export const makeRefusals = ({ redis, keys, log, channel, tell, noteMs }: Refusing) => {
  /** True for the first who asks of this text: that one answers for all. At maxmemory everybody does. */
  const answersFor = async (text: string): Promise<boolean> => {
    const key = keys.controlHeard(hash('sha256', text, 'hex').slice(0, 32));
    return (await redis.set(key, '1', 'PX', heardMs, 'NX').catch(() => 'OK')) === 'OK';
  };
  const refuse = async (text: string, error: AppError): Promise<void> => {
    if (!(await answersFor(text))) return;
    const said = text.slice(0, shownMax);
    const refused: Refused = { text: said, code: error.code, says: error.message, at: new Date().toISOString() };
    log.warn(
      { channel, text: said, code: error.code, do: error.entry.operator },
      `A word on the control channel was refused, and nothing was changed: ${error.message}`,
    );
    tell({ event: 'control.refused', task_id: '', text: error.message, data: refused });
    await redis
      .multi()
      .lpush(keys.controlRefusals, JSON.stringify(refused))
      .ltrim(keys.controlRefusals, 0, refusalsMax - 1)
      .pexpire(keys.controlRefusals, noteMs)
      .exec();
  };
  return {
    /** Somebody obeyed this word: who comes too late with it has nothing to say. */
    obeyed: async (text: string): Promise<void> => void (await answersFor(text)),
    /** Says of a word why it is refused. */
    refuse,
    /** As `refuse`, unless somebody obeyed it: a RESUME finds nothing held behind another who heard it, too. */
    refuseUnlessObeyed: (text: string, why: () => Promise<AppError>): void => {
      const later = async () => refuse(text, await why());
      setTimeout(() => void later().catch(() => undefined), lateMs).unref();
    },
  };
};
export type Refusals = ReturnType<typeof makeRefusals>;

type Held = { state: string; scopes: Readonly<Record<string, string>> };

/** What is wrong with a RESUME where nothing is held; null where something is. */
export const idleOf = ({ state, scopes }: Held, scope: Scope | null): AppError | null => {
  const field = scopeField(scope);
  if (field === '' ? state !== 'running' : scopes[field] !== undefined) return null;
  const held = Object.entries(scopes).map(([part, is]) => `${part} (${is})`);
  const fleet = field === '' || state === 'running' ? '' : `The fleet as a whole is ${state}. `;
  return fail('CONTROL_IDLE', {
    what: field === '' ? 'the fleet' : field.replace(':', ' '),
    held: `${fleet}${held.length === 0 ? 'No part is held by itself.' : `Held by themselves: ${held.join(', ')}.`}`,
  });
};

/** The last words that were refused, the newest first. */
export const readRefusals = async (redis: Redis, keys: Keys): Promise<Refused[]> =>
  (await redis.lrange(keys.controlRefusals, 0, -1)).flatMap((text) => (parsed(text) as Refused | null) ?? []);
