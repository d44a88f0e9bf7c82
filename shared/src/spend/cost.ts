/**
 * The cost ledger: a line for each attempt and model of a task, and the sums of each day by agent, model, task, role.
 *
 * Booked in the same script that ends the reservation (`settle-8.lua`), so budgets and ledger cannot differ. Kept for
 * NEXUS_COST_RETENTION after the last use, beyond the end of the task and of its hub.
 */
import type { Bus } from '@nexus/shared/bus';
import { budgetKeys, dayOf, microOf, type Place, recordOf, scopeNames, type Told, usdOf } from './budgets.ts';
import { tokensOf, type Usage } from './gate.ts';
import type { SpendConfig } from './settings.ts';

/** Who spent it, on what. */
export type Spender = { agentId: string; role: string; runtime: string };

export type Spent = {
  /** The reservation that it ends, or a name of its own: settled once, whatever comes again. */
  id: string;
  place: Place;
  by: Spender;
  model: string | null;
  usage: Usage;
  /** Null: nobody knows the price. May be negative where something was booked too high before. */
  usd: number | null;
  /** Nobody is charged it, as with a subscription: no budget in USD counts it. */
  notional: boolean;
  /** How often a model was asked for it; 0 for what only corrects. */
  calls: number;
  /** How many of them have no known price, where that is not told by `usd`. */
  unpriced?: number | undefined;
};

/** What one attempt used of one model. */
export type CostLine = {
  subtask_id: string;
  attempt: number;
  agent_id: string;
  role: string;
  runtime: string;
  model: string | null;
  usd: number;
  /** What it would have cost by price list where a subscription paid. */
  notional_usd: number;
  /** Calls whose price nobody knows: the sums above lack them. */
  unpriced_calls: number;
  calls: number;
  tokens: number;
  input_tokens: number;
  output_tokens: number;
  cache_read_tokens: number;
  cache_write_tokens: number;
  began_at: string;
  ended_at: string;
};

export const costKinds = ['task', 'agent', 'model', 'role', 'day'] as const;
export type CostKind = (typeof costKinds)[number];

/** A row of a table of costs; `name` is a task, an agent, a model, a role or a day. */
export type CostRow = Pick<CostLine, 'usd' | 'notional_usd' | 'unpriced_calls' | 'calls' | 'tokens'> & {
  name: string;
  attempts: number;
};

export type CostBook = {
  /** Books what was used. Returns the budgets that have just come near their end, or to it. */
  settle(spent: Spent): Promise<Told[]>;
  linesOf(taskId: string): Promise<CostLine[]>;
  /** The sums of the last so many days, today included, dearest first; days by date. */
  rowsBy(kind: CostKind, days: number): Promise<CostRow[]>;
};

const dayMs = 86_400_000;
const measures = ['usd', 'notional', 'unpriced', 'calls', 'tokens'] as const;
type Measures = Record<(typeof measures)[number], number>;
type Sums = Measures & { attempts: number };

export const makeCostBook = (parts: {
  bus: Pick<Bus, 'side' | 'keys'>;
  config: SpendConfig;
  now?: (() => number) | undefined;
}): CostBook => {
  const { bus, config, now = Date.now } = parts;
  const { side, keys } = bus;
  return {
    settle: async (spent) => {
      const at = now();
      const measured = measure(spent);
      const line = lineOf(spent, measured, new Date(at).toISOString());
      const names = [
        keys.reservations,
        ...budgetKeys(bus, spent.place, at),
        keys.costOfTask(spent.place.taskId),
        keys.costOfDay(dayOf(at)),
        keys.settled(spent.id),
      ];
      const sums = sumsOf(spent, measured);
      const { budgetWarnPercent, costRetention } = config;
      const booked = [spent.id, measured.usd, measured.tokens, budgetWarnPercent, costRetention];
      const counted = rowsOf(spent).map((row) => `${row}|attempts`);
      const values = [...booked, nameOf(spent), JSON.stringify(line), sums.length, ...sums.flat(), ...counted];
      return toldIn((await side.run('spend/settle', names, values)) as (string | number)[]);
    },
    linesOf: async (taskId) => {
      const stored = Object.values(recordOf(await side.command('HGETALL', keys.costOfTask(taskId))));
      const lines = stored.map((text) => JSON.parse(text) as CostLine);
      return lines
        .map((line) => ({ ...line, usd: usdOf(line.usd), notional_usd: usdOf(line.notional_usd) }))
        .toSorted((one, other) => one.began_at.localeCompare(other.began_at) || one.attempt - other.attempt);
    },
    rowsBy: async (kind, days) => {
      const dates = Array.from({ length: days }, (_, ago) => dayOf(now() - ago * dayMs));
      const read = dates.map(async (date) => recordOf(await side.command('HGETALL', keys.costOfDay(date))));
      const sums = new Map<string, Sums>();
      for (const [at, fields] of (await Promise.all(read)).entries()) addDay(sums, kind, dates[at] ?? '', fields);
      const rows = [...sums].map(([name, sum]) => rowOf(name, sum));
      return kind === 'day'
        ? rows.toSorted((one, other) => other.name.localeCompare(one.name))
        : rows.toSorted((one, other) => other.usd - one.usd || other.tokens - one.tokens);
    },
  };
};

const measure = ({ usd, usage, notional, calls, unpriced }: Spent): Measures => ({
  usd: usd === null || notional ? 0 : microOf(usd),
  notional: usd !== null && notional ? microOf(usd) : 0,
  unpriced: unpriced ?? (usd === null ? calls : 0),
  calls,
  tokens: tokensOf(usage),
});

/** One line for an attempt and what answered; another login of the same model is told apart by its sums. */
const nameOf = ({ place, by, model }: Spent): string =>
  `${place.subtaskId}|${place.attempt}|${by.agentId}|${by.runtime}|${model ?? ''}`;

const lineOf = ({ place, by, model, usage }: Spent, sums: Measures, at: string): CostLine => ({
  subtask_id: place.subtaskId,
  attempt: place.attempt,
  agent_id: by.agentId,
  role: by.role,
  runtime: by.runtime,
  model,
  usd: sums.usd,
  notional_usd: sums.notional,
  unpriced_calls: sums.unpriced,
  calls: sums.calls,
  tokens: sums.tokens,
  ...usage,
  began_at: at,
  ended_at: at,
});

const rowsOf = ({ place, by, model }: Spent): string[] => [
  'all',
  `task:${place.taskId}`,
  `agent:${by.agentId}`,
  `model:${model ?? 'unknown'}`,
  `role:${by.role}`,
];

const sumsOf = (spent: Spent, sums: Measures): [string, number][] =>
  rowsOf(spent).flatMap((row) =>
    measures.filter((one) => sums[one] !== 0).map((one): [string, number] => [`${row}|${one}`, sums[one]]),
  );

/** Adds the sums of a day to those that are there. */
const addDay = (sums: Map<string, Sums>, kind: CostKind, date: string, fields: Record<string, string>): void => {
  for (const [field, value] of Object.entries(fields)) {
    const cut = field.lastIndexOf('|');
    const [row, unit] = [field.slice(0, cut), field.slice(cut + 1) as keyof Sums];
    const name =
      kind === 'day' ? (row === 'all' ? date : null) : row.startsWith(`${kind}:`) ? row.slice(kind.length + 1) : null;
    if (name === null) continue;
    const sum = sums.get(name) ?? { usd: 0, notional: 0, unpriced: 0, calls: 0, tokens: 0, attempts: 0 };
    sums.set(name, { ...sum, [unit]: sum[unit] + Number(value) });
  }
};

const rowOf = (name: string, sum: Sums): CostRow => ({
  name,
  usd: usdOf(sum.usd),
  notional_usd: usdOf(sum.notional),
  unpriced_calls: sum.unpriced,
  calls: sum.calls,
  tokens: sum.tokens,
  attempts: sum.attempts,
});

const toldIn = ([, ...parts]: (string | number)[]): Told[] => {
  const told: Told[] = [];
  for (let at = 0; at + 4 < parts.length; at += 5) {
    const [scope, unit, is, max, used] = parts.slice(at, at + 5);
    const amount = (value: unknown) => (unit === 'usd' ? usdOf(Number(value)) : Number(value));
    told.push({
      scope: scopeNames[Number(scope) - 1] ?? 'task',
      unit: unit as Told['unit'],
      is: is as Told['is'],
      max: amount(max),
      used: amount(used),
    });
  }
  return told;
};
