/** A plan as the HTTP API shows it to whoever wants to see it before anything is run. */
import { judgement, mode, outlook, plannedSubtask } from '@nexus/shared/messages/domain';
import { z } from 'zod';

export const planShown = z
  .object({
    approach: z.string(),
    workflow: z.string(),
    mode,
    subtasks: z.array(plannedSubtask),
    risks: z.array(z.string()),
    probability: z.number().nullable().meta({ description: 'That all of it comes to its end; `outlook` says why.' }),
    price_usd: z.number().nullable().meta({ description: 'null: nobody can say.' }),
    price_by: z.enum(['model', 'history']).optional(),
    price_without: z.array(z.string()).optional().meta({ description: 'Roles without a figure, taken for average.' }),
    judgement: judgement.nullable().meta({ description: 'null: no model is configured, or it gave no plan.' }),
    outlook: outlook.nullable(),
    warnings: z.array(z.string()),
  })
  .meta({ id: 'PlanShown' });
export type PlanShown = z.infer<typeof planShown>;
