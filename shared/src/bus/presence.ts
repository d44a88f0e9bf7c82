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
  Pick<Presence, 'port' | 'slots' | 'running' | 'runtimes' | 'survivors' | 'state' | 'refuses' | 'credentials_for'>
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

/** Instances whose connection still bears their name: what was told by a killed process is not shown. */
export const readPresences = async (redis: Redis, keys: Keys): Promise<Presence[]> => {
  const [told, list] = await Promise.all([redis.hgetall(keys.presence), redis.client('LIST')]);
  const connected = new Set([...String(list).matchAll(/ name=(\S+)/g)].map((match) => match[1]));
  return Object.entries(told).flatMap(([name, text]) => {
    const read = presenceSchema.safeParse(JSON.parse(text));
    return read.success && connected.has(name) ? [read.data] : [];
  });
};
