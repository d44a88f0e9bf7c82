/** Who answers the questions of NEXUS itself, by the settings. */
import { type ConfigOf, defineConfig, is, setting } from '@nexus/shared/config';
import { type Model, modelOf } from './ask.ts';
import { claudeAnswering } from './ask-claude.ts';
import { type Priced, serverAnswering } from './ask-server.ts';
import { endpointOf, modelConfig } from './model-config.ts';

export const askConfig = defineConfig({
  ...modelConfig,
  modelBy: setting(
    'NEXUS_MODEL_BY',
    is.oneOf('auto', 'openai', 'claude', 'none'),
    'Who answers what NEXUS itself asks, plans above all: the server of NEXUS_MODEL_URL or OPENAI_API_KEY, or Claude by its CLI. `auto` takes the server where one is set, else nobody: plans are then made from templates.',
    { default: 'auto' },
  ),
  model: setting(
    'NEXUS_MODEL',
    is.optionalText,
    'The model that is asked; left out, the usual one of whoever answers.',
  ),
  askClaude: setting(
    'NEXUS_CLAUDE_PROGRAM',
    is.text,
    'The CLI of Claude Code: a name that is looked for on the path, or a full path.',
    {
      default: 'claude',
    },
  ),
  askTries: setting(
    'NEXUS_MODEL_ANSWERS',
    is.count(1, 10),
    'How many answers are asked for, each with what was wrong with the one before, until one holds.',
    { default: '3' },
  ),
  askTimeout: setting('NEXUS_MODEL_TIMEOUT', is.duration, 'How long an answer may take, all tries together.', {
    default: '3m',
  }),
});

export type AskConfig = ConfigOf<typeof askConfig>;

/** The model that is asked, or null where none is configured. Nothing is asked yet. */
export const openModel = (config: AskConfig, priced: Priced): Model | null => {
  const endpoint = endpointOf(config);
  if (config.modelBy === 'none') return null;
  if (config.modelBy === 'claude') {
    const how = { ...priced, outputTokensMax: config.modelOutput };
    return modelOf(claudeAnswering(config.askClaude, config.model ?? null, how), config.askTries);
  }
  if (endpoint === null) return null;
  const model = config.model ?? config.openaiModel ?? null;
  return modelOf(serverAnswering(endpoint, model, config, priced), config.askTries);
};
