/** Memories as the HTTP API shows and takes them. */
import { contentCharsMax, memory, memoryId, memoryScope, memoryTag } from '@nexus/shared/memory';
import { agentId, taskId } from '@nexus/shared/messages/domain';
import { z } from 'zod';

/** Whose memories; one of them at most. */
const whose = {
  scope: memoryScope.optional().meta({ description: 'shared, agent:<id> or project:<key>.' }),
  agent: agentId.optional().meta({ description: 'Those of this agent.' }),
  repository: z.string().min(1).max(2048).optional().meta({
    description: 'Those of the project whose repository this is, written as tasks name it.',
  }),
};
type Whose = { scope?: string | undefined; agent?: string | undefined; repository?: string | undefined };
const named = (of: Whose): number => [of.scope, of.agent, of.repository].filter((one) => one !== undefined).length;
const oneAtMost = { error: 'name one of scope, agent and repository at most', path: ['scope'] };

export const memoryQuery = z
  .strictObject({
    ...whose,
    q: z.string().max(2000).optional().meta({ description: 'What they are about; the best first. Else the newest.' }),
    tag: memoryTag.optional().meta({ description: 'Only those with this tag.' }),
    limit: z.coerce.number().int().min(1).max(200).default(50),
    offset: z.coerce
      .number()
      .int()
      .min(0)
      .max(1_000_000)
      .default(0)
      .meta({ description: 'Of a list, not of a search.' }),
  })
  .refine((query) => named(query) <= 1, oneAtMost);

export const memoryShown = memory
  .extend({
    score: z.number().nullable().meta({ description: 'How well it fits what was searched for; null: nothing was.' }),
    fit: z.number().nullable().meta({ description: 'The share of the question that it answers, 0 to 1.' }),
  })
  .meta({ id: 'MemoryShown' });

export const memoryList = z
  .object({
    memories: z.array(memoryShown),
    total: z.int().meta({ description: 'How many there are; of a search, how many were found.' }),
    next_offset: z.int().nullable(),
    scopes: z.array(z.object({ scope: memoryScope, count: z.int() })).meta({ description: 'Every scope there is.' }),
  })
  .meta({ id: 'MemoryList' });

export const memoryGiven = z
  .strictObject({
    ...whose,
    content: z
      .string()
      .refine((text) => text.trim().length > 0, 'is empty; say what is to be remembered')
      .max(contentCharsMax),
    tags: z.array(memoryTag).max(16).default([]),
    importance: z.number().min(0).max(1).default(0.7),
  })
  .refine((given) => named(given) <= 1, oneAtMost)
  .meta({ id: 'MemoryGiven', description: 'Left out whose it is, it is shared.' });

export const memoryKept = z
  .object({
    status: z.enum(['kept', 'merged', 'known']).meta({ description: 'merged, known: the same was there already.' }),
    memory,
  })
  .meta({ id: 'MemoryKept' });

/** What is to be forgotten; exactly one of them. */
export const memoriesForgotten = z
  .strictObject({
    ...whose,
    task: taskId.optional().meta({
      description: 'What this task has left; what another task has left, too, stays as its alone.',
    }),
  })
  .refine((query) => named(query) + (query.task === undefined ? 0 : 1) === 1, {
    error: 'name exactly one of task, scope, agent and repository',
    path: ['task'],
  });

export const memoryForgotten = z.object({ forgotten: z.int() }).meta({ id: 'MemoryForgotten' });
export const ofMemory = z.strictObject({ id: memoryId });

export type MemoryShown = z.infer<typeof memoryShown>;
export type MemoryList = z.infer<typeof memoryList>;
export type MemoryGiven = z.input<typeof memoryGiven>;
export type MemoryKept = z.infer<typeof memoryKept>;
export type MemoryFilter = z.input<typeof memoryQuery>;
export type MemoryForgotten = z.infer<typeof memoryForgotten>;
export type MemoriesOf = z.input<typeof memoriesForgotten>;
