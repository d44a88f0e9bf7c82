/**
 * Presence: what an instance tells of itself with its beat, and what observers read of it.
 */
import { hostname } from 'node:os';
import { type Presence, presence as presenceSchema, type ServiceName } from '@nexus/shared/messages/domain';
import type { Control } from './control.ts';
import type { Keys } from './keys.ts';
import type { Redis } from './redis.ts';

/** What an instance tells of itself with its beat. */
export type Told = Partial<
  Pick<
    Presence,
    | 'port'
    | 'slots'
    | 'running'
    | 'runtimes'
    | 'survivors'
    | 'state'
    | 'refuses'
    | 'agents'
    | 'agents_unread'
    | 'credentials_for'
    | 'sandbox'
  >
>;

type PresenceOptions = {
  instanceId: string;
  service: ServiceName;
  version: string;
  control: Control;
  busy(): number;
  quiet(): boolean;
};

/** What this instance tells; `toTell` gives it only when it differs from what was told last. */
export const makePresence = (options: PresenceOptions) => {
  let told: Told = {};
  let last = '';
  let confirmed = 0;
  const now = (): Presence => {
    const { epoch, state } = options.control.known();
    if (state === 'stopped' && options.quiet()) confirmed = epoch;
    return {
      instance_id: options.instanceId,
      service: options.service,
      host: hostname(),
      pid: process.pid,
      port: null,
      started_at: startedAt,
      version: options.version,
      slots: 0,
      busy: options.busy(),
      epoch,
      confirmed_epoch: confirmed,
      survivors: [],
      running: [],
      runtimes: [],
      ...told,
      state: told.state ?? (state === 'running' ? 'serving' : state),
    };
  };
  return {
    change: (next: Told): void => {
      told = { ...told, ...next };
    },
    /** What was told may not have arrived, or may be gone: tell it again. */
    forget: (): void => {
      last = '';
    },
    told: (): boolean => JSON.stringify(now()) === last,
    toTell: (): Presence | null => {
      const next = now();
      const text = JSON.stringify(next);
      if (text === last) return null;
      last = text;
      return next;
    },
  };
};
const startedAt = new Date().toISOString();

/**
 * The state of an instance as people should see it: it tells what it knows of the fleet, but it, or its service, may be
 * held by itself. Of two holds the firmer one counts.
 */
export const stateUnder = (
  scopes: Readonly<Record<string, string>>,
  { state, service, instance_id }: Pick<Presence, 'state' | 'service' | 'instance_id'>,
): Presence['state'] => {
  const held = [scopes[`service:${service}`], scopes[`instance:${instance_id}`], state];
  return firmest.find((one) => held.includes(one)) ?? state;
};
const firmest = ['stopped', 'paused', 'draining'] as const;

/**
 * Instances whose connection still bears their name: what was told by a killed process is not shown. One that has asked
 * Redis nothing for `silentMs` has not beaten either: it is paused, or its event loop stands.
 */
export const readPresences = async (redis: Redis, keys: Keys, silentMs: number): Promise<Presence[]> => {
  const [told, list] = await Promise.all([redis.hgetall(keys.presence), redis.client('LIST')]);
  const idle = idleSeconds(String(list));
  const now = Date.now();
  return Object.entries(told).flatMap(([name, text]) => {
    const read = presenceSchema.safeParse(JSON.parse(text));
    const seconds = idle.get(name);
    if (!read.success || seconds === undefined) return [];
    // Where only such stand that tell nothing, it is about to connect anew.
    const silent = Number.isFinite(seconds) && seconds * 1000 >= silentMs;
    return [silent ? { ...read.data, silent_since: new Date(now - seconds * 1000).toISOString() } : read.data];
  });
};

/**
 * For how long each name on CLIENT LIST has asked nothing. An answer counts as life there as much as a question, so
 * connections that Redis writes to by itself, subscribers and blocked readers, tell nothing.
 * https://redis.io/docs/latest/commands/client-list/
 */
export const idleSeconds = (list: string): Map<string, number> => {
  const found = new Map<string, number>();
  for (const line of list.split('\n')) {
    const { name, idle, sub, cmd } = Object.fromEntries(line.trim().split(' ').map(field)) as Record<string, string>;
    if (name === undefined || name === '') continue;
    const asks = sub === '0' && cmd !== 'xreadgroup' && cmd !== 'bzpopmin';
    const seconds = asks ? Number(idle) : Number.POSITIVE_INFINITY;
    found.set(name, Math.min(seconds, found.get(name) ?? Number.POSITIVE_INFINITY));
  }
  return found;
};

const field = (text: string): [string, string] => {
  const at = text.indexOf('=');
  return [text.slice(0, at), text.slice(at + 1)];
};
