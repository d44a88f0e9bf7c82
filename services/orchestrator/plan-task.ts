/**
 * How a task gets its plan: judged by a model where one is configured, else from a template; with its outlook and its
 * price from what the fleet has done before. What nobody can know stays null.
 */
import type { HandlerTools } from '@nexus/shared/bus';
import type { Catalog } from '@nexus/shared/catalog';
import { AppError } from '@nexus/shared/errors';
import { readHistory } from '@nexus/shared/ledger';
import type { Plan, TaskRequest } from '@nexus/shared/messages/domain';
import type { Answer, Model } from '@nexus/shared/model';
import type { CostBook, Spending } from '@nexus/shared/spend';
import { type JudgementAnswer, judge, stepsOf } from './judge.ts';
import { outlookOf, type Tries } from './outlook.ts';
import { costDays, withPrice } from './price.ts';
import { paidFor } from './purse.ts';
import { planRequest } from './strategy.ts';

/** Who plans, and what a plan is weighed by. */
export type Planning = {
  /** Null: nobody is configured; plans come from templates. */
  model: Model | null;
  timeoutMs: number;
  tries: Tries;
  /** What was spent before, by role; left out, prices are what the model says. */
  costs?: Pick<CostBook, 'rowsBy'>;
  /** Where it is reserved and booked what the model costs; left out, nowhere. */
  spending?: Pick<Spending, 'calls'>;
};

type Given = { catalog: Catalog; planning?: Planning | undefined };
type Reading = Pick<HandlerTools, 'store' | 'keys' | 'log' | 'now' | 'signal' | 'claim'>;

/**
 * Plans a request, on the account of a task or of a plan that is only shown. Throws what `planRequest` throws, for
 * what the request names and the catalog does not have.
 */
export const planTask = async (
  taskId: string,
  request: TaskRequest,
  warnings: readonly string[],
  tools: Given & Reading,
): Promise<Plan> => {
  const template = planRequest(tools.catalog, request, warnings, tools.now());
  const plan = await judged(taskId, template, request, warnings, tools);
  if (tools.planning === undefined) return plan;
  const history = await readHistory(tools.store, tools.keys);
  const outlook = outlookOf(plan, history, tools.planning.tries);
  const costs = (await tools.planning.costs?.rowsBy('role', costDays)) ?? [];
  return withPrice({ ...plan, probability: outlook.probability, outlook }, costs, request);
};

const judged = async (
  taskId: string,
  template: Plan,
  request: TaskRequest,
  warnings: readonly string[],
  tools: Given & Reading,
): Promise<Plan> => {
  const { catalog, planning, signal, log, now } = tools;
  if (!planning?.model) return template;
  const { model, timeoutMs, spending } = planning;
  const asked = { catalog, model, request, warnings, signal, timeoutMs };
  const errand = { taskId, what: '(plan)' as const, budget: request.budget };
  let answer: Answer<JudgementAnswer>;
  try {
    answer = await paidFor(errand, tools, spending, (gate) => judge({ ...asked, gate }));
  } catch (thrown) {
    if (signal.aborted || !(thrown instanceof AppError)) throw thrown;
    log.warn({ err: thrown, model: model.says }, 'a plan was made without the model');
    const risk = `Planned from a template, since the model gave no plan: ${thrown.code}: ${thrown.message}`;
    return { ...template, risks: [...template.risks.slice(0, 31), risk.slice(0, 1000)] };
  }
  return merged(template, planAgain(catalog, request, answer.value, warnings, now()), answer);
};

/** The template of what the model chose, where the person has left it open. */
const planAgain = (
  catalog: Catalog,
  request: TaskRequest,
  { workflow, needs_research }: JudgementAnswer,
  warnings: readonly string[],
  now: number,
): Plan | null => {
  if (request.roles !== undefined || request.workflow !== undefined) return null;
  const analyst = request.analyst ?? (needs_research ? true : undefined);
  return planRequest(catalog, { ...request, workflow, ...(analyst === undefined ? {} : { analyst }) }, warnings, now);
};

const merged = (template: Plan, chosen: Plan | null, answer: Answer<JudgementAnswer>): Plan => {
  const { value, model, usd, usage, notional, tries } = answer;
  const own = chosen === null ? null : stepsOf(value);
  const base = chosen ?? template;
  const tokens = Object.values(usage).reduce((total, count) => total + count, 0);
  return {
    ...base,
    approach: chosen === null ? base.approach : `${value.approach.slice(0, 7000)} (workflow "${base.workflow}")`,
    subtasks: own ?? base.subtasks,
    risks: [
      ...base.risks,
      ...value.risks.map(({ risk, mitigation }) => `${risk} → ${mitigation}`.slice(0, 1000)),
    ].slice(0, 32),
    price_usd: value.limits.usd,
    judgement: {
      by: model.slice(0, 200),
      complexity: value.complexity,
      why: value.why.slice(0, 1000),
      needs_research: value.needs_research,
      risks: value.risks.slice(0, 16).map(({ risk, mitigation }) => ({
        risk: risk.slice(0, 500),
        mitigation: mitigation.slice(0, 500),
      })),
      limits: value.limits,
      cost: { usd, tokens, notional },
      tries,
    },
  };
};
