/** Plans without running them: how a request would be done, how likely, at which risks. */
import { randomUUID } from 'node:crypto';
import { setTimeout as after } from 'node:timers/promises';
import { taskIdFor, validateRequest } from '@nexus/shared/catalog';
import { type PlanShown, planShown } from '@nexus/shared/client/api';
import { AppError, type ErrorCode, fail } from '@nexus/shared/errors';
import { type Preview, readPreview } from '@nexus/shared/ledger';
import { taskRequest } from '@nexus/shared/messages/domain';
import type { Api, Fleet } from '../fleet.ts';
import { checkDeadline, checkRepository } from '../submit.ts';

const lookMs = 100;

export const planRoutes = (app: Api, fleet: Fleet): void => {
  app.post(
    '/api/plan',
    {
      config: { scope: 'operate' },
      schema: {
        operationId: 'planRequest',
        tags: ['tasks'],
        summary: 'See how a request would be planned; nothing is run',
        body: taskRequest,
        response: { 200: planShown },
      },
    },
    async ({ body, actor }) => {
      checkDeadline(body);
      validateRequest(fleet.catalog, body);
      const warnings = await checkRepository(fleet, body);
      const { scenario: _, ...request } = body;
      const id = taskIdFor(`preview ${request.request}`, randomUUID());
      const payload = { preview_id: id, request, warnings };
      await fleet.bus.publish({ type: 'plan.requested', payload, thread: id, actor });
      return shown(await waitFor(fleet, id), warnings);
    },
  );
};

/** The orchestrator makes it: with its model, its settings and what it knows of the past. */
const waitFor = async ({ bus, config, closing }: Fleet, id: string): Promise<Preview> => {
  const until = performance.now() + config.planWait;
  for (;;) {
    const preview = await readPreview(bus.store, bus.keys, id);
    if (preview !== null) return preview;
    if (performance.now() > until || closing.aborted) {
      throw fail('PLAN_LATE', { seconds: Math.round(config.planWait / 1000) });
    }
    await after(lookMs);
  }
};

const shown = ({ plan, failure }: Preview, warnings: string[]): PlanShown => {
  if (plan === null) {
    const { code, details } = failure ?? { code: 'BUG', details: { message: 'a preview without a plan' } };
    throw new AppError(code as ErrorCode, details);
  }
  const { agents: _, judgement = null, outlook = null, ...rest } = plan;
  return { ...rest, judgement, outlook, warnings };
};
