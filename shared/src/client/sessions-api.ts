/** Sessions, the conversations of agents, as the HTTP API shows them. */
import { agentId, cost, sessionStatus, subtaskId, taskId } from '@nexus/shared/messages/domain';
import { z } from 'zod';

export const sessionQuery = z.strictObject({
  task: taskId.optional().meta({ description: 'Only those of this task.' }),
  limit: z.coerce.number().int().min(1).max(200).default(50),
  offset: z.coerce.number().int().min(0).max(1_000_000).default(0),
});

export const sessionShown = z
  .object({
    session_id: z.string(),
    runtime: z.string(),
    agent_id: agentId,
    task_id: taskId,
    subtask_id: subtaskId,
    attempt: z.int(),
    status: sessionStatus.meta({
      description: 'active: an agent is in it · idle: it can go on · expired, ended, lost: it cannot.',
    }),
    created_at: z.string(),
    last_activity: z.string(),
    instance_id: z.string(),
    host: z.string(),
    model: z.string().nullable(),
    login: z.string().nullable(),
    context_usage: z.number().nullable().meta({ description: 'How full its context is, 0 to 1; null: not known.' }),
    cost: cost.extend({ notional: z.boolean().meta({ description: 'By price list; nobody is charged it.' }) }),
    turns: z.int(),
    tool_calls: z.int(),
    forked_from: z.string().nullable(),
    why: z.string().meta({ description: 'Why it stands as it does; empty: nothing to say.' }),
  })
  .meta({ id: 'SessionShown' });

export const sessionList = z
  .object({ sessions: z.array(sessionShown), next_offset: z.int().nullable() })
  .meta({ id: 'SessionList' });

export const sessionDetail = sessionShown
  .extend({
    transcript: z.string().nullable().meta({ description: 'JSON, a line each; null: none was carried to the hub.' }),
    transcript_at: z.string().nullable().meta({ description: 'The ref of the hub that holds it.' }),
  })
  .meta({ id: 'SessionDetail' });

export const sessionEnded = z.object({ session_id: z.string(), ended: z.boolean() }).meta({ id: 'SessionEnded' });

export type SessionShown = z.infer<typeof sessionShown>;
export type SessionDetail = z.infer<typeof sessionDetail>;
export type SessionList = z.infer<typeof sessionList>;
export type SessionEnded = z.infer<typeof sessionEnded>;
