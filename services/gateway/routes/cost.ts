/** Costs and budgets: who spent what on what, and how much more may be spent. */
import type { BudgetShown, TaskCost } from '@nexus/shared/client';
import { budgetRaise, budgetRaised, costQuery, costTable, taskCost } from '@nexus/shared/client/api';
import { fail } from '@nexus/shared/errors';
import { readTask } from '@nexus/shared/ledger';
import { endedTask } from '@nexus/shared/messages/domain';
import type { Api, Fleet } from '../fleet.ts';
import { refusal } from '../openapi.ts';
import { waitingOf } from '../show-task.ts';
import { spendingOf, sumOf } from '../spending.ts';
import { knownStatus, ofTask } from './tasks.ts';

export const costRoutes = (app: Api, fleet: Fleet): void => {
  addCosts(app, fleet);
  addBudgets(app, fleet);
};

const addCosts = (app: Api, fleet: Fleet): void => {
  app.get(
    '/api/cost',
    {
      config: { scope: 'read' },
      schema: {
        operationId: 'listCosts',
        tags: ['cost'],
        summary: 'What was spent, by task, agent, model, role or day',
        querystring: costQuery,
        response: { 200: costTable },
      },
    },
    async ({ query: { by, days } }) => {
      const { book, budgets } = spendingOf(fleet);
      const [rows, today] = await Promise.all([book.rowsBy(by, days), budgets.read('day')]);
      return { by, days, rows, total: sumOf(rows), today };
    },
  );

  app.get(
    '/api/tasks/:id/cost',
    {
      config: { scope: 'read' },
      schema: {
        operationId: 'showTaskCost',
        tags: ['cost'],
        summary: 'What a task has spent, a line for each attempt and model, and its budget',
        params: ofTask,
        response: { 200: taskCost, 404: refusal(404) },
      },
    },
    async ({ params: { id } }): Promise<TaskCost> => {
      const { book, budgets } = spendingOf(fleet);
      const [lines, budget] = await Promise.all([book.linesOf(id), budgets.read({ taskId: id })]);
      // A deleted task has still cost something.
      if (lines.length === 0) await knownStatus(fleet, id);
      return { task_id: id, total: sumOf(lines), budget, lines };
    },
  );
};

/** What waits for money, as its reason says. */
const isBroke = (reason: string): boolean => /^(BUDGET_SPENT|PRICE_UNKNOWN)\b/.test(reason);

type Raise = { usd: number | null; tokens: number | null };

/** The limit that is used up already, or will be by what is asked for; null: there is none. */
const usedUp = (raise: Raise, now: BudgetShown): { what: string; max: number; used: number } | null => {
  const units = [
    { what: 'USD', max: raise.usd ?? now.usd_max, used: Math.ceil(now.usd_used * 1e4 - 1e-6) / 1e4 },
    { what: 'tokens', max: raise.tokens ?? now.tokens_max, used: now.tokens_used },
  ];
  for (const { what, max, used } of units) if (max !== null && used >= max) return { what, max, used };
  return null;
};

/** Of a task it would be taken, and let nothing go on. */
const assertEnough = (task: string, raise: Raise, now: BudgetShown): void => {
  const up = usedUp(raise, now);
  if (up !== null) throw fail('BUDGET_TOO_LOW', { task, ...up });
};

/** For the fleet it is a way to spend nothing more today: taken, and said. */
const spentToday = (budget: BudgetShown): { says?: string } => {
  const up = usedUp({ usd: null, tokens: null }, budget);
  if (up === null) return {};
  const until = `until this is raised above ${up.used}, or until midnight (UTC)`;
  return { says: `${up.used} of ${up.max} ${up.what} are used today already: nothing more is spent ${until}.` };
};

const addBudgets = (app: Api, fleet: Fleet): void => {
  app.post(
    '/api/tasks/:id/budget',
    {
      config: { scope: 'operate' },
      schema: {
        operationId: 'setTaskBudget',
        tags: ['cost'],
        summary: 'Set what a task may spend in all',
        description: `It counts from the next call on, whatever the request said. What waits because its budget was
spent is tried again, from its saved work. One that is used up already is refused, and changes nothing.`,
        params: ofTask,
        body: budgetRaise,
        response: { 200: budgetRaised, 404: refusal(404), 409: refusal(409) },
      },
    },
    async ({ params: { id }, body: { usd = null, tokens = null }, actor }) => {
      const status = await knownStatus(fleet, id);
      if (status !== 'unread' && endedTask(status)) throw fail('TASK_ENDED', { task: id, status });
      const { budgets } = spendingOf(fleet);
      assertEnough(id, { usd, tokens }, await budgets.read({ taskId: id }));
      await budgets.raise({ taskId: id }, { usd, tokens });
      const { bus } = fleet;
      const task = await readTask(bus.store, bus.keys, id);
      const waits = task === null ? [] : waitingOf(task.head).filter(({ reason }) => isBroke(reason));
      for (const { subtask_id } of waits) {
        const payload = { task_id: id, subtask_id, answer: 'retry' as const, note: '' };
        await bus.publish({ type: 'person.answered', payload, thread: id, actor, priority: 'HIGH' });
      }
      const budget = await budgets.read({ taskId: id });
      return { task_id: id, budget, subtasks: waits.map(({ subtask_id }) => subtask_id) };
    },
  );

  app.post(
    '/api/budget',
    {
      config: { scope: 'admin' },
      schema: {
        operationId: 'setBudgetOfToday',
        tags: ['cost'],
        summary: 'Set what the whole fleet may spend today (UTC)',
        description: `Attempts that were put aside go on by themselves. Tomorrow the setting counts again. With less
than was used today nothing more is spent today; then \`says\` tells so.`,
        body: budgetRaise,
        response: { 200: budgetRaised },
      },
    },
    async ({ body: { usd = null, tokens = null } }) => {
      const { budgets } = spendingOf(fleet);
      await budgets.raise('day', { usd, tokens });
      const budget = await budgets.read('day');
      return { task_id: null, budget, subtasks: [], ...spentToday(budget) };
    },
  );
};
