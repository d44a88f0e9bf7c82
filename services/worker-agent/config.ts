/** The settings of a worker. */
import { catalogConfig } from '@nexus/shared/catalog';
import { type ConfigOf, defineConfig, type FabricConfig, is, setting } from '@nexus/shared/config';
import { projectConfig } from '@nexus/shared/project';

export const config = defineConfig({
  ...catalogConfig,
  ...projectConfig,
  slots: setting('NEXUS_SLOTS', is.count(1, 256), 'How many attempts a worker runs side by side.', { default: '4' }),
  agentCommand: setting(
    'NEXUS_AGENT_COMMAND',
    is.optionalText,
    'The command that the runtime `command` runs as an agent: it reads its prompt on standard input and works in the current folder.',
  ),
  runtime: setting(
    'NEXUS_RUNTIME',
    is.text,
    'The runtime of attempts for which nobody asked for one; `auto` takes the first usable.',
    { default: 'auto' },
  ),
  agentEnvironment: setting(
    'NEXUS_AGENT_ENV',
    is.list,
    'Names of variables that agents and set-up commands get besides the fixed allow-list, for example an API key.',
    { default: '' },
  ),
  agentOutputMax: setting('NEXUS_AGENT_OUTPUT_MAX', is.bytes, 'An agent that writes more output is ended.', {
    default: '20MB',
  }),
  evidenceMax: setting(
    'NEXUS_EVIDENCE_MAX',
    is.bytes,
    'So much of an agent’s output is kept as evidence: its beginning and its end.',
    { default: '2MB' },
  ),
  checkpointEvery: setting(
    'NEXUS_CHECKPOINT_EVERY',
    is.duration,
    'How often the work of a running agent is saved, so that a crash of the machine costs no more.',
    { default: '60s' },
  ),
  keepFailed: setting(
    'NEXUS_KEEP_FAILED',
    is.duration,
    'Workspaces of attempts that did not finish are kept so long, to be looked at.',
    { default: '24h' },
  ),
});

export type WorkerConfig = ConfigOf<typeof config> & FabricConfig;
