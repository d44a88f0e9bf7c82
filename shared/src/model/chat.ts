/**
 * One call of an OpenAI-compatible server: a conversation in, an answer out, told as it comes. With `embed.ts` the
 * only file that speaks with the `openai` library. It tries once; `call.ts` tries again.
 */
import type OpenAI from 'openai';
import type { Endpoint } from './model-config.ts';
import { type ModelFailure, readFailure } from './model-failure.ts';

export type Usage = {
  /** What was read and did not come from a cache. */
  input_tokens: number;
  output_tokens: number;
  cache_read_tokens: number;
  cache_write_tokens: number;
};

export type ToolCall = { id: string; tool: string; input: string };
export type ChatMessage =
  | { role: 'system' | 'user'; content: string }
  | { role: 'assistant'; content: string; calls: ToolCall[] }
  | { role: 'tool'; id: string; content: string };

export type ToolSpec = { name: string; description: string; input: Record<string, unknown> };

export type ChatRequest = {
  model: string;
  messages: readonly ChatMessage[];
  tools?: readonly ToolSpec[];
  /** The answer is JSON that holds to this schema. */
  schema?: { name: string; schema: Record<string, unknown> };
  outputTokensMax: number;
  temperature?: number | undefined;
  /** Nothing said for so long: the call is given up. */
  silentMs: number;
  signal: AbortSignal;
  onText?: (text: string) => void;
};

export type ChatAnswer = {
  text: string;
  /** Why the model would not answer; null if it did. */
  refusal: string | null;
  calls: ToolCall[];
  /** The answer was cut off: it had reached its most tokens. */
  cut: boolean;
  /** Null where the server does not say. */
  usage: Usage | null;
  model: string;
};

/** What a call came to; `begun` says that tokens may have been used before it failed. */
export type ChatOutcome = { answer: ChatAnswer } | { failure: ModelFailure; begun: boolean };

export type Chat = {
  endpoint: Endpoint;
  /** Never throws but for an abort of the signal: then its reason. */
  ask(request: ChatRequest): Promise<ChatOutcome>;
  /** The models that the server has, with the day on which each ends; null where it has no such list. Throws. */
  models(signal: AbortSignal): Promise<{ id: string; endsOn: string | null }[] | null>;
};

/**
 * A client of that server, and of what stands in the endpoint alone. It tries once. The library comes when the client
 * is first asked for: it takes twenty megabytes, which most services of a fleet never need.
 */
export const openClient = (endpoint: Endpoint): (() => Promise<OpenAI>) => {
  let client: Promise<OpenAI> | undefined;
  return () => {
    client ??= import('openai').then(({ default: Client }) => new Client(optionsOf(endpoint)));
    return client;
  };
};

const optionsOf = (endpoint: Endpoint): ConstructorParameters<typeof OpenAI>[0] => ({
  baseURL: endpoint.url,
  apiKey: endpoint.key ?? 'none',
  ...(endpoint.key === null ? { defaultHeaders: { Authorization: null } } : {}),
  // What is not said here would be read from our environment.
  organization: null,
  project: null,
  webhookSecret: null,
  logLevel: 'off',
  maxRetries: 0,
});

/** Opens a client; nothing is asked yet. */
export const openChat = (endpoint: Endpoint): Chat => {
  const client = openClient(endpoint);
  return {
    endpoint,
    ask: async (request) => {
      const watch = watchSilence(request);
      let begun = false;
      try {
        const server = await client();
        const stream = await server.chat.completions.create(bodyOf(request), { signal: watch.signal });
        const gathered = openAnswer(request);
        for await (const chunk of stream) {
          watch.heard();
          begun = true;
          gathered.add(chunk);
        }
        request.signal.throwIfAborted();
        return { answer: gathered.end() };
      } catch (thrown) {
        if (request.signal.aborted) throw request.signal.reason;
        const what = watch.signal.aborted ? watch.signal.reason : thrown;
        return { failure: readFailure(what, endpoint.url, request.model), begun };
      } finally {
        watch.close();
      }
    },
    models: async (signal) => {
      try {
        const server = await client();
        const page = await server.models.list({ signal, timeout: 10_000 });
        return page.data.map(({ id, shutdown_date }) => ({ id, endsOn: shutdown_date ?? null }));
      } catch (thrown) {
        const { error, status } = readFailure(thrown, endpoint.url, '');
        if (status === 404) return null;
        throw error;
      }
    },
  };
};

/** Gives a call up that says nothing for too long, and one whose caller wants it no more. */
const watchSilence = ({ silentMs, signal }: ChatRequest) => {
  const silent = new AbortController();
  const giveUp = () => silent.abort(new Error(`it said nothing for ${Math.round(silentMs / 100) / 10} s`));
  let timer = setTimeout(giveUp, silentMs);
  return {
    signal: AbortSignal.any([signal, silent.signal]),
    heard: () => {
      clearTimeout(timer);
      timer = setTimeout(giveUp, silentMs);
    },
    close: () => clearTimeout(timer),
  };
};

const bodyOf = (request: ChatRequest): OpenAI.ChatCompletionCreateParamsStreaming => ({
  model: request.model,
  messages: request.messages.map(messageOf),
  stream: true,
  stream_options: { include_usage: true },
  max_completion_tokens: request.outputTokensMax,
  ...(request.temperature === undefined ? {} : { temperature: request.temperature }),
  ...(request.tools?.length
    ? {
        tools: request.tools.map(({ name, description, input }) => ({
          type: 'function' as const,
          function: { name, description, parameters: input },
        })),
      }
    : {}),
  ...(request.schema
    ? { response_format: { type: 'json_schema' as const, json_schema: { ...request.schema, strict: true } } }
    : {}),
});

const messageOf = (message: ChatMessage): OpenAI.ChatCompletionMessageParam => {
  if (message.role === 'tool') return { role: 'tool', tool_call_id: message.id, content: message.content };
  if (message.role !== 'assistant') return message;
  const tool_calls = message.calls.map(({ id, tool, input }) => ({
    id,
    type: 'function' as const,
    function: { name: tool, arguments: input },
  }));
  return { role: 'assistant', content: message.content, ...(tool_calls.length > 0 ? { tool_calls } : {}) };
};

/** Puts the pieces of a streamed answer together. */
const openAnswer = (request: ChatRequest) => {
  const answer: ChatAnswer = { text: '', refusal: null, calls: [], cut: false, usage: null, model: request.model };
  let finish: string | null = null;
  return {
    add: (chunk: OpenAI.ChatCompletionChunk): void => {
      if (chunk.model) answer.model = chunk.model;
      if (chunk.usage) answer.usage = usageOf(chunk.usage);
      const choice = chunk.choices[0];
      if (choice === undefined) return;
      finish = choice.finish_reason ?? finish;
      const { content, refusal, tool_calls = [] } = choice.delta;
      if (content) {
        answer.text += content;
        request.onText?.(content);
      }
      if (refusal) answer.refusal = (answer.refusal ?? '') + refusal;
      for (const { index, id, function: called } of tool_calls) {
        answer.calls[index] ??= { id: id ?? `call_${index}`, tool: '', input: '' };
        const call = answer.calls[index];
        call.tool += called?.name ?? '';
        call.input += called?.arguments ?? '';
      }
    },
    end: (): ChatAnswer => {
      // A stream that a proxy cut ends as quietly as one that is whole.
      if (finish === null) throw new Error('the answer broke off before its end');
      if (finish === 'content_filter') answer.refusal ??= 'the server’s content filter held the answer back';
      answer.calls = answer.calls.filter((call) => call !== undefined);
      return { ...answer, cut: finish === 'length' };
    },
  };
};

const usageOf = (usage: OpenAI.CompletionUsage): Usage => {
  const cached = usage.prompt_tokens_details?.cached_tokens ?? 0;
  return {
    input_tokens: Math.max(0, usage.prompt_tokens - cached),
    output_tokens: usage.completion_tokens,
    cache_read_tokens: cached,
    cache_write_tokens: 0,
  };
};
