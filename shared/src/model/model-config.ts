/** The settings of models: where they are asked, which, and how patiently. */
import { createHash } from 'node:crypto';
import { type ConfigOf, defineConfig, is, setting } from '@nexus/shared/config';

export const modelConfig = defineConfig({
  modelUrl: setting(
    'NEXUS_MODEL_URL',
    is.optionalText,
    'The base address of an OpenAI-compatible server, with its `/v1`: a local one needs no key. It wins over OPENAI_BASE_URL.',
  ),
  openaiUrl: setting('OPENAI_BASE_URL', is.optionalText, 'The same, under the name that other programs read.'),
  openaiKey: setting(
    'OPENAI_API_KEY',
    is.optionalText,
    'The key for that server; OpenAI itself where no address is set.',
    {
      secret: true,
    },
  ),
  openaiModel: setting(
    'NEXUS_OPENAI_MODEL',
    is.optionalText,
    'The model of the runtime `openai`. Left out: gpt-6.1-sol at OpenAI, else the only model that the server has.',
  ),
  modelTries: setting('NEXUS_MODEL_TRIES', is.count(1, 20), 'How often one call of a model is tried before it fails.', {
    default: '5',
  }),
  modelSilent: setting(
    'NEXUS_MODEL_SILENT',
    is.duration,
    'A call of a model that says nothing for so long is given up, and tried again.',
    { default: '3m' },
  ),
  modelWait: setting(
    'NEXUS_MODEL_WAIT',
    is.duration,
    'A server that asks to wait is waited for up to so long; beyond that the attempt is put aside, uncounted.',
    { default: '1m' },
  ),
  modelOutput: setting('NEXUS_MODEL_OUTPUT_TOKENS', is.count(16, 1_000_000), 'The most tokens of one answer.', {
    default: '32000',
  }),
});

export type ModelConfig = ConfigOf<typeof modelConfig>;

/** Where models are asked, and with what. */
export type Endpoint = { url: string; key: string | null; isOpenai: boolean };

/** Who pays, under a name from which nobody finds the key: what is limited is limited for all that share it. */
export const accountNamed = (kind: string, secret: string): string =>
  `${kind}-${createHash('sha256').update(secret).digest('hex').slice(0, 8)}`;

export const accountOf = ({ key }: Pick<Endpoint, 'key'>): string => (key === null ? 'none' : accountNamed('key', key));

/** Under what name a server's limits are kept. */
export const providerOf = ({ url, isOpenai }: Endpoint): string =>
  isOpenai ? 'openai' : (URL.parse(url)?.host ?? 'openai');

const openaiUrl = 'https://api.openai.com/v1';

/** The server that the settings name; null where they name neither an address nor a key. */
export const endpointOf = (config: Pick<ModelConfig, 'modelUrl' | 'openaiUrl' | 'openaiKey'>): Endpoint | null => {
  const url = (config.modelUrl ?? config.openaiUrl)?.replace(/\/+$/, '');
  const key = config.openaiKey ?? null;
  if (url === undefined && key === null) return null;
  return { url: url ?? openaiUrl, key, isOpenai: url === undefined || URL.parse(url)?.host === 'api.openai.com' };
};
