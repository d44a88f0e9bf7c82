/** The events that the CLI prints, a line of JSON each, as far as they concern us. Unknown ones are left alone. */

import type { Usage } from '@nexus/shared/spend';

type Part = {
  type: string;
  text?: string;
  thinking?: string;
  id?: string;
  name?: string;
  input?: Record<string, unknown>;
  tool_use_id?: string;
  is_error?: boolean;
  content?: unknown;
};

export type TheirUsage = {
  input_tokens?: number;
  output_tokens?: number;
  cache_read_input_tokens?: number;
  cache_creation_input_tokens?: number;
};

/** What a conversation has used of each model. */
export type ModelUsage = Record<
  string,
  {
    contextWindow?: number;
    inputTokens?: number;
    outputTokens?: number;
    cacheReadInputTokens?: number;
    cacheCreationInputTokens?: number;
  }
>;

/** All of it together. */
export const usageOfAll = (models: ModelUsage): Usage => {
  const sum = (of: (one: ModelUsage[string]) => number | undefined) =>
    Object.values(models).reduce((total, one) => total + (of(one) ?? 0), 0);
  return {
    input_tokens: sum((one) => one.inputTokens),
    output_tokens: sum((one) => one.outputTokens),
    cache_read_tokens: sum((one) => one.cacheReadInputTokens),
    cache_write_tokens: sum((one) => one.cacheCreationInputTokens),
  };
};

type Said = { session_id?: string; parent_tool_use_id?: string | null };

export type InitEvent = Said & { type: 'system'; subtype: 'init'; model?: string; claude_code_version?: string };
export type RetryEvent = Said & {
  type: 'system';
  subtype: 'api_retry';
  error_status?: number | null;
  retry_delay_ms?: number;
  error?: string;
};
export type AssistantEvent = Said & {
  type: 'assistant';
  message: { id?: string; model?: string; content?: Part[]; usage?: TheirUsage };
  /** An error of the API, told as if the model had said it. */
  error?: string;
  api_error_status?: number | null;
};
export type UserEvent = Said & { type: 'user'; message: { content?: Part[] | string } };
export type LimitEvent = Said & {
  type: 'rate_limit_event';
  rate_limit_info?: { status?: string; resetsAt?: number; rateLimitType?: string; utilization?: number };
};
export type ResultEvent = Said & {
  type: 'result';
  subtype: string;
  is_error?: boolean;
  result?: string;
  errors?: string[];
  stop_reason?: string | null;
  num_turns?: number;
  total_cost_usd?: number;
  api_error_status?: number | null;
  usage?: TheirUsage;
  /** Of the whole conversation, as is `total_cost_usd`. */
  modelUsage?: ModelUsage;
  permission_denials?: { tool_name?: string }[];
  structured_output?: unknown;
};

export type ClaudeEvent = InitEvent | RetryEvent | AssistantEvent | UserEvent | LimitEvent | ResultEvent;

/** One line as an event; null for what is none, such as a warning among them. */
export const eventOf = (line: string): ClaudeEvent | null => {
  if (!line.startsWith('{')) return null;
  try {
    const read = JSON.parse(line) as { type?: unknown };
    return typeof read.type === 'string' ? (read as ClaudeEvent) : null;
  } catch {
    return null;
  }
};
