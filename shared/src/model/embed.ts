/**
 * Texts as vectors, by an embedding model of an OpenAI-compatible server. For what is worth a try and no more: it asks
 * once, with a limit of time, and throws one of our errors.
 */
import { type ConfigOf, defineConfig, is, setting } from '@nexus/shared/config';
import { type Gate, type Reserved, reserve, tokensOf } from './call.ts';
import { openClient, type Usage } from './chat.ts';
import { accountOf, endpointOf, modelConfig, providerOf } from './model-config.ts';
import { type ModelFailure, readFailure } from './model-failure.ts';

export const embedConfig = defineConfig({
  ...modelConfig,
  embeddingModel: setting(
    'NEXUS_EMBEDDING_MODEL',
    is.optionalText,
    'The model that tells what memories mean, at the server of NEXUS_MODEL_URL or OPENAI_API_KEY; Redis needs vector ' +
      'sets for it (Redis 8). Left out, memories are found by their words.',
  ),
  embeddingTimeout: setting('NEXUS_EMBEDDING_TIMEOUT', is.duration, 'How long an embedding may take.', {
    default: '3s',
  }),
});

export type EmbedConfig = ConfigOf<typeof embedConfig>;
type Embed = (texts: readonly string[]) => Promise<readonly (readonly number[])[]>;

/** What an embedding may cost is reserved by the gate before, and what it cost is settled after. */
export type Paid = { gate: Gate; priceOf: (model: string, usage: Usage) => number | null };

/** The embedding that the settings name; null where they name none. Nothing is asked yet. */
export const openEmbed = (config: EmbedConfig, paid: Paid | null = null): Embed | null => {
  const endpoint = endpointOf(config);
  const { embeddingModel: model, embeddingTimeout: timeout } = config;
  if (endpoint === null || model === undefined) return null;
  const client = openClient(endpoint);
  const payer = { provider: providerOf(endpoint), account: accountOf(endpoint), model };
  return async (texts) => {
    const tokensMax = texts.reduce((sum, text) => sum + tokensOf(text), 0);
    const usdMax = paid?.priceOf(model, usageOf(tokensMax)) ?? null;
    const reserved = paid && (await reserve(paid.gate, { ...payer, tokensMax, usdMax }, AbortSignal.timeout(timeout)));
    try {
      // Not every server knows the library's own form, base64.
      const asked = { model, input: [...texts], encoding_format: 'float' as const };
      const server = await client();
      const { data, usage } = await server.embeddings.create(asked, { timeout });
      const used = usageOf(usage?.prompt_tokens ?? tokensMax);
      await reserved?.settle({ usd: paid?.priceOf(model, used) ?? null, usage: used });
      return data.toSorted((one, other) => one.index - other.index).map(({ embedding }) => embedding);
    } catch (thrown) {
      const failure = readFailure(thrown, endpoint.url, model);
      await giveBack(reserved, failure);
      throw failure.error;
    }
  };
};

const usageOf = (tokens: number): Usage => ({
  input_tokens: tokens,
  output_tokens: 0,
  cache_read_tokens: 0,
  cache_write_tokens: 0,
});

const giveBack = (
  reserved: Reserved | null,
  { limited, retryAfterMs, again }: ModelFailure,
): Promise<void> | undefined =>
  limited ? reserved?.limited(retryAfterMs) : again ? reserved?.failed() : reserved?.release();
