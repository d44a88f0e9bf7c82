/**
 * How this process stands with Redis: what `/health` says, and the two log lines of an outage.
 *
 * Parts report: each connection, the beat, the look at the server. An outage begins with the first part that fails,
 * and is over when none does; both are said once. Where Redis only seemed to be away at first, what it says later, such
 * as LOADING, is said once, too. A part that only warns leaves work possible.
 */
import { AppError, fail } from '@nexus/shared/errors';
import type { Log } from '@nexus/shared/telemetry';
import { isConnectionError, shownUrl } from './redis.ts';

/**
 * `ok`: work is possible. `code` and `do` (what a person does about it) are there where something is wrong, with
 * `ok` where it only may become worse.
 */
export type BusHealth = { ok: boolean; says: string; since: string; code?: string; do?: string };

export type Troubles = {
  /** A part cannot work. */
  met(part: string, error: unknown): void;
  /** A part works, but something is wrong that a person should mend. Said once, and once when it is over. */
  warned(part: string, error: AppError): void;
  well(part: string): void;
  /** What has to come true before an outage counts as over: a connection may not have found out yet that it is dead. */
  overOnce(check: () => Promise<unknown>): void;
  /** True while some part fails. */
  failing(): boolean;
  /** Why no work is possible now, and since when; null: it is. */
  failure(sinceBeatMs: number, sinceTurnMs: number, beatLateMs: number): Trouble | null;
  health(sinceBeatMs: number, sinceTurnMs: number, beatLateMs: number): BusHealth;
};

type Trouble = { error: AppError; since: number };

/** `isOurs`: whether this process itself has just stood still, which it has said: Redis is not to blame then. */
export const makeTroubles = (log: Log, url: string, isOurs: () => boolean = () => false): Troubles => {
  const failures = new Map<string, Trouble>();
  const warnings = new Map<string, Trouble>();
  let began: number | null = null;
  let last: AppError | null = null;
  /** What was said last of this outage. */
  let toldOf: string | null = null;
  let wellSince = Date.now();
  let check = (): Promise<unknown> => Promise.resolve();
  let checking = false;
  let ours = false;
  const over = async (): Promise<void> => {
    if (checking) return;
    checking = true;
    const well = await check().then(
      () => true,
      () => false,
    );
    checking = false;
    if (!well || began === null || failures.size > 0) return;
    const seconds = Math.round((Date.now() - began) / 1000);
    log.info({ seconds }, ours ? 'This process goes on' : 'Redis answers again');
    began = null;
    wellSince = Date.now();
  };
  const isSaid = (code: string): boolean =>
    [...failures.values(), ...warnings.values()].some(({ error }) => error.code === code);
  const failure: Troubles['failure'] = (sinceBeatMs, sinceTurnMs, beatLateMs) => {
    const silent = (message: string, ms: number) => ({
      error: unanswered(new Error(message), url),
      since: Date.now() - ms,
    });
    // The beat meets what a connection does not: of all that fails, the most telling is shown.
    const failed = [...failures.values()].sort((a, b) => rank(a) - rank(b))[0];
    if (began !== null && last !== null) return { error: failed?.error ?? last, since: began };
    if (sinceBeatMs > beatLateMs) return silent('it answered no beat', sinceBeatMs);
    return sinceTurnMs > 10_000 ? silent('nothing has been read', sinceTurnMs) : null;
  };
  return {
    met: (part, thrown) => {
      const error = redisFailure(thrown, url) ?? unanswered(thrown, url);
      const since = failures.get(part)?.since ?? Date.now();
      // What outlasts our own standstill is no echo of it.
      const first = began === null || (ours && !isOurs());
      const isTelling = toldOf === 'REDIS_UNREACHABLE' && error.code !== toldOf;
      const said = !(first || isTelling) || isSaid(error.code);
      if (first || isTelling) toldOf = error.code;
      if (first) ours = isOurs();
      failures.set(part, { error, since });
      last = error;
      began ??= since;
      if (!said && !ours) log.warn(about(error), `${error.message.replace(/\.$/, '')}. What is due waits`);
    },
    warned: (part, error) => {
      const said = isSaid(error.code);
      warnings.set(part, { error, since: warnings.get(part)?.since ?? Date.now() });
      if (!said) log.warn(about(error), error.message);
    },
    well: (part) => {
      failures.delete(part);
      if (began !== null && failures.size === 0) void over();
      if (!warnings.delete(part)) return;
      wellSince = Date.now();
      log.info({ part }, 'Redis is as it should be again');
    },
    overOnce: (next) => {
      check = next;
    },
    failing: () => began !== null,
    failure,
    health: (...times) => {
      const failed = failure(...times);
      // What was only warned of before it failed is one trouble, from its beginning.
      const before = [...warnings.values()].filter(({ error }) => error.code === failed?.error.code);
      if (failed !== null) return told(false, failed, Math.min(failed.since, ...before.map(({ since }) => since)));
      const [warned] = warnings.values();
      if (warned) return told(true, warned, warned.since);
      return { ok: true, says: 'Redis answers', since: new Date(wellSince).toISOString() };
    },
  };
};

const about = ({ code, entry }: AppError) => ({ code, do: entry.operator });

const rank = ({ error }: Trouble): number => (error.code === 'REDIS_UNREACHABLE' ? 1 : 0);

const told = (ok: boolean, { error }: Trouble, since: number): BusHealth => ({
  ok,
  says: error.message,
  since: new Date(since).toISOString(),
  code: error.code,
  do: error.entry.operator,
});

const unanswered = (thrown: unknown, url: string): AppError =>
  fail('REDIS_UNREACHABLE', { url: shownUrl(url), message: textOf(thrown) }, { cause: thrown });

const textOf = (thrown: unknown): string =>
  (thrown instanceof Error ? thrown.message : String(thrown)) || 'connection refused';

/** What a reply or a broken connection says of the state that Redis is in; null where it is about something else. */
export const redisFailure = (thrown: unknown, url: string): AppError | null => {
  if (thrown instanceof AppError) return thrown;
  const message = textOf(thrown);
  const about = { url: shownUrl(url), message };
  const options = { cause: thrown };
  switch (/^[A-Z]+/.exec(message)?.[0]) {
    case 'LOADING':
      return fail('REDIS_LOADING', about, options);
    case 'READONLY':
      return fail('REDIS_READONLY', about, options);
    case 'MISCONF':
      return fail('REDIS_DISK', about, options);
    case 'NOREPLICAS':
      return fail('REDIS_REPLICAS', about, options);
    case 'OOM':
      return fail('BUS_MEMORY', { percent: 100, percentMax: 100 }, options);
    default:
      return isConnectionError(thrown) ? unanswered(thrown, url) : null;
  }
};
