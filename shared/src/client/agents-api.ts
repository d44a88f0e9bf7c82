/** The agents as the HTTP API shows them, what they do and what they are, and definitions as it takes them. */
import { agentId, presence, runningAttempt, runtimeState, taskId } from '@nexus/shared/messages/domain';
import { z } from 'zod';

export const agentShown = z
  .object({
    agent_id: agentId,
    name: z.string(),
    role: z.string(),
    description: z.string(),
    status: z.enum(['idle', 'active', 'error']),
    current_task: taskId.nullable(),
    running: z.array(runningAttempt.extend({ instance_id: z.string() })),
    health_score: z
      .number()
      .min(0)
      .max(1)
      .nullable()
      .meta({ description: 'Completed today ÷ ended today; null: none.' }),
    tasks_completed_today: z.int(),
    tasks_failed_today: z.int(),
  })
  .meta({ id: 'Agent' });

export const workerShown = z
  .object({
    instance_id: z.string(),
    host: z.string(),
    state: presence.shape.state,
    slots: z.int(),
    busy: z.int(),
    runtimes: z.array(runtimeState),
  })
  .meta({ id: 'Worker' });

export const agentList = z
  .object({
    agents: z.array(agentShown),
    system_health: z.enum(['good', 'degraded', 'bad']),
    says: z.string().meta({ description: 'Why the health is what it is.' }),
    total_agents: z.int(),
    active_agents: z.int(),
    workers: z.array(workerShown),
  })
  .meta({ id: 'AgentList' });

export const agentOrigin = z.enum(['built_in', 'folder', 'fleet']).meta({
  description: 'fleet: given over REST, seen by every machine; folder: from a folder of the gateway’s machine.',
});

/** One definition, whole. */
export const agentDetail = z
  .object({
    agent_id: agentId,
    name: z.string(),
    role: z.string(),
    description: z.string(),
    origin: agentOrigin,
    model: z.string(),
    tools: z.array(z.string()).meta({ description: 'As Claude Code spells them; empty: every tool.' }),
    disallowed_tools: z.array(z.string()),
    traits: z.array(z.string()),
    expertise: z.array(z.string()),
    capabilities: z.array(z.string()),
    source: z.string().meta({ description: 'The definition as Markdown with front matter.' }),
    revision: z.int().nullable().meta({ description: 'Of one that the fleet was given; else null.' }),
    changed_by: z.string().nullable(),
    changed_at: z.string().nullable(),
    notices: z.array(z.string()).meta({ description: 'What an import could not take over.' }),
  })
  .meta({ id: 'AgentDetail' });

/** The body that gives the fleet a definition: as Markdown, or as a profile from elsewhere. */
export const agentGiven = z
  .strictObject({
    source: z.string().min(1).optional().meta({ description: 'Markdown with front matter, as in shared/agents.' }),
    profile: z.record(z.string(), z.unknown()).optional().meta({
      description: 'Instead: a profile with personality_profile, claude_configuration, memory_system; or with agent.',
    }),
    revision: z.int().min(0).optional().meta({ description: 'Change it only if it still stands at this revision.' }),
  })
  .refine(({ source, profile }) => (source === undefined) !== (profile === undefined), 'give source or profile')
  .meta({ id: 'AgentGiven' });

export const agentChecked = z
  .object({
    valid: z.boolean(),
    problem: z.string().nullable().meta({ description: 'Everything that is wrong, with lines and fields.' }),
    agent_id: agentId.nullable(),
    source: z.string().nullable(),
    notices: z.array(z.string()),
  })
  .meta({ id: 'AgentChecked' });

export const agentRemoved = z
  .object({
    agent_id: agentId,
    status: z.literal('removed'),
    stands: agentOrigin.nullable().meta({ description: 'Where the definition comes from that stands in its place.' }),
    orphaned: z
      .array(z.string())
      .default([])
      .meta({ description: 'Open subtasks, as `task/subtask`, whose role nobody has any more.' }),
  })
  .meta({ id: 'AgentRemoved' });

export type AgentDetail = z.infer<typeof agentDetail>;
export type AgentGiven = z.infer<typeof agentGiven>;
export type AgentChecked = z.infer<typeof agentChecked>;
export type AgentRemoved = z.infer<typeof agentRemoved>;
export type AgentShown = z.infer<typeof agentShown>;
export type AgentList = z.infer<typeof agentList>;
