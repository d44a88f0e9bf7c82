/** Reads what an answer of a model says of its own cost in tokens, while it passes by. */

export type TokenUse = { input: number; output: number; cacheRead: number; cacheWrite: number };

export const noUsage = (): TokenUse => ({ input: 0, output: 0, cacheRead: 0, cacheWrite: 0 });

export const addUsage = (sum: TokenUse, more: TokenUse): void => {
  for (const name of Object.keys(sum) as (keyof TokenUse)[]) sum[name] += more[name];
};

export type UsageReader = {
  push(chunk: Buffer): void;
  /** What was told so far; a stream tells it in several pieces. */
  usage(): TokenUse;
};

/** A line or a document that is larger tells no usage: nothing is kept for it. */
const textMax = 4_000_000;

/** A reader for an answer of this content type: lines of events, or one document. */
export const openUsageReader = (contentType: string): UsageReader => {
  const isStream = contentType.includes('event-stream');
  const found = noUsage();
  const decoder = new TextDecoder();
  let text = '';
  const read = (json: string): void => {
    if (!json.includes('"usage"')) return;
    try {
      take(found, JSON.parse(json));
    } catch {
      // Not JSON, or cut off: it is passed on as it is, and tells us nothing.
    }
  };
  return {
    push: (chunk) => {
      text += decoder.decode(chunk, { stream: true });
      if (isStream) {
        const lines = text.split('\n');
        text = lines.pop() ?? '';
        for (const line of lines) if (line.startsWith('data:')) read(line.slice(5));
      }
      if (text.length > textMax) text = '';
    },
    usage: () => {
      if (!isStream) read(text);
      return { ...found };
    },
  };
};

type Told = Record<string, unknown>;

/** The counts of a stream grow, and a later one may leave some out: the largest of each counts. */
const take = (
  found: TokenUse,
  event: { usage?: Told; message?: { usage?: Told }; response?: { usage?: Told } },
): void => {
  for (const told of [event.usage, event.message?.usage, event.response?.usage]) {
    if (!told || typeof told !== 'object') continue;
    const details = (told.prompt_tokens_details ?? told.input_tokens_details ?? {}) as Told;
    const cached = count(details.cached_tokens);
    const next: TokenUse = {
      // OpenAI counts what was cached among the input, Anthropic beside it.
      input: Math.max(0, count(told.input_tokens) + count(told.prompt_tokens) - cached),
      output: count(told.output_tokens) + count(told.completion_tokens),
      cacheRead: count(told.cache_read_input_tokens) + cached,
      cacheWrite: count(told.cache_creation_input_tokens),
    };
    for (const name of Object.keys(found) as (keyof TokenUse)[]) found[name] = Math.max(found[name], next[name]);
  }
};

const count = (value: unknown): number => (typeof value === 'number' && value > 0 ? value : 0);
