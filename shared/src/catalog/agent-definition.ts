/**
 * One agent definition: Markdown with front matter, in the format of Claude Code's subagents, extended by
 * our own keys. A wrong value of a key of ours is refused with file and field; keys of theirs that we do
 * not use are kept in `extra`.
 */
import { fail } from '@nexus/shared/errors';
import { agentId, plannedSubtask, timeBoxLevel, timeBoxProblem } from '@nexus/shared/messages/domain';
import { z } from 'zod';
import { readFrontMatter, theirKeys } from './front-matter.ts';
import { nearestOf } from './spelling.ts';
import { allToolNames, resolveTools } from './tool-names.ts';

const text = z.string().trim().min(1).max(2000);
/** A YAML list, or text with commas (those inside parentheses belong to the item). */
const list = z.preprocess(
  (value) => (typeof value === 'string' ? splitList(value) : (value ?? [])),
  z.array(z.string().trim().min(1).max(500)).max(100),
);
const duration = z.number().positive().max(86_400);

const runtime = z.strictObject({
  name: z.string().min(1).max(64).optional().meta({ description: 'The runtime this agent wants.' }),
  temperature: z.number().min(0).max(2).optional(),
  max_tokens: z.int().positive().optional(),
});
const memory = z.strictObject({
  conversation_retention: z.enum(['full', 'summary', 'none']).default('full'),
  learning_patterns: list.default([]),
  context_preservation: list.default([]),
});
const health = z.strictObject({
  heartbeat_interval_seconds: duration.default(60),
  max_response_time_seconds: duration.default(120),
  restart_threshold: z.int().min(0).max(100).default(3),
});
const limits = z.strictObject({
  time_box_minutes: plannedSubtask.shape.time_box_minutes.removeDefault().optional(),
  time_box_level: timeBoxLevel.optional(),
  usd: z.number().positive().optional(),
  tokens: z.int().positive().optional(),
});
/** Claude Code's own `memory` is one of three words; it says nothing to us. */
const theirMemory = z.enum(['user', 'project', 'local']);

/** The keys that are ours: a file that uses one of them is held to all of them. */
const ours = {
  agent_id: agentId.optional(),
  role: agentId.optional(),
  traits: list.default([]),
  communication_style: text.optional(),
  decision_making: text.optional(),
  collaboration_style: text.optional(),
  stress_response: text.optional(),
  expertise: list.default([]),
  capabilities: list.default([]),
  runtime: z
    .preprocess((value) => (typeof value === 'string' ? { name: value } : value), runtime)
    .optional()
    .meta({ description: 'A name, or {name, temperature, max_tokens}.' }),
  health: health.optional(),
  limits: limits.optional(),
};
const ourKeys = Object.keys(ours);

const frontMatter = z.looseObject({
  name: z
    .string()
    .trim()
    .min(1)
    .max(100)
    .refine((name) => !/^[[{/\\]|(^|[/\\])\.\.?([/\\]|$)/.test(name), 'a name, neither a list nor a path'),
  description: z.string().trim().min(1).max(16_000),
  tools: list.default([]).meta({ description: 'Empty: every tool that the runtime has.' }),
  disallowedTools: list.default([]),
  model: z
    .string()
    .min(1)
    .max(200)
    .nullish()
    .transform((value) => value ?? 'inherit'),
  memory: z.union([theirMemory, memory]).optional(),
  ...ours,
});
type FrontMatterFields = z.infer<typeof frontMatter>;

/** What one agent is. `persona` is the body of its file: the prompt that makes the agent who it is. */
export type AgentDefinition = {
  agent_id: string;
  name: string;
  role: string;
  description: string;
  persona: string;
  traits: string[];
  communication_style: string | null;
  decision_making: string | null;
  collaboration_style: string | null;
  stress_response: string | null;
  expertise: string[];
  capabilities: string[];
  /** Tool names as Claude Code spells them; empty: every tool that the runtime has. */
  tools: string[];
  /** What it may not use all the same, in the same spelling. */
  disallowed_tools?: string[];
  /** `inherit`, an alias or a full model name; the runtime knows what it means. */
  model: string;
  runtime: z.infer<typeof runtime> | null;
  memory: z.infer<typeof memory> | null;
  health: z.infer<typeof health> | null;
  limits: z.infer<typeof limits> | null;
  /** Keys that are not ours, as the file has them. */
  extra: Record<string, unknown>;
  file: string;
};

/**
 * Reads the text of one definition; null if it has no front matter. Throws `DEFINITION_INVALID`, which
 * names the file and every field that is wrong.
 */
export const readAgent = (file: string, source: string): AgentDefinition | null => {
  const parts = readFrontMatter(file, source, ourKeys);
  if (parts === null) return null;
  const read = frontMatter.safeParse(parts.fields);
  const at = (field: string, says: string) => `line ${parts.lineOf(field)}: ${says}`;
  const problems = [
    ...(read.success ? [] : read.error.issues.map((issue) => problemOf(issue, parts.fields, at))),
    ...(read.success ? timeBoxProblems(read.data).map((says) => at('limits', says)) : []),
    ...unknownTools(parts.fields).map(([field, says]) => at(field, says)),
    ...Object.keys(parts.fields).flatMap((key) => unknownKey(key).map((says) => at(key, says))),
    ...(parts.body === '' ? ['the body is empty: it is the prompt of the agent'] : []),
  ];
  if (!read.success || problems.length > 0) throw fail('DEFINITION_INVALID', { file, problem: problems.join('; ') });
  const agent = definitionOf(file, read.data, parts.body);
  if (agentId.safeParse(agent.agent_id).success) return agent;
  const problem = `name: no agent_id can be made from "${agent.name}"; give one`;
  throw fail('DEFINITION_INVALID', { file, problem });
};

type Issue = { path: PropertyKey[]; message: string };

const problemOf = (issue: Issue, fields: object, at: (field: string, says: string) => string): string => {
  const field = String(issue.path[0] ?? '');
  const says = field in fields ? `${issue.path.join('.')}: ${issue.message}` : `${field}: is missing`;
  return at(field, says);
};

const unknownTools = (fields: Record<string, unknown>): [string, string][] =>
  (['tools', 'disallowedTools'] as const).flatMap((field) =>
    resolveTools(list.safeParse(fields[field]).data ?? []).unknown.map((name): [string, string] => {
      const meant = nearestOf(name, allToolNames);
      const advice =
        meant === null ? 'those of Claude Code, mcp__server__tool and common names are' : `did you mean ${meant}?`;
      return [field, `${field}: there is no tool "${name}"; ${advice}${meant === null ? ' known' : ''}`];
    }),
  );

/** Keys that people put at the top, and that have their place elsewhere. */
const ofRuntime: Readonly<Record<string, string>> = {
  temperature: 'it belongs below `runtime:`, and counts for `name: openai` alone; Claude Code’s CLI knows none',
  max_tokens: 'it belongs below `runtime:`, and counts for `name: openai` alone; Claude Code’s CLI knows none',
};

/** Nothing is dropped in silence: a key is ours, Claude Code's, or begins with `x-`. */
const unknownKey = (key: string): string[] => {
  if (key in frontMatter.shape || theirKeys.includes(key) || key.startsWith('x-')) return [];
  if (key in ofRuntime) return [`${key}: ${ofRuntime[key]}`];
  const meant = nearestOf(key, [...ourKeys, ...theirKeys]);
  const advice = meant === null ? 'a key of your own begins with x-' : `did you mean ${meant}?`;
  return [`${key}: there is no such key; ${advice}`];
};

const timeBoxProblems = ({ limits: given }: FrontMatterFields): string[] => {
  if (given?.time_box_minutes === undefined) return [];
  const says = timeBoxProblem(given.time_box_minutes, given.time_box_level);
  return says === null ? [] : [`limits.time_box_minutes: ${says}`];
};

const definitionOf = (file: string, fields: FrontMatterFields, persona: string): AgentDefinition => {
  const { name, description, tools, disallowedTools, model, memory: remembered, agent_id, role, ...more } = fields;
  const { allowed, denied } = resolveTools(tools);
  const id = agent_id ?? identifierOf(name);
  const known = new Set(ourKeys);
  const extra = Object.fromEntries(Object.entries(more).filter(([key]) => !known.has(key)));
  const theirs = typeof remembered === 'string' ? { memory: remembered } : {};
  return {
    agent_id: id,
    name,
    role: role ?? id,
    // Files written by tools spell line breaks as \n.
    description: description.replaceAll('\\n', '\n'),
    persona,
    traits: more.traits,
    communication_style: more.communication_style ?? null,
    decision_making: more.decision_making ?? null,
    collaboration_style: more.collaboration_style ?? null,
    stress_response: more.stress_response ?? null,
    expertise: more.expertise,
    capabilities: more.capabilities,
    tools: allowed,
    disallowed_tools: [...new Set([...resolveTools(disallowedTools).allowed, ...denied])],
    model,
    runtime: more.runtime ?? null,
    memory: typeof remembered === 'object' ? remembered : null,
    health: more.health ?? null,
    limits: more.limits ?? null,
    extra: { ...extra, ...theirs },
    file,
  };
};

const identifierOf = (name: string): string =>
  name
    .toLowerCase()
    .replaceAll(/[^a-z0-9_]+/g, '-')
    .replaceAll(/^[-_]+|-+$/g, '')
    .slice(0, 64);

/** A sentence where an id was made of a name that has letters beside a to z: another agent may have what is left. */
export const lettersLeftOut = ({ agent_id, name }: Pick<AgentDefinition, 'agent_id' | 'name'>): string[] =>
  /[^\p{ASCII}]/u.test(name) && agent_id === identifierOf(name)
    ? [`Of "${name}" only a to z, digits, - and _ make the agent_id "${agent_id}"; give one to choose another.`]
    : [];

const splitList = (value: string): string[] =>
  value
    .split(/,(?![^(]*\))/)
    .map((item) => item.trim())
    .filter((item) => item !== '');
