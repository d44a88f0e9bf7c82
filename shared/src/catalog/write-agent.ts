/** An agent definition as Markdown again: the form in which it is stored, sent along with an attempt, and shown. */
import { stringify } from 'yaml';
import type { AgentDefinition } from './agent-definition.ts';

/** What a definition is made of; what is left out, `readAgent` fills in. */
export type AgentFields = Pick<AgentDefinition, 'name' | 'description' | 'persona'> &
  Partial<Omit<AgentDefinition, 'file'>>;

/** The text that `readAgent` reads the same definition from. */
export const writeAgent = (agent: AgentFields): string => {
  const { persona, tools = [], disallowed_tools: disallowed = [], extra = {}, ...rest } = agent;
  const { name, description, agent_id, role, model = 'inherit', ...more } = rest;
  const said = Object.entries({ ...more, ...extra }).filter(([key, value]) => key !== 'file' && !isEmpty(value));
  const front = {
    name,
    description,
    ...(agent_id === undefined ? {} : { agent_id }),
    ...(role === undefined ? {} : { role }),
    ...(tools.length === 0 ? {} : { tools }),
    ...(disallowed.length === 0 ? {} : { disallowedTools: disallowed }),
    model,
    ...Object.fromEntries(said),
  };
  return `---\n${stringify(front, { lineWidth: 0 })}---\n\n${persona.trim()}\n`;
};

const isEmpty = (value: unknown): boolean =>
  value === null || value === undefined || (Array.isArray(value) && value.length === 0);
