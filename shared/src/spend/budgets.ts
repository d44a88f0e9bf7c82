/**
 * Budgets: how much the fleet may spend in a day, and a task, a subtask and an attempt in all.
 *
 *   free ──reserve──▶ reserved ──settle──▶ used            in all four budgets at once, or in none
 *                        └──free, or its owner is gone──▶ free
 *
 * A limit is compared with what is used and what is reserved, so two that ask at once can never pass it together.
 * A reservation belongs to a claim, and its name begins with the claim's token. It has no time of its own: a token
 * that has lost its claim never gets it back, so whoever meets a full budget looks which reservations are nobody's
 * any more, and frees those. One whose owner lives is never freed, however long it takes.
 *
 * What the fleet is owed is counted in whole millionths of a dollar, always rounded up.
 */
import type { Bus } from '@nexus/shared/bus';
import { type AppError, fail } from '@nexus/shared/errors';
import type { SpendConfig } from './settings.ts';

/** Where in the tree of budgets something is spent. */
export type Place = { taskId: string; subtaskId: string; attempt: number };
/** Null: no limit. */
export type Limit = { usd: number | null; tokens: number | null };
/** The limits that were given for a task, and for an attempt; settings fill in what is left out. */
export type Limits = { task: Limit; attempt: Limit };
export type ScopeName = 'day' | 'task' | 'subtask' | 'attempt';

/** What is wanted of one unit: as much as that, but not less than `least`. */
export type Wanted = { wanted: number; least: number };
export type Asked = {
  id: string;
  /** A reservation that this one takes the place of, in one step. */
  replaces?: string | undefined;
  place: Place;
  limits: Limits;
  /** Null: the price is unknown. */
  usd: Wanted | null;
  tokens: Wanted;
};

export type Refusal = {
  /** spent: nothing is left. held: others have reserved the rest. unpriced: a limit in USD meets an unknown price. */
  is: 'spent' | 'held' | 'unpriced';
  scope: ScopeName;
  unit: 'usd' | 'tokens';
  max: number;
  used: number;
  held: number;
};
export type Granted = { is: 'granted'; usd: number; tokens: number };

/** A budget that has just come near its end, or to it. */
export type Told = { scope: ScopeName; unit: 'usd' | 'tokens'; is: 'near' | 'spent'; max: number; used: number };

/** One budget as it stands. */
export type BudgetView = {
  usd_max: number | null;
  usd_used: number;
  usd_reserved: number;
  tokens_max: number | null;
  tokens_used: number;
  tokens_reserved: number;
};

export type Budgets = {
  /** Reserves, or says why not. Frees first what is nobody's any more, if that would help. */
  reserve(asked: Asked): Promise<Granted | Refusal>;
  /** Gives reservations back; returns how many there were. */
  free(ids: readonly string[]): Promise<number>;
  /** Frees what is reserved by owners that are gone. Returns how many reservations that were. */
  freeLost(): Promise<number>;
  /** Sets a person's own limit of a task, or of today; what is null stays as it is. */
  raise(scope: { taskId: string } | 'day', limit: Limit): Promise<void>;
  read(scope: 'day' | { taskId: string; subtaskId?: string; attempt?: number }): Promise<BudgetView>;
};

export const scopeNames: readonly ScopeName[] = ['day', 'task', 'subtask', 'attempt'];
export const microOf = (usd: number): number => Math.ceil(Math.round(usd * 1e9) / 1e3);
export const usdOf = (micro: number): number => micro / 1e6;

type Parts = {
  bus: Pick<Bus, 'side' | 'keys'>;
  config: SpendConfig;
  /** Whether the claim that a token names still stands. */
  isAlive(token: string): Promise<boolean>;
  now?: (() => number) | undefined;
};

/** The budgets of a fabric. Their scripts are registered by `openSpending`. */
export const makeBudgets = ({ bus, config, isAlive, now = Date.now }: Parts): Budgets => {
  const { side, keys } = bus;
  const free = async (ids: readonly string[]): Promise<number> =>
    ids.length === 0 ? 0 : Number(await side.run('spend/free', [keys.reservations], ids));
  const freeLost = async (): Promise<number> => {
    const ids = namesIn(await side.command('HGETALL', keys.reservations));
    const tokens = [...new Set(ids.map(ownerOf))];
    const alive = await Promise.all(tokens.map(isAlive));
    const gone = new Set(tokens.filter((_, at) => !alive[at]));
    return free(ids.filter((id) => gone.has(ownerOf(id))));
  };
  const ask = async (asked: Asked): Promise<Granted | Refusal> => {
    const { id, replaces = '', usd, tokens } = asked;
    const amounts = [usd ? microOf(usd.wanted) : '', usd ? microOf(usd.least) : '', tokens.wanted, tokens.least];
    const limits = limitsOf(asked.limits, config).flatMap((limit) => [
      limit.usd === null ? '' : microOf(limit.usd),
      limit.tokens ?? '',
    ]);
    const names = [keys.reservations, ...budgetKeys(bus, asked.place, now())];
    const values = [id, replaces, ...amounts, config.costRetention, ...limits];
    const [said, ...rest] = (await side.run('spend/reserve', names, values)) as [string, ...(string | number)[]];
    if (said === 'ok') return { is: 'granted', usd: usdOf(Number(rest[0])), tokens: Number(rest[1]) };
    const [scope, unit = 'usd', max = 0, used = 0, held = 0] = rest;
    const amount = (value: string | number) => (unit === 'usd' ? usdOf(Number(value)) : Number(value));
    return {
      is: said as Refusal['is'],
      scope: scopeNames[Number(scope) - 1] ?? 'task',
      unit: unit as Refusal['unit'],
      ...{ max: amount(max), used: amount(used), held: amount(held) },
    };
  };
  return {
    reserve: async (asked) => {
      const first = await ask(asked);
      return first.is === 'held' && (await freeLost()) > 0 ? await ask(asked) : first;
    },
    free,
    freeLost,
    raise: async (scope, { usd, tokens }) => {
      const key = scope === 'day' ? keys.budget(dayScope(now())) : keys.budget(`task:${scope.taskId}`);
      const values = [usd === null ? '' : microOf(usd), tokens ?? '', config.costRetention];
      await side.run('spend/raise', [key], values);
    },
    read: async (scope) => {
      const place = { taskId: '', subtaskId: '', attempt: 0, ...(scope === 'day' ? {} : scope) };
      const [day = '', task = '', subtask = '', attempt = ''] = budgetKeys(bus, place, now());
      const own = place.attempt > 0 ? attempt : place.subtaskId === '' ? task : subtask;
      const key = scope === 'day' ? day : own;
      return viewOf(recordOf(await side.command('HGETALL', key)));
    },
  };
};

/** The claim that a reservation belongs to. */
const ownerOf = (id: string): string => id.slice(0, id.indexOf('/'));

export const dayOf = (nowMs: number): string => new Date(nowMs).toISOString().slice(0, 10);
const dayScope = (nowMs: number): string => `day:${dayOf(nowMs)}`;

/** The keys of the four budgets that something counts in, the widest first. */
export const budgetKeys = ({ keys }: Pick<Bus, 'keys'>, place: Place, nowMs: number): string[] => {
  const { taskId, subtaskId, attempt } = place;
  const scopes = [`task:${taskId}`, `subtask:${taskId}:${subtaskId}`, `attempt:${taskId}:${subtaskId}:${attempt}`];
  return [dayScope(nowMs), ...scopes].map(keys.budget);
};

/** The limits of the four budgets, the widest first. */
const limitsOf = ({ task, attempt }: Limits, config: SpendConfig): Limit[] => [
  { usd: config.budgetDayUsd ?? null, tokens: config.budgetDayTokens ?? null },
  { usd: task.usd ?? config.budgetTaskUsd ?? null, tokens: task.tokens ?? config.budgetTaskTokens ?? null },
  { usd: config.budgetSubtaskUsd ?? null, tokens: config.budgetSubtaskTokens ?? null },
  {
    usd: attempt.usd ?? config.budgetAttemptUsd ?? null,
    tokens: attempt.tokens ?? config.budgetAttemptTokens ?? null,
  },
];

/** A refusal as the error that people and programs read. */
export const refusalError = (refusal: Refusal, place: Place, wanted: number, model: string): AppError => {
  const scope = scopeInWords(refusal.scope, place);
  if (refusal.is === 'unpriced') return fail('PRICE_UNKNOWN', { model, scope });
  const show = (amount: number) => (refusal.unit === 'usd' ? Number(amount.toFixed(6)) : amount);
  const what = refusal.unit === 'usd' ? 'USD' : 'tokens';
  const amounts = { scope, what, used: show(refusal.used + refusal.held), max: show(refusal.max) };
  return refusal.is === 'held'
    ? fail('BUDGET_RESERVED', amounts)
    : fail('BUDGET_SPENT', { ...amounts, wanted: show(wanted) });
};

/** A budget as a person calls it. */
export const scopeInWords = (scope: ScopeName, { taskId, subtaskId, attempt }: Place): string =>
  ({
    day: 'the fleet for today',
    task: `the task ${taskId}`,
    subtask: `the subtask ${subtaskId} of ${taskId}`,
    attempt: `attempt ${attempt} at ${subtaskId} of ${taskId}`,
  })[scope];

// --- replies of Redis --------------------------------------------------------------------------

/** The fields of a hash as Redis answers them: one after the other. */
export const recordOf = (reply: unknown): Record<string, string> => {
  const flat = Array.isArray(reply) ? (reply as string[]) : Object.entries(reply as Record<string, string>).flat();
  const found: Record<string, string> = {};
  for (let at = 0; at + 1 < flat.length; at += 2) found[flat[at] as string] = flat[at + 1] as string;
  return found;
};
const namesIn = (reply: unknown): string[] => Object.keys(recordOf(reply));

const viewOf = (fields: Record<string, string>): BudgetView => {
  const number = (name: string) => Number(fields[name] ?? 0);
  return {
    usd_max: fields.usd_max === undefined ? null : usdOf(number('usd_max')),
    usd_used: usdOf(number('usd_used')),
    usd_reserved: usdOf(number('usd_held')),
    tokens_max: fields.tokens_max === undefined ? null : number('tokens_max'),
    tokens_used: number('tokens_used'),
    tokens_reserved: number('tokens_held'),
  };
};
