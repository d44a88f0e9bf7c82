/** The settings of what keeps agents in: the keys that stay with us. */
import { defineConfig, is, setting } from '@nexus/shared/config';

export const safetyConfig = defineConfig({
  anthropicKey: setting(
    'ANTHROPIC_API_KEY',
    is.optionalText,
    'The key for Anthropic’s API. It stays with the worker: agents reach the API through a proxy that adds it.',
    { secret: true },
  ),
  anthropicUrl: setting(
    'ANTHROPIC_BASE_URL',
    is.url('https://api.anthropic.com', 'http:', 'https:'),
    'Where Anthropic’s API is, or a gateway that speaks like it. The key goes there and nowhere else.',
    { default: 'https://api.anthropic.com' },
  ),
  proxyRequestMax: setting(
    'NEXUS_PROXY_REQUEST_MAX',
    is.bytes,
    'A request of an agent to a model that is larger is refused.',
    { default: '40MB' },
  ),
  proxyResponseMax: setting('NEXUS_PROXY_RESPONSE_MAX', is.bytes, 'An answer of a model that is larger is cut off.', {
    default: '200MB',
  }),
  proxyTimeout: setting(
    'NEXUS_PROXY_TIMEOUT',
    is.duration,
    'A request of an agent to a model that takes longer is cut off.',
    {
      default: '30m',
    },
  ),
  proxyRequests: setting(
    'NEXUS_PROXY_REQUESTS',
    is.count(1, 10_000),
    'How many requests to models one agent may have under way at a time.',
    { default: '32' },
  ),
});
