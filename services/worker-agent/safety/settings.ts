/** The settings of what keeps agents in: the sandbox, its limits, and the keys that stay with us. */
import { defineConfig, is, setting } from '@nexus/shared/config';
import { sandboxConfig } from '@nexus/shared/project';

export const safetyConfig = defineConfig({
  ...sandboxConfig,
  agentNetwork: setting(
    'NEXUS_AGENT_NETWORK',
    is.flag,
    'off: agents in the sandbox have no network, but the provider whose key they use. Set-ups and checks keep theirs.',
    { default: 'on' },
  ),
  agentCpuMax: setting(
    'NEXUS_AGENT_CPU_MAX',
    is.duration,
    'An agent whose processes together use more processor time is ended; 0: no limit.',
    { default: '4h' },
  ),
  agentMemoryMax: setting(
    'NEXUS_AGENT_MEMORY_MAX',
    is.bytes,
    'An agent whose processes together hold more memory is ended; 0: no limit.',
    { default: '4GB' },
  ),
  agentProcessesMax: setting(
    'NEXUS_AGENT_PROCESSES_MAX',
    is.count(0, 1_000_000),
    'An agent with more processes at a time is ended; 0: no limit.',
    { default: '512' },
  ),
  agentFileMax: setting(
    'NEXUS_AGENT_FILE_MAX',
    is.bytes,
    'No file that an agent writes becomes larger: the program that tries is killed; 0: no limit.',
    { default: '2GB' },
  ),
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
