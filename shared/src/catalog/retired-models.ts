/**
 * Models of Claude that no provider answers to any more. A definition that names one is refused where it is given, not
 * where it is read: a fleet goes on with those that it has, whose attempts say what takes the model's place.
 */
import { fail } from '@nexus/shared/errors';
import type { AgentDefinition } from './agent-definition.ts';
import { readFrontMatter } from './front-matter.ts';

/** Retired names (https://docs.claude.com/en/docs/about-claude/model-deprecations) → what goes on in their place. */
const retired: readonly (readonly [RegExp, string])[] = [
  [/^claude-(1|2|instant)\b/, 'sonnet'],
  [/^claude-3-opus\b/, 'opus'],
  [/^claude-3(-5|-7)?-sonnet\b/, 'sonnet'],
  [/^claude-3(-5)?-haiku\b/, 'haiku'],
];

/** What takes the place of a model of Claude; null for one that is not retired, as far as is known here. */
export const claudeInPlaceOf = (model: string): string | null =>
  retired.find(([pattern]) => pattern.test(model.trim()))?.[1] ?? null;

/** What is wrong with the model of a definition; null: nothing that is known here. */
export const modelProblem = ({ model, runtime }: Pick<AgentDefinition, 'model' | 'runtime'>): string | null => {
  // A server of one's own may still answer to such a name.
  if ((runtime?.name ?? 'claude-code') !== 'claude-code') return null;
  const instead = claudeInPlaceOf(model);
  return instead === null ? null : `model: "${model}" is retired; ${instead} takes its place`;
};

/** Refuses a definition of Markdown whose model is retired. Throws DEFINITION_INVALID. */
export const refuseRetired = (file: string, source: string, agent: AgentDefinition): void => {
  const problem = modelProblem(agent);
  if (problem === null) return;
  const line = readFrontMatter(file, source, [])?.lineOf('model') ?? 1;
  throw fail('DEFINITION_INVALID', { file, problem: `line ${line}: ${problem}` });
};
