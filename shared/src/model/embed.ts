/**
 * Texts as vectors, by an embedding model of an OpenAI-compatible server. For what is worth a try and no more: it asks
 * once, with a limit of time, and throws one of our errors.
 */
import { type ConfigOf, defineConfig, is, setting } from '@nexus/shared/config';
import { openClient } from './chat.ts';
import { endpointOf, modelConfig } from './model-config.ts';
import { readFailure } from './model-failure.ts';

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

/** The embedding that the settings name; null where they name none. Nothing is asked yet. */
export const openEmbed = (config: EmbedConfig): Embed | null => {
  const endpoint = endpointOf(config);
  const { embeddingModel: model, embeddingTimeout: timeout } = config;
  if (endpoint === null || model === undefined) return null;
  const client = openClient(endpoint);
  return async (texts) => {
    try {
      // Not every server knows the library's own form, base64.
      const asked = { model, input: [...texts], encoding_format: 'float' as const };
      const server = await client();
      const { data } = await server.embeddings.create(asked, { timeout });
      return data.toSorted((one, other) => one.index - other.index).map(({ embedding }) => embedding);
    } catch (thrown) {
      throw readFailure(thrown, endpoint.url, model).error;
    }
  };
};
