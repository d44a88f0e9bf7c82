/**
 * What the server refuses of a chat request, in the provider's words: a model that it does not have, calls that are
 * not answered, answers that nobody asked for, and a strict schema that is not strict. Clients that pass here have
 * kept the provider's rules, also where they cut a conversation short.
 */

export type ChatMessage = {
  role: 'system' | 'developer' | 'user' | 'assistant' | 'tool';
  content: string | null;
  tool_calls?: { id: string; type: 'function'; function: { name: string; arguments: string } }[];
  tool_call_id?: string;
};

export type ChatRequest = {
  model: string;
  messages: ChatMessage[];
  stream?: boolean;
  stream_options?: { include_usage?: boolean };
  tools?: { type: 'function'; function: { name: string; parameters: Record<string, unknown>; strict?: boolean } }[];
  tool_choice?: unknown;
  response_format?: { type: string; json_schema?: { name: string; strict?: boolean; schema: Record<string, unknown> } };
  max_completion_tokens?: number;
  temperature?: number;
};

export type Fault = { status: number; code?: string; message: string };

/** Why a request is refused; null: it is let in. */
export const faultOf = (request: ChatRequest, models: readonly string[]): Fault | null => {
  if (!models.includes(request.model)) {
    const message = `The model \`${request.model}\` does not exist or you do not have access to it.`;
    return { status: 404, code: 'model_not_found', message };
  }
  const message = faultOfMessages(request.messages ?? []) ?? faultOfSchemas(request);
  return message === null ? null : { status: 400, code: 'invalid_request_error', message };
};

const faultOfMessages = (messages: readonly ChatMessage[]): string | null => {
  if (messages.length === 0) return "'messages' must contain at least one message";
  let open: string[] = [];
  for (const { role, content, tool_calls, tool_call_id } of messages) {
    if (role === 'tool') {
      if (!open.includes(tool_call_id ?? '')) {
        return "messages with role 'tool' must be a response to a preceeding message with 'tool_calls'";
      }
      open = open.filter((id) => id !== tool_call_id);
      continue;
    }
    if (open.length > 0) return unanswered(open);
    if (role !== 'assistant' && typeof content !== 'string') return `content of a ${role} message must be a string`;
    open = (tool_calls ?? []).map(({ id }) => id);
  }
  return open.length > 0 ? unanswered(open) : null;
};

const unanswered = (ids: readonly string[]): string =>
  `An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. ` +
  `The following tool_call_ids did not have response messages: ${ids.join(', ')}`;

const faultOfSchemas = ({ tools = [], response_format }: ChatRequest): string | null => {
  const strict = [
    ...tools.flatMap(({ function: { name, parameters, strict } }) => (strict ? [{ name, schema: parameters }] : [])),
    ...(response_format?.json_schema?.strict ? [response_format.json_schema] : []),
  ];
  for (const { name, schema } of strict) {
    const fault = faultOfStrict(schema);
    if (fault !== null) return `Invalid schema for '${name}': ${fault}`;
  }
  return null;
};

/** https://platform.openai.com/docs/guides/structured-outputs: closed objects, all of whose properties are required. */
const faultOfStrict = (schema: unknown): string | null => {
  if (schema === null || typeof schema !== 'object') return null;
  const { type, properties, required, additionalProperties } = schema as Record<string, unknown>;
  if (type === 'object') {
    if (additionalProperties !== false) return "'additionalProperties' is required to be supplied and to be false.";
    const names = Object.keys((properties ?? {}) as object);
    const missing = names.filter((name) => !((required ?? []) as string[]).includes(name));
    if (missing.length > 0) return `'required' is required to include every key in properties: ${missing.join(', ')}`;
  }
  const inner = Array.isArray(schema) ? schema : Object.values(schema);
  return inner.map(faultOfStrict).find((fault) => fault !== null) ?? null;
};
