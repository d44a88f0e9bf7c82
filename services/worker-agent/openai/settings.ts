/** The settings of agents that run in the worker's own loop. */
import { type ConfigOf, defineConfig, is, setting } from '@nexus/shared/config';
import { modelConfig } from '@nexus/shared/model';

export const openaiConfig = defineConfig({
  ...modelConfig,
  turnsMax: setting(
    'NEXUS_TURNS_MAX',
    is.count(1, 100_000),
    'An agent that asked its model so often without coming to an end is ended (runtime `openai`).',
    { default: '200' },
  ),
  contextTokens: setting(
    'NEXUS_CONTEXT_TOKENS',
    is.count(2000, 10_000_000),
    'A conversation longer than this is trimmed: the oldest results of tools first, the task never (runtime `openai`).',
    { default: '200000' },
  ),
  toolOutput: setting(
    'NEXUS_TOOL_OUTPUT_MAX',
    is.bytes,
    'So much of what a tool says reaches the model: its beginning and its end (runtime `openai`).',
    { default: '30kB' },
  ),
  toolTime: setting(
    'NEXUS_TOOL_TIME_MAX',
    is.duration,
    'A command that an agent runs is ended after so long (runtime `openai`).',
    { default: '10m' },
  ),
});

export type OpenaiConfig = ConfigOf<typeof openaiConfig>;
