/**
 * The governor: how much goes at a time to a provider's account and model, for the whole fleet together.
 *
 *   concurrency  begins at NEXUS_PROVIDER_START; one more a round while all goes well, half when it was too much
 *   rate         a token bucket where NEXUS_PROVIDER_RATES names one
 *   retry-after  nobody sends before the provider said so
 *   breaker      closed ──failures in a row──▶ open ──its time is over──▶ half-open: one probe
 *                  ▲──────── the probe is answered ──────────────────────────┘ └─ it fails ─▶ open, twice as long
 *
 * A flight is one call, or one process of a CLI. It belongs to a claim like a reservation (`budgets.ts`), and is freed
 * in the same way: where all places are taken, those of owners that are gone are given back.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Bus } from '@nexus/shared/bus';
import { fail } from '@nexus/shared/errors';
import { recordOf } from './budgets.ts';
import type { SpendConfig } from './settings.ts';

/** Calls are made one by one; processes make theirs themselves. They are counted apart. */
export type Lane = { kind: 'call' | 'process'; provider: string; account: string; model: string };

/** How a flight ended, or what its provider said meanwhile. */
export type Report =
  | { is: 'well' | 'failed' | 'unused' }
  /** `wholeAccount`: whatever the model, as with a window that is used up. */
  | { is: 'limited'; retryAfterMs: number | null; wholeAccount?: boolean };

export type GovernorState = { side_by_side: number; limited_until: number; broken_until: number };

export type Governor = {
  /** Takes a place, waiting for one up to `waitMs`. Throws `PROVIDER_LIMITED` (details: `until`), or what aborts. */
  admit(lane: Lane, id: string, waitMs: number, signal?: AbortSignal): Promise<void>;
  /** Gives the place back; with `goesOn` it is kept, as by a process that was told to slow down. */
  report(lane: Lane, id: string, report: Report, goesOn?: boolean): Promise<GovernorState>;
};

type Parts = {
  bus: Pick<Bus, 'side' | 'keys'>;
  config: SpendConfig;
  isAlive(token: string): Promise<boolean>;
  /** Counts a wait, by provider and why. */
  onWait?(provider: string, why: string): void;
};

type Answer = { go: true } | { go: false; waitMs: number; why: 'limited' | 'broken' | 'rate' | 'full' };

/** Whatever is not heard of for so long is forgotten: its limits begin anew. */
const keptMs = 86_400_000;
/** How often it is looked at most whether owners of places are gone. */
const sweepMs = 1000;

export const makeGovernor = (parts: Parts): Governor => {
  const { bus, config, onWait } = parts;
  const { side, keys } = bus;
  const keysOf = (lane: Lane): [string, string, string] => {
    const name = `${lane.kind}:${lane.provider}:${lane.account}:${lane.model}`;
    return [keys.governor(name), keys.flights(name), keys.governor(`account:${lane.provider}:${lane.account}`)];
  };
  const ask = async (lane: Lane, id: string): Promise<Answer> => {
    const rate = config.rates.get(`${lane.provider}:${lane.model}`) ?? config.rates.get(lane.provider) ?? '';
    const values = [id, config.callsStart, lane.kind === 'call' ? rate : '', keptMs];
    const [said, waitMs, why] = (await side.run('spend/admit', keysOf(lane), values)) as [string, number, string];
    return said === 'go' ? { go: true } : { go: false, waitMs, why: why as 'full' };
  };
  const report: Governor['report'] = async (lane, id, told, goesOn = false) => {
    const { callsStart, callsMax, breakerAfter, breakerFor } = config;
    const is = told.is === 'limited' && told.wholeAccount === true ? 'used-up' : told.is;
    const asked = told.is === 'limited' && told.retryAfterMs !== null ? Math.ceil(told.retryAfterMs) : '';
    const limits = [callsStart, callsMax, breakerAfter, breakerFor, keptMs];
    const values = [id, is, asked, ...limits, goesOn ? '1' : ''];
    const reply = (await side.run('spend/report', keysOf(lane), values)) as [string, number, number];
    return { side_by_side: Math.floor(Number(reply[0])), limited_until: reply[1], broken_until: reply[2] };
  };
  const sweep = makeSweep(parts, (lane, id) => report(lane, id, { is: 'unused' }), keysOf);
  return {
    report,
    admit: async (lane, id, waitMs, signal) => {
      const until = performance.now() + waitMs;
      for (let told = false; ; told = true) {
        signal?.throwIfAborted();
        const answer = await ask(lane, id);
        if (answer.go) return;
        if (!told) onWait?.(lane.provider, answer.why);
        if (answer.why === 'full' || answer.why === 'broken') await sweep(lane);
        // Whoever comes first after a pause is a matter of luck, so that they do not all come at once.
        const pauseMs = answer.waitMs + Math.random() * Math.min(100, answer.waitMs);
        if (performance.now() + pauseMs > until) throw limitedError(lane, answer.waitMs, answer.why);
        await sleep(pauseMs, undefined, { ...(signal ? { signal } : {}) }).catch(() => signal?.throwIfAborted());
      }
    },
  };
};

/** Frees the places of owners that are gone; for each lane once in a while. */
const makeSweep = (
  { bus, isAlive }: Parts,
  free: (lane: Lane, id: string) => Promise<unknown>,
  keysOf: (lane: Lane) => [string, string, string],
): ((lane: Lane) => Promise<void>) => {
  const lastAt = new Map<string, number>();
  return async (lane) => {
    const [, flights] = keysOf(lane);
    const now = performance.now();
    if (now - (lastAt.get(flights) ?? -sweepMs) < sweepMs) return;
    lastAt.set(flights, now);
    const ids = Object.keys(recordOf(await bus.side.command('HGETALL', flights)));
    const tokens = [...new Set(ids.map((id) => id.slice(0, id.indexOf('/'))))];
    const alive = await Promise.all(tokens.map(isAlive));
    const gone = new Set(tokens.filter((_, at) => !alive[at]));
    for (const id of ids) if (gone.has(id.slice(0, id.indexOf('/')))) await free(lane, id);
  };
};

/** Why a provider takes nothing more where it is broken: how `PROVIDER_LIMITED` says it. */
export const brokenInWords = 'it failed several times in a row';

const inWords = {
  limited: 'it said that this is enough for now',
  broken: brokenInWords,
  rate: 'its calls a minute are used up',
  full: 'all places side by side are taken',
};

const limitedError = (lane: Lane, waitMs: number, why: keyof typeof inWords) =>
  fail('PROVIDER_LIMITED', {
    provider: lane.provider,
    account: lane.account,
    until: new Date(Date.now() + waitMs).toISOString(),
    why: inWords[why],
  });
