/**
 * Profiles that people bring from elsewhere, as JSON (`personality_profile`, `claude_configuration`, `memory_system`)
 * or as YAML (`agent: {id, personality, claude_code, …}`), made into definitions. What has no place here is named in
 * `notices`, never dropped in silence; what is wrong is refused with the path of the field.
 */

import { fail } from '@nexus/shared/errors';
import { lineOf } from '@nexus/shared/messages/scenario';
import { LineCounter, parseDocument } from 'yaml';
import { z } from 'zod';
import { type AgentDefinition, lettersLeftOut, readAgent } from './agent-definition.ts';
import { modelProblem } from './retired-models.ts';
import { nearestOf } from './spelling.ts';
import { resolveTools } from './tool-names.ts';
import { type AgentFields, writeAgent } from './write-agent.ts';

/** A definition made of a profile: its Markdown, what it says, and what a person should know of the way. */
export type Imported = { source: string; agent: AgentDefinition; notices: string[] };

const text = z.string().trim().min(1).max(16_000);
const words = z.union([z.array(z.string()), z.string().transform((one) => one.split(','))]).transform(trimmed);
const count = z.coerce.number().positive();

const personality = z.strictObject({
  core_traits: words.optional(),
  traits: words.optional(),
  communication_style: text.optional(),
  decision_making: text.optional(),
  collaboration_style: text.optional(),
  stress_response: text.optional(),
});
const claude = z.strictObject({
  model: text.optional(),
  max_tokens: count.optional(),
  temperature: z.coerce.number().optional(),
  system_prompt: z.string().optional(),
  tools_enabled: words.optional(),
  tools: words.optional(),
});

const jsonProfile = z.strictObject({
  agent_id: text,
  name: text,
  role: text.optional(),
  description: text.optional(),
  personality_profile: personality.default({}),
  expertise_areas: words.default([]),
  capabilities: words.default([]),
  claude_configuration: claude.default({}),
  memory_system: z
    .strictObject({
      conversation_retention: z.union([z.boolean(), text]).optional(),
      learning_patterns: words.optional(),
      context_preservation: words.optional(),
    })
    .optional(),
});

const yamlProfile = z.strictObject({
  id: text,
  name: text,
  role: text.optional(),
  description: text.optional(),
  personality: z.union([personality, words.transform((traits) => ({ traits }))]).default({}),
  claude_code: claude.default({}),
  capabilities: z
    .union([
      z.strictObject({ primary: words.default([]), secondary: words.default([]) }),
      words.transform((primary) => ({ primary, secondary: [] as string[] })),
    ])
    .default({ primary: [], secondary: [] }),
  memory: z
    .strictObject({
      retention_policy: text.optional(),
      max_conversations: count.optional(),
      context_window_size: count.optional(),
    })
    .optional(),
  health: z
    .strictObject({
      heartbeat_interval: z.union([count, text]).optional(),
      max_response_time: z.union([count, text]).optional(),
      restart_threshold: count.optional(),
    })
    .optional(),
});

/** Reads profiles from a text: one, a list of them, or several YAML documents. Throws `DEFINITION_INVALID`. */
export const importProfiles = (file: string, source: string): Imported[] => {
  const value = readValue(file, source);
  const all = Array.isArray(value) ? value : [value];
  if (all.length === 0) throw fail('DEFINITION_INVALID', { file, problem: 'it holds no profile' });
  // Read for its lines alone, and only where something is wrong: JSON is YAML, too.
  const at = (path: readonly PropertyKey[]): string => {
    const lines = new LineCounter();
    return `line ${lineOf(parseDocument(source, { lineCounter: lines }), lines, path)}: `;
  };
  return all.map((one, index) => {
    const above = Array.isArray(value) ? [index] : [];
    const name = all.length === 1 ? file : `${file}, profile ${index + 1}`;
    return importOne(name, one, (path) => at([...above, ...path]));
  });
};

/** Where a field stands, as the beginning of a sentence on it; nowhere, in what was never a text. */
type At = (path: readonly PropertyKey[]) => string;

/** Makes one profile, already read, into a definition. */
export const importOne = (file: string, profile: unknown, at: At = () => ''): Imported => {
  if (typeof profile !== 'object' || profile === null || Array.isArray(profile)) {
    throw fail('DEFINITION_INVALID', { file, problem: 'a profile is an object with agent_id, or with agent' });
  }
  const notices: string[] = [];
  const wrapped = 'agent' in profile && !('agent_id' in profile);
  const fields = wrapped
    ? ofYaml(parsed(file, yamlProfile, (profile as { agent: unknown }).agent, ['agent'], at), notices)
    : ofJson(parsed(file, jsonProfile, profile, [], at), notices);
  const source = writeAgent(fields);
  const agent = readAgent(file, source);
  if (agent === null) throw fail('BUG', { message: `the definition made of ${file} has no front matter` });
  const problem = modelProblem(agent);
  if (problem !== null) {
    const path = wrapped ? ['agent', 'claude_code'] : ['claude_configuration'];
    throw fail('DEFINITION_INVALID', { file, problem: `${at([...path, 'model'])}${path.join('.')}.${problem}` });
  }
  return { source, agent, notices };
};

const readValue = (file: string, source: string): unknown => {
  if (/^\s*[{[]/.test(source)) {
    try {
      return JSON.parse(source);
    } catch (error) {
      // A flow mapping of YAML begins like JSON, too; only what is neither is refused.
      if (file.endsWith('.json'))
        throw fail('DEFINITION_INVALID', { file, problem: wordsOfJson(source, error as Error) });
    }
  }
  const document = parseDocument(source, { prettyErrors: true });
  const [problem] = document.errors;
  if (problem === undefined) return document.toJS();
  const [says] = problem.message.split(/ at line \d+/);
  throw fail('DEFINITION_INVALID', { file, problem: `line ${problem.linePos?.[0].line ?? 1}: ${says}` });
};

/** What the parser says, on one line and without the text itself; of a strange letter it names no place. */
const wordsOfJson = (source: string, { message }: Error): string => {
  const end = message.startsWith('Unexpected end') ? source.trimEnd().split('\n').length : null;
  const [, line = end] = /\(line (\d+) column \d+\)/.exec(message) ?? [];
  const [says = ''] = message.split(/,? "|, \.\.\.| at position/);
  return `${line === null ? '' : `line ${line}: `}${says.includes('JSON') ? says : `${says.trim()}: it is no JSON`}`;
};

const parsed = <T>(file: string, schema: z.ZodType<T>, value: unknown, above: string[], at: At): T => {
  const read = schema.safeParse(value);
  if (read.success) return read.data;
  const problems = read.error.issues.flatMap((issue) => {
    const path = [...above, ...issue.path];
    if (issue.code === 'unrecognized_keys') {
      return issue.keys.map((key) => `${at([...path, key])}${[...path, key].join('.')}: there is no such key`);
    }
    // Nothing but what is not there reads as undefined in a text.
    const says = issue.message.endsWith('received undefined') ? 'is missing' : issue.message;
    return [`${at(path)}${path.join('.')}: ${says}`];
  });
  throw fail('DEFINITION_INVALID', { file, problem: problems.join('; ') });
};

const ofJson = (profile: z.infer<typeof jsonProfile>, notices: string[]): AgentFields => {
  const { agent_id, name, role, description, personality_profile, claude_configuration, memory_system } = profile;
  const { conversation_retention: kept, learning_patterns = [], context_preservation = [] } = memory_system ?? {};
  return {
    ...common({ id: agent_id, name, role, description }, claude_configuration, notices),
    ...mannerOf(personality_profile),
    expertise: profile.expertise_areas,
    capabilities: profile.capabilities,
    ...(memory_system === undefined
      ? {}
      : { memory: { conversation_retention: retentionOf(kept, notices), learning_patterns, context_preservation } }),
  };
};

const ofYaml = (profile: z.infer<typeof yamlProfile>, notices: string[]): AgentFields => {
  const { id, name, role, description, personality: manner, claude_code, capabilities, memory, health } = profile;
  for (const field of ['max_conversations', 'context_window_size'] as const) {
    if (memory?.[field] !== undefined)
      notices.push(`memory.${field} has no effect here: sessions have limits of their own.`);
  }
  const kept = memory && { ...noPatterns, conversation_retention: retentionOf(memory.retention_policy, notices) };
  return {
    ...common({ id, name, role, description }, claude_code, notices),
    ...mannerOf(manner),
    expertise: capabilities.primary,
    capabilities: [...capabilities.primary, ...capabilities.secondary],
    ...(kept === undefined ? {} : { memory: kept }),
    ...(health === undefined
      ? {}
      : {
          health: {
            heartbeat_interval_seconds: secondsOf(health.heartbeat_interval, 60),
            max_response_time_seconds: secondsOf(health.max_response_time, 120),
            restart_threshold: health.restart_threshold ?? 3,
          },
        }),
  };
};

const noPatterns = { learning_patterns: [], context_preservation: [] };

type Head = { id: string; name: string; role: string | undefined; description: string | undefined };

const common = (head: Head, config: z.infer<typeof claude>, notices: string[]): AgentFields => {
  const { id, name, role, description } = head;
  const names = [...(config.tools_enabled ?? []), ...(config.tools ?? [])];
  const { allowed, denied, unknown } = resolveTools(names);
  if (unknown.length > 0) notices.push(`Tools that nobody knows were left out: ${unknown.join(', ')}.`);
  const title = role ?? name;
  const prompt = config.system_prompt?.trim() || `You are ${name}, ${/^[aeiou]/i.test(title) ? 'an' : 'a'} ${title}.`;
  if (!config.system_prompt?.trim()) notices.push('The profile has no system_prompt: one sentence stands for it.');
  notices.push(...lettersLeftOut({ agent_id: identifier(id), name: id }));
  const { temperature, max_tokens } = config;
  return {
    agent_id: identifier(id),
    name,
    role: identifier(title),
    description: description ?? `${name}: ${title}.`,
    persona: prompt,
    tools: allowed,
    disallowed_tools: denied,
    model: config.model ?? 'inherit',
    ...(temperature === undefined && max_tokens === undefined
      ? {}
      : { runtime: { ...(temperature === undefined ? {} : { temperature }), ...(max_tokens ? { max_tokens } : {}) } }),
  };
};

const mannerOf = (given: z.infer<typeof personality>): Partial<AgentFields> => ({
  traits: [...(given.core_traits ?? []), ...(given.traits ?? [])],
  communication_style: given.communication_style ?? null,
  decision_making: given.decision_making ?? null,
  collaboration_style: given.collaboration_style ?? null,
  stress_response: given.stress_response ?? null,
});

const retentions = ['full', 'summary', 'none'] as const;

const retentionOf = (value: unknown, notices: string[]): (typeof retentions)[number] => {
  if (value === undefined || value === true) return 'full';
  if (value === false) return 'none';
  const found = retentions.find((one) => one === nearestOf(String(value), retentions) || String(value).includes(one));
  if (found) return found;
  notices.push(`Conversations are kept in full: there is no way "${value}" to keep them.`);
  return 'full';
};

/** `60`, `60s`, `2m`, `1000ms` */
const secondsOf = (value: number | string | undefined, fallback: number): number => {
  const [, number, unit] = /^(\d+(?:\.\d+)?)\s*(ms|s|m|h)?/.exec(String(value ?? '')) ?? [];
  if (number === undefined) return fallback;
  return Number(number) * (unitSeconds[unit ?? 's'] ?? 1);
};
const unitSeconds: Record<string, number> = { ms: 0.001, s: 1, m: 60, h: 3600 };

const identifier = (name: string): string =>
  name
    .toLowerCase()
    .replaceAll(/[^a-z0-9_-]+/g, '-')
    .replaceAll(/^[-_]+|-+$/g, '')
    .slice(0, 64);

function trimmed(list: string[]): string[] {
  return list.map((one) => one.trim()).filter((one) => one !== '');
}
