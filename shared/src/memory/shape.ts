/** What a memory is, and whose. */
import { createHash } from 'node:crypto';
import { agentId, subtaskId, taskId } from '@nexus/shared/messages/domain';
import { z } from 'zod';

export const contentCharsMax = 4000;
export const tagsMax = 16;

export const memoryTag = z
  .string()
  .regex(/^[\p{L}\p{N}][\p{L}\p{N}_.:-]{0,47}$/u, 'letters, digits and _ . : -, at most 48')
  .transform((tag) => tag.toLowerCase());

/** Whose a memory is: an agent's, a project's, or everybody's. */
export const memoryScope = z
  .string()
  .regex(/^(?:shared|agent:[a-z0-9][a-z0-9_-]{0,63}|project:[a-z0-9][a-z0-9._-]{0,63})$/, {
    error: 'expected shared, agent:<id> or project:<key>',
  });

export const memoryId = z.string().regex(/^m[a-z2-7]{12}$/, 'an id such as mk3x7qa2bcde4');

/** lesson: what went wrong, or what mended it; digest: what an attempt was asked and what came out; note: all else. */
export const memoryKind = z.enum(['lesson', 'digest', 'note']);

/** Where a memory comes from. */
export const provenance = z.object({
  kind: memoryKind,
  /** Who said it: an agent, or the person or token that added it. */
  by: z.string().max(128),
  task_id: taskId.nullable().default(null),
  subtask_id: subtaskId.nullable().default(null),
  attempt: z.int().positive().nullable().default(null),
  at: z.iso.datetime({ offset: true }),
});

export const memory = z
  .object({
    id: memoryId,
    scope: memoryScope,
    content: z.string().max(contentCharsMax),
    tags: z.array(z.string()),
    importance: z.number().min(0).max(1),
    kind: memoryKind,
    sources: z.array(provenance).meta({ description: 'Where it comes from; several where the same was met again.' }),
    times: z.int().positive().meta({ description: 'How often it was met.' }),
    created_at: z.string(),
    last_used_at: z.string().nullable().meta({ description: 'When it last came into a prompt.' }),
    uses: z.int().nonnegative().meta({ description: 'How often it came into a prompt.' }),
  })
  .meta({ id: 'Memory' });

/** What is to be remembered. `key` tells it apart from all else of its source: the same key twice is one memory. */
export const memoryDraft = z.object({
  scope: memoryScope,
  content: z.string().trim().min(1).max(contentCharsMax),
  tags: z.array(memoryTag).max(tagsMax).default([]),
  importance: z.number().min(0).max(1).default(0.5),
  source: provenance,
  key: z.string().max(300),
});

export type MemoryScope = z.infer<typeof memoryScope>;
export type MemoryKind = z.infer<typeof memoryKind>;
export type Provenance = z.infer<typeof provenance>;
export type Memory = z.infer<typeof memory>;
export type MemoryDraft = z.input<typeof memoryDraft>;

/** The id of what is remembered under a key in a scope: always the same, so it is remembered once. */
export const memoryIdOf = (scope: string, key: string): string => {
  const digest = createHash('sha256').update(`${scope}\n${key}`).digest();
  return `m${Array.from(digest.subarray(0, 12), (byte) => letters[byte % 32]).join('')}`;
};
const letters = 'abcdefghijklmnopqrstuvwxyz234567';

export const agentScope = (agent: string): MemoryScope => `agent:${agentId.parse(agent)}`;

/**
 * The scope of a repository, by its address: the same with or without credentials, `.git` and a slash at the end.
 * People read its name in it; the digest tells two of one name apart.
 */
export const projectScope = (repository: string): MemoryScope => {
  const address = repository
    .trim()
    .replace(/^([a-z][a-z0-9+.-]*:\/\/)[^/@]*@/i, '$1')
    .replace(/^file:\/\//i, '')
    .replace(/\/+$/, '')
    .replace(/\.git$/i, '')
    .replace(/\/+$/, '');
  const name = (address.split(/[/:\\]/).at(-1) ?? '').toLowerCase().replaceAll(/[^a-z0-9]+/g, '-');
  const readable = name.replaceAll(/^-+|-+$/g, '').slice(0, 40) || 'project';
  return `project:${readable}-${createHash('sha256').update(address).digest('hex').slice(0, 8)}`;
};
